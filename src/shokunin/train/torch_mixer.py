"""TinyTimeMixer in torch, for training only: the same tensors under the same names as the graph that will be served."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shokunin.series.mixer import SCALE_FLOOR, MixerShape, Tensors


class _Mixer(nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """One mixer: along the features, or across the patches."""

    def __init__(self, width: int, size: int, expansion: int, eps: float, dropout: float, *, across: bool) -> None:
        super().__init__()
        self.across, self.dropout = across, dropout
        self.norm = nn.ModuleDict({"norm": nn.LayerNorm(width, eps=eps)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(size, size * expansion), "fc2": nn.Linear(size * expansion, size)})
        self.gating_block = nn.ModuleDict({"attn_layer": nn.Linear(size, size)})

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states (n, patches, width)."""
        y = self.norm["norm"](hidden)
        y = y.transpose(1, 2) if self.across else y
        y = functional.dropout(functional.gelu(self.mlp["fc1"](y)), self.dropout, self.training)
        y = functional.dropout(self.mlp["fc2"](y), self.dropout, self.training)
        y = y * self.gating_block["attn_layer"](y).softmax(-1)
        return hidden + (y.transpose(1, 2) if self.across else y)


class TorchMixer(nn.Module):  # type: ignore[misc]
    """The whole encoder; its parameters carry the checkpoint's names."""

    def __init__(self, shape: MixerShape, tensors: Tensors, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        encoder = nn.Module()
        encoder.patcher = nn.Linear(shape.patch, shape.width)
        encoder.mlp_mixer_encoder = nn.Module()
        layers = [self._layer(finer, dropout) for _, finer in shape.blocks()]
        if shape.levels:
            each = [nn.ModuleList(layers[i : i + shape.layers]) for i in range(0, len(layers), shape.layers)]
            encoder.mlp_mixer_encoder.mixers = nn.ModuleList(nn.ModuleDict({"mixer_layers": part}) for part in each)
        else:
            encoder.mlp_mixer_encoder.mixers = nn.ModuleList(layers)
        if shape.resolutions:
            middle = (shape.patch + shape.width) // 2
            encoder.freq_mod = nn.Sequential(
                nn.Embedding(shape.resolutions, shape.patch),
                nn.Linear(shape.patch, middle),
                nn.GELU(),
                nn.Linear(middle, shape.width),
            )
        self.encoder = encoder
        self._order = layers
        self.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Hidden states (n, tokens, width) of windows (n, length); their mean over the tokens is the embedding."""
        scaled, _, _ = self.scaled(windows)
        return self.hidden(scaled)

    def scaled(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Windows (n, context) over their own mean and deviation, and these, each (n, 1)."""
        mean = windows.mean(1, keepdim=True)
        deviation = ((windows - mean).square().mean(1, keepdim=True) + SCALE_FLOOR).sqrt()
        scaled = (windows - mean) / deviation
        missing = self.shape.context - scaled.shape[1]
        return functional.pad(scaled, (missing, 0)) if missing > 0 else scaled, mean, deviation

    def hidden(self, scaled: torch.Tensor) -> torch.Tensor:
        """Hidden states of windows that are scaled already."""
        shape = self.shape
        used = shape.patches * shape.patch
        x = self.encoder.patcher(scaled[:, -used:].reshape(len(scaled), shape.patches, shape.patch))
        if shape.resolutions:
            token = self.encoder.freq_mod(torch.zeros(1, dtype=torch.long, device=x.device))
            x = torch.cat([token.expand(len(x), 1, shape.width), x], dim=1)
        for layer, (_, finer) in zip(self._order, shape.blocks(), strict=True):
            x = x.reshape(len(x), shape.tokens * finer, shape.width // finer)
            x = layer["feature_mixer"](layer["patch_mixer"](x))
            x = x.reshape(len(x), shape.tokens, shape.width)
        return x

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights as the graph is written from them."""
        return {name: value.detach().cpu().float().numpy() for name, value in self.state_dict().items()}

    def _layer(self, finer: int, dropout: float) -> nn.ModuleDict:
        shape, width, tokens = self.shape, self.shape.width // finer, self.shape.tokens * finer
        return nn.ModuleDict(
            {
                "patch_mixer": _Mixer(width, tokens, shape.expansion, shape.eps, dropout, across=True),
                "feature_mixer": _Mixer(width, width, shape.expansion, shape.eps, dropout, across=False),
            }
        )
