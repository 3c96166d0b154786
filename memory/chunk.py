"""A chunk: the keys and values that one step of the stream left in every layer.

It is the unit of eviction, index, recall and record.  Keys are kept before
rotary position, so a chunk can be placed anywhere later.  Which model made it
and where it is kept is not known here.

L layers, H key/value heads, T tokens, D head dimension, A position axes.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

AXES = (1, 3)  # plain positions; time, height and width of M-RoPE


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """What is known about a chunk without its tensors.  Times are session seconds.

    Raises:
        ValueError: if a time is not finite, the end lies before the start, or it holds no token.
    """

    number: int  # 0, 1, 2 ... in the order seen: its name within a take
    start_s: float  # of its first frame
    end_s: float  # of its last frame
    camera: str = ""
    wall_s: float | None = None  # Unix seconds of its first frame, where known
    tokens: int = field(kw_only=True)

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError(f"chunk number {self.number}: numbers count up from 0")
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise ValueError(f"chunk {self.number}: {self.start_s}..{self.end_s} s is not finite")
        if self.end_s < self.start_s:
            raise ValueError(
                f"chunk {self.number}: ends at {self.end_s} s, before its start at {self.start_s} s"
            )
        if self.wall_s is not None and not math.isfinite(self.wall_s):
            raise ValueError(
                f"chunk {self.number}: wall_s={self.wall_s} is not a time; None: unknown"
            )
        if self.tokens < 1:
            raise ValueError(f"chunk {self.number}: {self.tokens} tokens; a chunk holds at least 1")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Chunk:
    """One chunk with its tensors.  It owns none of them: whoever keeps it copies them.

    Args:
        info: its name and time.
        keys: ``[L, H, T, D]`` before rotary position, any float dtype.
        values: ``[L, H, T, D]``, same dtype and device.
        positions: int32 ``[A, T]`` offsets within the chunk, the smallest of each axis 0
            (checked only on the CPU; on a GPU it would make the stream wait).
        weights: float32 ``[T]``: how many original tokens each one stands for; None: one each.

    Raises:
        ValueError: if shapes, dtypes or devices do not fit together.
    """

    info: ChunkInfo
    keys: Tensor
    values: Tensor
    positions: Tensor
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        self._check_keys_and_values()
        self._check_positions()
        if self.weights is not None and (
            self.weights.shape != (self.tokens,) or self.weights.dtype != torch.float32
        ):
            raise ValueError(
                f"chunk {self.info.number}: weights {_layout(self.weights)}, "
                f"expected [{self.tokens}] float32"
            )

    @property
    def layers(self) -> int:
        return self.keys.shape[0]

    @property
    def heads(self) -> int:
        return self.keys.shape[1]

    @property
    def tokens(self) -> int:
        return self.info.tokens

    @property
    def dim(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        weights = 0 if self.weights is None else self.weights.nbytes
        return self.keys.nbytes + self.values.nbytes + self.positions.nbytes + weights

    def __repr__(self) -> str:
        weights = "" if self.weights is None else f", weights={_layout(self.weights)}"
        return (
            f"Chunk({self.info.number}: {self.info.start_s:g}..{self.info.end_s:g} s, "
            f"keys=values={_layout(self.keys)} on {self.keys.device}, "
            f"positions={_layout(self.positions)}{weights})"
        )

    def _check_keys_and_values(self) -> None:
        keys, values, name = self.keys, self.values, f"chunk {self.info.number}"
        if keys.dim() != 4 or not keys.is_floating_point():
            raise ValueError(f"{name}: keys {_layout(keys)}, expected [L, H, T, D] of floats")
        if (keys.shape, keys.dtype, keys.device) != (values.shape, values.dtype, values.device):
            raise ValueError(
                f"{name}: keys {_layout(keys)} on {keys.device} "
                f"but values {_layout(values)} on {values.device}"
            )
        if keys.shape[2] != self.info.tokens:
            raise ValueError(
                f"{name}: {keys.shape[2]} tokens in keys, {self.info.tokens} in its info"
            )
        if keys.numel() == 0:
            raise ValueError(f"{name}: keys {_layout(keys)} hold nothing")

    def _check_positions(self) -> None:
        positions, name = self.positions, f"chunk {self.info.number}"
        shapes = [(axes, self.tokens) for axes in AXES]
        if tuple(positions.shape) not in shapes or positions.dtype != torch.int32:
            raise ValueError(
                f"{name}: positions {_layout(positions)}, "
                f"expected [1, {self.tokens}] or [3, {self.tokens}] int32"
            )
        if positions.device.type == "cpu" and positions.amin(dim=1).any():
            raise ValueError(
                f"{name}: positions start at {positions.amin(dim=1).tolist()}, "
                "expected offsets from 0 on each axis"
            )


def summarize(keys: Tensor) -> Tensor:
    """Reduce a chunk's keys to one search vector per layer.

    Args:
        keys: ``[L, H, T, D]`` before rotary position, any float dtype.

    Returns:
        ``[L, H*D]`` float32 on the same device: the mean over the chunk's tokens, heads
        side by side.

    Raises:
        ValueError: if the chunk holds no token.

    Source: ReKV (arXiv 2503.00540), internal retrieval.  Kept per key/value head here: with
    the query heads of a group summed, the inner product is the same as with its expanded
    heads, at a seventh of the size for 7:1 grouped queries.
    """
    if keys.dim() != 4 or keys.shape[2] == 0:
        raise ValueError(f"keys {_layout(keys)}: expected [L, H, T, D] with at least one token")
    return keys.mean(dim=2, dtype=torch.float32).flatten(1)


def _layout(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
