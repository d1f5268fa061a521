"""Base models by family: an encoder goes to the learners that read, a language model to those that write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from shokunin.encoders import base_models as encoders
from shokunin.errors import ArtefactError, BaseModelError
from shokunin.files import read_json
from shokunin.forms import Form
from shokunin.language import base_models as language

Family = Literal["encoder", "language"]


def families(bases: Sequence[str]) -> dict[str, Family]:
    """Find every base model before any work is done, and say which family each belongs to.

    Raises:
        BaseModelError: one of them cannot be found, or is not what it claims to be.
    """
    return {base: _family(base) for base in bases}


def family_of(form: Form) -> Family:
    """Which base models a learner starts from that eats this form."""
    return "language" if form == "conversation" else "encoder"


def _family(base: str) -> Family:
    try:
        folder = encoders.resolve(base).folder
    except BaseModelError as error:
        try:
            language.resolve(base)
        except BaseModelError:
            raise error from None  # what it says about encoders is what most people meant
        return "language"
    try:
        writes = any("CausalLM" in str(name) for name in read_json(folder / "config.json").get("architectures") or ())
    except (ArtefactError, AttributeError):
        writes = False
    return "language" if writes else "encoder"
