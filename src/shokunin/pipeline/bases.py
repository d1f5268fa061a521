"""Base models by family: an encoder goes to the learners that read, a language model to those that write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from shokunin.encoders import base_models as encoders
from shokunin.errors import ArtefactError, BaseModelError, UsageError
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


def family_of(form: Form) -> Family | None:
    """Which base models a learner starts from that eats this form; None: from none."""
    starts: dict[Form, Family] = {"labelled_text": "encoder", "labelled_fields": "encoder", "conversation": "language"}
    return starts.get(form)


def check_families(bases: Mapping[str, Family], forms: Collection[Form]) -> None:
    """Do nothing if some learner of these forms starts from each base.

    Raises:
        UsageError: one of them would be left aside.
    """
    known = {family_of(form) for form in forms}
    for base, family in bases.items():
        if family not in known:
            other = "a language model" if family == "language" else "an encoder"
            raise UsageError(
                f"{base!r} is {other}, from which no learner of this kind of work starts; leave out --base"
            )


def _family(base: str) -> Family:
    try:
        folder = encoders.resolve(base).folder
    except BaseModelError as error:
        try:
            language.resolve(base)
        except BaseModelError as other:
            # What is said about encoders is what most people meant, but for a file: that can only be a language model.
            raise (other if base.endswith(".gguf") or Path(base).is_file() else error) from None
        return "language"
    try:
        writes = any("CausalLM" in str(name) for name in read_json(folder / "config.json").get("architectures") or ())
    except (ArtefactError, AttributeError):
        writes = False
    return "language" if writes else "encoder"
