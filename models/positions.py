"""Rotary positions that we assign: tables for 1-D, sectioned and interleaved M-RoPE.

The decoder's own rotary step is made the identity (`bridge`); keys are kept un-rotated and
rotated once, when read, at contiguous positions: those never grow with the stream, and fp32
angles stay exact.

    angle[t, f] = position[axis_of_frequency[f], t] * inverse_frequency[f]

A axes (1 or 3), T tokens, D head dimension (its first 2F entries are rotated).
Sources: RoFormer (arXiv 2104.09864), Qwen2-VL (2409.12191), Qwen3-VL for interleaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Table = tuple[Tensor, Tensor]  # cos and sin of T tokens' angles: float32 [T, 2F] each


class Rotary:
    """One model's rotation.

    Args:
        inverse_frequency: float ``[F]``.
        axis_of_frequency: int ``[F]``, which position axis turns each frequency.
    """

    def __init__(self, inverse_frequency: Tensor, axis_of_frequency: Tensor) -> None:
        if inverse_frequency.shape != axis_of_frequency.shape:
            raise ValueError(
                f"{inverse_frequency.numel()} frequencies, {axis_of_frequency.numel()} axes: "
                "each frequency has one axis"
            )
        # Both halves of a head turn by the same angles.
        self._frequency = inverse_frequency.detach().float().repeat(2)
        self._axis = axis_of_frequency.to(inverse_frequency.device).long().repeat(2)
        self.axes = int(axis_of_frequency.max()) + 1

    @classmethod
    def of(cls, decoder: Any) -> Rotary:
        """Read a Hugging Face decoder's frequencies and M-RoPE sections."""
        frequency = decoder.rotary_emb.inv_freq
        return cls(frequency, axis_map(frequency.numel(), decoder.config))

    def table(self, positions: Tensor) -> Table:
        """Int ``[A, T]`` (or ``[1, T]`` for text, the same on every axis) -> rotations."""
        where = positions.to(self._frequency.device, torch.float32)
        if where.shape[0] == 1:
            angles = where[0][:, None] * self._frequency
        else:
            angles = where[self._axis].T * self._frequency
        return angles.cos(), angles.sin()

    def rotate(self, x: Tensor, table: Table) -> Tensor:
        """Turn ``[..., T, D]`` by ``table``; in float32, back in the dtype of ``x``."""
        cos, sin = table
        width = cos.shape[-1]
        turned = x[..., :width].float()
        half = width // 2
        swapped = torch.cat((-turned[..., half:], turned[..., :half]), -1)
        turned = (turned * cos).addcmul_(swapped, sin).to(x.dtype)
        return turned if width == x.shape[-1] else torch.cat((turned, x[..., width:]), -1)


def axis_map(frequencies: int, config: Any) -> Tensor:
    """Which axis (time, height, width) turns each frequency, from a decoder's config."""
    parameters = getattr(config, "rope_parameters", None) or {}
    sections: Sequence[int] | None = parameters.get("mrope_section")
    if sections is None:
        return torch.zeros(frequencies, dtype=torch.long)
    if not parameters.get("mrope_interleaved"):
        return torch.repeat_interleave(torch.arange(len(sections)), torch.tensor(sections))
    axes = torch.zeros(frequencies, dtype=torch.long)
    for axis in (1, 2):
        axes[axis : sections[axis] * 3 : 3] = axis
    return axes


def text_positions(tokens: int, axes: int) -> Tensor:
    """Offsets ``[A, T]`` of text: the same on every axis."""
    return torch.arange(tokens).expand(axes, -1)


def grid_positions(times: int, rows: int, columns: int) -> Tensor:
    """Offsets ``[3, times * rows * columns]`` of a video patch grid: time, row, column."""
    axes = torch.meshgrid(
        torch.arange(times), torch.arange(rows), torch.arange(columns), indexing="ij"
    )
    return torch.stack([axis.flatten() for axis in axes])


def in_turn(parts: Sequence[Tensor]) -> Tensor:
    """Offsets ``[A, t]`` of parts -> ``[A, T]``: each begins, on every axis, one behind the
    greatest before it."""
    placed, behind = [], 0
    for part in parts:
        placed.append(part + behind)
        behind = int(placed[-1].max()) + 1
    return torch.cat(placed, 1)
