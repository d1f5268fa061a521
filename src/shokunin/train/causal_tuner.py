"""A decoder with its adapters and their optimiser: one step, one judgement, their state, and what they add to the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer

from shokunin.train.causal_base import Base
from shokunin.train.causal_rows import Row, split_up
from shokunin.train.torch_causal import ADAPTER, Decoder, checkpoint_module, packed

if TYPE_CHECKING:
    from shokunin.train.causal_distill import LocalTeacher
    from shokunin.train.causal_lora import Options


class Tuner:
    """The model in training."""

    def __init__(self, base: Base, options: Options) -> None:
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = computes_bf16(self.device) if options.bf16 is None else options.bf16
        self.decoder = Decoder(base.config, base.tensors(), torch.bfloat16 if self.bf16 else torch.float32)
        self.decoder.to(self.device)
        self.decoder.share()
        inject_adapter_in_model(self.lora_config(), self.decoder)
        self.adapters = {n: p for n, p in self.decoder.named_parameters() if "lora_" in n}
        for parameter in self.adapters.values():
            parameter.data = parameter.data.float()  # PEFT has made them in the precision of the frozen weights
            parameter.requires_grad_(True)
        self.best: dict[str, torch.Tensor] = {}
        self.teacher: LocalTeacher | None = None
        self.optimizer = torch.optim.AdamW(
            list(self.adapters.values()), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )

    def lora_config(self) -> LoraConfig:
        """The adapters as PEFT describes them."""
        options = self.options
        return LoraConfig(
            r=options.r,
            lora_alpha=options.lora_alpha,
            lora_dropout=options.lora_dropout,
            target_modules=list(options.target_modules),
            use_dora=options.use_dora,
            bias="none",
            task_type="CAUSAL_LM",
        )

    def learn(self, rows: Sequence[Row], rate: float | None, own: Sequence[bool] = ()) -> tuple[float, int, int]:
        """One step on a batch at the learning rate `rate`; with None the weights stay as they are.

        `own` says which answers the student has written itself; there the teacher alone is learnt from.

        Returns:
            The batch's summed loss in nats, the number of tokens that it is summed over, and how many tokens went
            through the model.
        """
        self.decoder.train()
        told = sum(len(ids) - prompt for ids, prompt in rows)
        order = sorted(range(len(rows)), key=lambda n: len(rows[n][0]))  # pieces are of about equal lengths
        rows, own = [rows[n] for n in order], [own[n] for n in order] if own else ()
        loss = 0.0
        computed = at = 0
        for piece in split_up(rows, self.options.tokens_at_once):
            batch = packed(piece, self.device)
            computed += len(batch.ids)
            if self.teacher is None:
                part = self.decoder.loss(batch)
            else:
                part = self.teacher.loss(self.decoder, batch, piece, own[at : at + len(piece)])
            at += len(piece)
            (part / told).backward()
            loss += float(part.detach())
        if rate is not None:
            torch.nn.utils.clip_grad_norm_(self.adapters.values(), self.options.max_grad_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad()
        return loss, told, computed

    def judge(self, rows: Sequence[Row]) -> tuple[float, int]:
        """Summed loss and number of tokens of rows that are not trained on."""
        self.decoder.eval()
        with torch.no_grad():
            batch = packed(rows, self.device)
            return float(self.decoder.loss(batch)), len(batch.labels)

    def keep_best(self) -> None:
        """The adapters as they are now are the best so far."""
        self.best = {name: p.detach().clone() for name, p in self.adapters.items()}

    def use_best(self) -> None:
        """Put the best adapters back, if any were kept."""
        for name, value in self.best.items():
            self.adapters[name].data.copy_(value)

    def state(self) -> dict[str, torch.Tensor]:
        """All that a run needs to go on."""
        out = {f"now/{n}": p for n, p in self.adapters.items()} | {f"best/{n}": t for n, t in self.best.items()}
        for name, parameter in self.adapters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if key != "step":
                    out[f"{key}/{name}"] = value
        return out

    def restore(self, state: Mapping[str, torch.Tensor], step: int) -> None:
        """The inverse of `state`, after `step` steps."""
        for name, parameter in self.adapters.items():
            parameter.data.copy_(state[f"now/{name}"])
            moments: dict[str, Any] = {key: state[f"{key}/{name}"].to(self.device) for key in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
        self.best = {n.removeprefix("best/"): t.to(self.device) for n, t in state.items() if n.startswith("best/")}

    def merged(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The base's tensors, float32, with the adapters merged in."""
        out = {name: tensor.float() for name, tensor in tensors.items()}
        for name, module in self.decoder.named_modules():
            if not isinstance(module, LoraLayer):
                continue
            key = f"{checkpoint_module(name)}.weight"
            change = module.get_delta_weight(ADAPTER).detach().float().cpu()
            whole = out[key] + change
            if module.use_dora.get(ADAPTER, False):
                size = module.lora_magnitude_vector[ADAPTER].weight.detach().float().cpu()
                whole = whole * (size / whole.norm(dim=1))[:, None]
            out[key] = whole
        return out

    def adapter_tensors(self) -> dict[str, torch.Tensor]:
        """The adapters under PEFT's names."""
        out = {}
        for name, parameter in self.adapters.items():
            plain = checkpoint_module(name).replace(f".{ADAPTER}", "")
            if plain.endswith("lora_magnitude_vector.weight"):
                plain = plain.removesuffix(".weight")
            out[f"base_model.model.{plain}"] = parameter.detach().float().cpu().contiguous()
        return out

    def trained_parameters(self) -> int:
        """Numbers in the adapters."""
        return sum(int(p.numel()) for p in self.adapters.values())


def computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is quick here; without the instructions for it, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))
