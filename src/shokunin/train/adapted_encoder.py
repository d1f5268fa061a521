"""An encoder with low-rank adapters on its upper layers, and lessons as tokens: what a learner that tunes one begins with.

LoRA (Hu et al., arXiv 2106.09685) on every linear layer of the upper half; the lower half is run once and kept, since nothing in
it changes and it has no dropout. The adapters are merged into the tensors that are served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from pydantic import BaseModel, ConfigDict, Field

from shokunin.encoders.architecture import Tensors, read_shape, read_tensors
from shokunin.encoders.base_models import DEFAULT_ENCODER, pooling_of
from shokunin.encoders.base_models import BaseModel as Base
from shokunin.errors import UsageError
from shokunin.progress import Progress
from shokunin.train.torch_encoder import LINEAR, TorchEncoder, batch_of, tensor_name

KEPT_BYTES = 1 << 30
BATCHES_SORTED_TOGETHER = 40

Share = Annotated[float, Field(ge=0, le=1)]
Rows = npt.NDArray[np.int64]


class AdapterOptions(BaseModel):
    """What the owner may choose of the adapters; names as in PEFT where they exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(DEFAULT_ENCODER, description="pkg:NAME, hf:org/name[@revision] or a folder")
    lora_r: int = Field(32, ge=1, le=512)
    lora_alpha: int = Field(64, ge=1)
    lora_dropout: Share = 0.0
    target_modules: tuple[str, ...] = Field(LINEAR, min_length=1, description=f"of {', '.join(LINEAR)}")
    trained_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="how many of the upper layers get adapters; by default half of them"
    )
    bf16: bool | None = Field(
        None, description="by default where the processor computes in it (AMX, AVX512-BF16, CUDA)"
    )


class AdaptedEncoder:
    """The encoder with its adapters, and n sequences of tokens.

    Attributes:
        base: the model that it starts from.
        ids: n sequences of token ids, int64.
        lengths: shape (n,).
        pad_id: fills the shorter rows of a batch.
        encoder: the torch module.
        frozen_layers: how many of the lower layers have no adapters.
        parameters: of the adapters.
        kept: hidden states after the frozen layers, one (length, d) a sequence, once `keep_lower_layers` kept them.
    """

    def __init__(self, options: AdapterOptions, base: Base, ids: Sequence[Rows], pad_id: int) -> None:
        """Build it.

        Raises:
            UsageError: an option does not fit the encoder.
        """
        self.base, self.ids, self.pad_id = base, ids, pad_id
        self.shape = read_shape(base.folder)
        self.pooling = pooling_of(base.folder)
        self.tensors = read_tensors(base.folder, self.shape)
        self.lengths = np.array([len(i) for i in ids])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = _computes_bf16(self.device) if options.bf16 is None else options.bf16
        self.encoder = TorchEncoder(self.shape, self.tensors, self.pooling)
        self.frozen_layers = self._add_adapters(options)
        self.encoder.to(self.device)
        self.adapters = [m for m in self.encoder.modules() if isinstance(m, LoraLayer)]
        self.full_strength = options.lora_alpha / options.lora_r
        self.parameters = [p for p in self.encoder.parameters() if p.requires_grad]
        self.kept: list[torch.Tensor] | None = None

    def _add_adapters(self, options: AdapterOptions) -> int:
        unknown = [m for m in options.target_modules if m not in LINEAR]
        if unknown:
            raise UsageError(f"unknown target_modules {unknown!r}; expected some of {', '.join(LINEAR)}")
        trained = options.trained_layers or -(-self.shape.layers // 2)
        if trained > self.shape.layers:
            raise UsageError(f"trained_layers is {trained}, but {options.base!r} has {self.shape.layers} layers")
        first = self.shape.layers - trained
        names = [f"layers.{n}.{part}" for n in range(first, self.shape.layers) for part in options.target_modules]
        config = LoraConfig(
            r=options.lora_r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules=names,
            bias="none",
        )
        inject_adapter_in_model(config, self.encoder)
        return first

    def keep_lower_layers(self, progress: Progress) -> None:
        """Run the layers that do not change once, if the result fits into `KEPT_BYTES`."""
        kind = torch.bfloat16 if self.bf16 else torch.float32
        if int(self.lengths.sum()) * self.shape.width * kind.itemsize > KEPT_BYTES:
            return
        kept: list[torch.Tensor] = [torch.empty(0)] * len(self.ids)
        done = 0
        with torch.no_grad():
            for rows in self.in_order():
                hidden, _ = self._lower(rows)
                hidden = hidden.to("cpu", kind)
                for place, row in enumerate(rows):
                    kept[row] = hidden[place, : self.lengths[row]].clone()
                done += len(rows)
                progress("reading with the lower layers", done, len(self.ids))
        self.kept = kept

    def lower(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (len(rows), t, d) of the sequences at `rows` after the frozen layers, and their mask; no gradient."""
        if self.kept is None:
            with torch.no_grad():
                return self._lower(rows)
        hidden = torch.nn.utils.rnn.pad_sequence([self.kept[r] for r in rows], batch_first=True)
        hidden = hidden.to(self.device).float()
        lengths = torch.from_numpy(self.lengths[rows])
        mask = (torch.arange(hidden.shape[1])[None] < lengths[:, None]).long().to(self.device)
        return hidden, mask

    def set_strength(self, share: float) -> None:
        """Let the adapters act at a share of what was trained."""
        for adapter in self.adapters:
            adapter.scaling["default"] = self.full_strength * share

    def merged(self) -> Tensors:
        """The encoder's tensors with the adapters, at their present strength, added in."""
        tensors = dict(self.tensors)
        for name, module in self.encoder.named_modules():
            if isinstance(module, LoraLayer):
                change = module.get_delta_weight("default").detach().float().cpu().numpy()
                known_as = tensor_name(self.shape, name)
                tensors[known_as] = tensors[known_as] + change
        return tensors

    def trained_parameters(self) -> int:
        """Numbers in the adapters."""
        return sum(int(p.numel()) for p in self.parameters)

    def autocast(self) -> Any:
        """Compute in bf16, where that is wanted."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def in_order(self, tokens: int = 2048, *, among: Rows | None = None) -> Iterator[Rows]:
        """All rows, or those, in batches of about equal length and at most `tokens` tokens, longest first."""
        order = np.arange(len(self.lengths)) if among is None else among
        order = order[np.argsort(-self.lengths[order], kind="stable")]
        start = 0
        while start < len(order):
            size = max(1, tokens // int(self.lengths[order[start]]))
            yield order[start : start + size]
            start += size

    def _lower(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = batch_of([self.ids[r] for r in rows], self.pad_id, self.device)
        with self.autocast():
            return self.encoder.lower(ids, mask, self.frozen_layers), mask


def shuffled_batches(lengths: npt.NDArray[np.int64], size: int, steps: int, seed: int) -> Iterator[Rows]:
    """`steps` batches of rows: shuffled, then sorted by length within groups of batches, so that little is padding."""
    random = np.random.default_rng(seed)
    given = 0
    while True:
        order = random.permutation(len(lengths))
        batches = []
        for start in range(0, len(order), size * BATCHES_SORTED_TOGETHER):
            part = order[start : start + size * BATCHES_SORTED_TOGETHER]
            part = part[np.argsort(lengths[part], kind="stable")]
            batches += [part[i : i + size] for i in range(0, len(part), size)]
        for place in random.permutation(len(batches)):
            if given == steps:
                return
            given += 1
            yield batches[place]


def warm_then_cosine(steps: int, warmup_ratio: float) -> Any:
    """The learning rate at a step as a share of the highest: up in a line, down as a half cosine."""
    warm = max(1, int(warmup_ratio * steps))

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, steps - warm))))

    return rate


def _computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is quick here; without the instructions for it, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
