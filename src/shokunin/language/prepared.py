"""Prepared: a GGUF file as a folder that the engine opens quickly, made once into the cache.

The engine's reader of GGUF gives the projections of a graph running numbers for names. Here they get the names that
PEFT adapters use (`model.layers.0.self_attn.q_proj`), without which no adapter could be laid on them. Numbers are kept as
the file has them, also where the reader rounds (`exact_offsets`), but for types that it does not know (`readable_gguf`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shokunin.encoders.cache import cache_folder
from shokunin.errors import ArtefactError, BaseModelError, MissingExtraError, ProjectError
from shokunin.files import folder_in_making, publish_folder
from shokunin.language.base_models import IR, LanguageModel
from shokunin.language.chat_template import check_marks, template_in
from shokunin.language.chat_tokens import check_largest
from shokunin.language.exact_offsets import has_offsets, set_exact_offsets
from shokunin.language.folder_gguf import folder_gguf
from shokunin.language.gguf_decoder import MODEL_TYPES, decoder_sizes
from shokunin.language.gguf_header import GgufHeader, read_header
from shokunin.language.gguf_tokens import CONTROL, USER_DEFINED
from shokunin.language.readable_gguf import unreadable, write_readable
from shokunin.progress import Progress, silent

ABOUT = "language_model.json"
PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
               "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
"""The projections of one layer, in the order in which the engine's reader makes them."""
_GGUF_NAMES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
_MAKING = 2
"""Raised when what is made here changes, so that folders of earlier releases are made anew."""
READABLE = tuple(MODEL_TYPES)
_REFUSALS = (RuntimeError, IndexError, ValueError, OverflowError, MemoryError)
"""What the engine's own errors become in Python; of a file that lacks something its reader says no more than `map::at`."""


@dataclass(frozen=True)
class Prepared:
    """A folder the engine can open, and what it must know of the model in it.

    Attributes:
        folder: OpenVINO IR of the model, its tokenizer and detokenizer.
        name: of the model, for messages.
        content: what tells this model from others: the digest of its weights.
        context: tokens of prompt and answer together.
        template: the chat template; None: the model has none, and takes plain text only.
        bos: the text of the token that begins a text, "" if there is none.
        eos: the text of the token that ends an answer.
        stops: further tokens that end an answer.
        shapes: of each projection that an adapter may change its inputs and outputs; empty where that is not known.
    """

    folder: Path
    name: str
    content: str
    context: int
    template: str | None
    bos: str
    eos: str
    stops: tuple[int, ...]
    shapes: Mapping[str, tuple[int, int]]


def prepare(model: LanguageModel, *, progress: Progress = silent) -> Prepared:
    """The model as a folder that the engine opens; of safetensors a GGUF file of 8 bits is made first, once.

    Raises:
        BaseModelError: the engine cannot read this kind of model, or its parts do not belong together.
        MissingExtraError: the engine is not installed.
        ProjectError: the cache cannot be written.
    """
    if model.kind == "openvino":
        _check_folder(model.path, model.name)
        return read_ir(model.path, model.sha256, model.name)
    if model.kind == "safetensors":
        path, digest = folder_gguf(model, progress=progress)
    else:
        path, digest = model.path, model.sha256
        header = read_header(path)
        check_marks(
            header.chat_template, _uncut(header), model.name, bos=_token(header, "bos"), eos=_token(header, "eos")
        )
    return prepare_gguf(path, digest, model.name, progress=progress)


def prepare_gguf(path: Path, sha256: str, name: str, *, progress: Progress = silent) -> Prepared:
    """The GGUF file as a folder in the cache; made on the first call, of which `progress` is told.

    Raises:
        BaseModelError: the file is damaged, or of an architecture that the engine does not read.
        MissingExtraError: the engine is not installed.
    """
    header = read_header(path)
    if header.architecture not in READABLE:
        raise BaseModelError(
            f"{name!r} is of the architecture {header.architecture!r}; this engine reads {', '.join(READABLE)} from GGUF. "
            "Others can be converted: optimum-cli export openvino"
        )
    decoder_sizes(header, name)
    place = cache_folder() / "language_models" / f"{sha256[:20]}-{_MAKING}-{_engine_version()}"
    if not place.is_dir():
        progress(f"preparing {name} for the engine: done once", 0, None)
        _make(path, header, place, name)
    return _read(place, sha256, name)


def read_ir(folder: Path, content: str, name: str) -> Prepared:
    """A folder of OpenVINO IR as `optimum-cli export openvino` or this program writes it.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    if (folder / ABOUT).is_file():
        return _read(folder, content, name)
    for needed in (*IR, "config.json"):
        if not (folder / needed).is_file():
            raise ArtefactError(f"{name!r} has no {needed!r}; expected {', '.join(IR)}, config.json")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        told = folder / "tokenizer_config.json"
        tokens = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        context = int(config["max_position_embeddings"])
        shapes = _config_shapes(config)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtefactError(f"the configuration of {name!r} is not readable: {error!r}") from error
    ends = _token_text(tokens.get("bos_token")), _token_text(tokens.get("eos_token"))
    return Prepared(folder, name, content, context, template_in(folder), *ends, (), shapes)


def _check_folder(folder: Path, name: str) -> None:
    """That tokenizer, template and embedding belong together, as far as a folder for the engine says what they are."""
    if (folder / ABOUT).is_file() or not (folder / "tokenizer.json").is_file():
        return
    template = template_in(folder)
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        rows = int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])
        added = {one["content"]: one["id"] for one in tokenizer.get("added_tokens") or ()}
        # An added token that no message is written with may have no row, as <image_soft_token> in Gemma 3 of 1B.
        written = {token: number for token, number in added.items() if token in (template or "")}
        plain = {token: number for token, number in tokenizer["model"]["vocab"].items() if token not in added}
        largest = max([*plain.values(), *written.values()])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return  # of another kind; the engine has a tokenizer of its own
    check_marks(template, added, name)
    check_largest(largest, rows, name)


def _read(folder: Path, content: str, name: str) -> Prepared:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        about["stops"] = tuple(int(n) for n in about["stops"])
        about["shapes"] = {k: (int(a), int(b)) for k, (a, b) in about["shapes"].items()}
        return Prepared(folder=folder, name=name, content=content, **about)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtefactError(f"{ABOUT!r} of {name!r} is not readable: {error!r}") from error


def _make(path: Path, header: GgufHeader, place: Path, name: str) -> None:
    openvino, genai = _libraries()
    with folder_in_making(place.parent) as made:
        source = made / "source.gguf"
        if unreadable(header):
            write_readable(path, source, name)
        else:
            _link(path, source)
        try:
            tokenizer = genai.Tokenizer(str(source), enable_save_ov_model=True)
            genai.ContinuousBatchingPipeline(
                str(source), tokenizer, genai.SchedulerConfig(), "CPU", enable_save_ov_model=True
            )
            graph = openvino.Core().read_model(str(made / IR[0]))
            _name_projections(graph, header, name)
            if has_offsets(header):
                set_exact_offsets(graph, path, header, name)
            openvino.save_model(graph, str(made / "named.xml"), compress_to_fp16=False)
            del graph  # its numbers lie in the file that is replaced now
        except _REFUSALS as error:
            raise BaseModelError(
                f"the engine cannot read {name!r}: {_first_line(error)}; the file is damaged or of a kind that it does not "
                "know: fetch it again, or choose another one"
            ) from error
        source.unlink()
        for ending in (".xml", ".bin"):
            (made / f"named{ending}").replace(made / f"openvino_model{ending}")
        eot = header.facts.get("tokenizer.ggml.eot_token_id")
        about = Prepared(
            made, "", "", header.context, header.chat_template, _token(header, "bos"), _token(header, "eos"),
            () if eot is None else (int(eot),), _gguf_shapes(header),
        )  # fmt: skip
        told = {k: v for k, v in asdict(about).items() if k not in ("folder", "name", "content")}
        (made / ABOUT).write_text(json.dumps(told), encoding="utf-8")
        try:
            publish_folder(made, place)
        except ProjectError:
            if not place.is_dir():  # else another process was faster, with the same content
                raise


def _link(path: Path, to: Path) -> None:
    try:
        to.symlink_to(path.resolve())
    except OSError:  # where links are not allowed
        shutil.copyfile(path, to)


def _name_projections(graph: Any, header: GgufHeader, name: str) -> None:
    """Name the matrix products after the projections they are; their running numbers are in the order of making."""
    layers, shapes = int(header.facts[f"{header.architecture}.block_count"]), _gguf_shapes(header)
    products = [op for op in graph.get_ops() if op.get_type_name() == "MatMul" and _weighs(op)]
    products.sort(key=lambda op: int(op.get_friendly_name().rpartition("_")[2]))
    names = [f"model.layers.{layer}.{one}" for layer in range(layers) for one in PROJECTIONS]
    if len(products) != len(names) + 1:  # and the output head
        raise BaseModelError(f"the engine read {len(products)} projections from {name!r}; expected {len(names) + 1}")
    for op, new in zip(products, names, strict=False):
        outputs = op.get_output_partial_shape(0)[-1].get_length()
        if outputs != shapes[new][1]:
            raise BaseModelError(f"projection {new!r} of {name!r} has {outputs} outputs, expected {shapes[new][1]}")
        op.set_friendly_name(new)


def _weighs(op: Any) -> bool:
    """Whether its second input is made of weights alone."""
    open_nodes = [op.input_value(1).get_node()]
    while open_nodes:
        node = open_nodes.pop()
        if node.get_type_name() == "Parameter":
            return False
        open_nodes += [value.get_node() for value in node.input_values()]
    return True


def _gguf_shapes(header: GgufHeader) -> dict[str, tuple[int, int]]:
    layers = int(header.facts[f"{header.architecture}.block_count"])
    found = {}
    for layer in range(layers):
        for projection, own in zip(PROJECTIONS, _GGUF_NAMES, strict=True):
            shape = header.tensors[f"blk.{layer}.{own}.weight"]
            found[f"model.layers.{layer}.{projection}"] = (shape[0], shape[1])
    return found


def _config_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    head = int(config.get("head_dim") or hidden // heads)
    kept, inner = head * int(config.get("num_key_value_heads") or heads), int(config["intermediate_size"])
    each = (
        (hidden, head * heads), (hidden, kept), (hidden, kept), (head * heads, hidden),
        (hidden, inner), (hidden, inner), (inner, hidden),
    )  # fmt: skip
    return {
        f"model.layers.{layer}.{projection}": shape
        for layer in range(int(config["num_hidden_layers"]))
        for projection, shape in zip(PROJECTIONS, each, strict=True)
    }


def _uncut(header: GgufHeader) -> frozenset[str]:
    """The tokens that are whole words of the template's language, not pieces of texts."""
    pairs = zip(header.facts["tokenizer.ggml.tokens"], header.facts["tokenizer.ggml.token_type"], strict=True)
    return frozenset(token for token, kind in pairs if kind in (CONTROL, USER_DEFINED))


def _token(header: GgufHeader, which: str) -> str:
    number = header.facts.get(f"tokenizer.ggml.{which}_token_id")
    tokens = header.facts["tokenizer.ggml.tokens"]
    return str(tokens[number]) if isinstance(number, int) and 0 <= number < len(tokens) else ""


def _token_text(told: Any) -> str:
    return str(told.get("content", "")) if isinstance(told, dict) else str(told or "")


def _engine_version() -> str:
    _, genai = _libraries()
    return str(genai.__version__).partition("-")[0]


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _libraries() -> tuple[Any, Any]:
    try:
        import openvino
        import openvino_genai
    except ModuleNotFoundError as error:
        raise MissingExtraError("openvino-genai", "llm") from error
    return openvino, openvino_genai
