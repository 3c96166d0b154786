"""Layers of keys and values for the tests of codecs: like a model's, and as odd as they come."""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.memory.codecs import Codec, LayerShape

BIAS_NORM = 900.0  # of a head, as in Qwen2.5's last layer


def make_bias(heads: int, dim: int, norm: float = BIAS_NORM, seed: int = 7) -> Tensor:
    """Float32 ``[H, D]`` of this norm in each head, most of it in a few channels."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(heads, dim, generator=random) ** 5
    return drawn / drawn.norm(dim=1, keepdim=True) * norm


def make_layer(
    shape: LayerShape, *, bias: Tensor | None = None, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Keys whose channels differ in spread, and values; around ``bias`` if there is one."""
    random = torch.Generator().manual_seed(seed)
    keys, values = torch.randn(2, *shape.size, generator=random)
    keys = keys * torch.rand(shape.heads, 1, shape.dim, generator=random) * 4
    if bias is not None:
        keys = keys + bias[:, None]
    return keys.to(shape.dtype), values.to(shape.dtype)


def outputs(shape: LayerShape, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Where to decode: full of NaNs, so that nothing that stays unfilled goes unseen."""
    keys, values = torch.full((2, *shape.size), torch.nan, dtype=shape.dtype, device=device)
    return keys, values


def round_trip(codec: Codec, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded and decoded again."""
    shape = LayerShape(*keys.shape, keys.dtype)
    found = outputs(shape)
    codec.decode(codec.encode(keys, values), shape, *found)
    return found


def farthest(found: Tensor, given: Tensor, bound: Tensor) -> float:
    """The greatest error as a share of its bound; 0 where both are 0."""
    error = (found.double() - given.double()).abs()
    assert bound.shape == error.shape
    share = torch.where(error > 0, error / bound.double(), 0.0)
    return float(share.max())
