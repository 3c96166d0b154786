"""Where tokens stand: contiguous positions for segments laid one behind the other.

Each segment (a chunk, the sink, a stretch of text) begins on every axis one behind the greatest
position before it.  So positions are as many as there are tokens at most, however long the
stream is, and any selection of chunks can be laid out.  That relative places inside a chunk are
kept is all that the model needs of rotary positions.

A axes, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Segment(NamedTuple):
    """A stretch of past, un-rotated: ``[L, H, T, D]`` of all layers or ``[H, T, D]`` of one,
    with int offsets ``[A, T]``."""

    keys: Tensor
    values: Tensor
    positions: Tensor

    @property
    def tokens(self) -> int:
        return int(self.positions.shape[1])

    def layer(self, number: int) -> Segment:
        """One layer of a segment that has all."""
        return Segment(self.keys[number], self.values[number], self.positions)


class Rotary(Protocol):
    """What memory needs of a model's rotary positions."""

    def table(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Int ``[A, T]`` -> cos and sin of those positions."""
        ...

    def rotate(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """``[..., T, D]`` turned."""
        ...


def lay_out(offsets: Sequence[Tensor], start: int = 0) -> tuple[Tensor, int]:
    """Place segments behind one another.

    Args:
        offsets: int ``[A, T]`` each, at least one.
        start: position of the first token of the first one.

    Returns:
        Positions ``[A, T of all]``, and the first position behind them.
    """
    placed = []
    for positions in offsets:
        placed.append(positions.long() + start)
        start += extent(positions)
    return torch.cat(placed, 1), start


def extent(positions: Tensor) -> int:
    """How many positions a segment takes: its greatest offset and one."""
    return int(positions.max()) + 1
