"""What a codec is: one layer's keys and values to bytes and back.

A codec is pure and stateless: the same tensors always give the same bytes.
Whether bytes are damaged is not its business (the record's checksums say so);
whether they fit the shape is.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One layer of a chunk: ``[heads, tokens, dim]`` of `dtype`, once for keys, once for values."""

    heads: int
    tokens: int
    dim: int
    dtype: torch.dtype

    def __post_init__(self) -> None:
        if min(self.heads, self.tokens, self.dim) < 1 or not self.dtype.is_floating_point:
            raise ValueError(f"{self}: every size must be positive and the dtype a float")

    @property
    def size(self) -> tuple[int, int, int]:
        """Shape of the keys, and of the values."""
        return (self.heads, self.tokens, self.dim)

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values together, as tensors."""
        return 2 * math.prod(self.size) * self.dtype.itemsize


class Codec(Protocol):
    """How a layer is stored.  What one version wrote, that version reads for ever.

    Every codec takes float32, float16 and bfloat16, and any numbers: what it cannot code within
    its bound (NaN, infinity, the ends of float32) it stores as it is, bit for bit.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def lossless(self) -> bool:
        """True: decode gives back every bit, NaNs included."""
        ...

    def max_nbytes(self, shape: LayerShape) -> int:
        """An upper bound of what `encode` returns for this shape."""
        ...

    def encode(self, keys: Tensor, values: Tensor) -> bytes:
        """Bytes of one layer.

        Args:
            keys: ``[H, T, D]``, any strides and device.
            values: the same shape and dtype.

        Raises:
            ValueError: if the codec does not take this dtype.
        """
        ...

    def decode(self, data: Bytes, shape: LayerShape, keys_out: Tensor, values_out: Tensor) -> None:
        """Fill the caller's ``[H, T, D]`` tensors; any strides and device, none allocated here.

        Raises:
            ValueError: if `data` or an output does not have the size that `shape` asks for.
        """
        ...

    def error_bound(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """How far from these ``[H, T, D]`` what `decode` gives back can be at most.

        Returns:
            float32 ``[H, T, D]`` for keys, and for values; 0 where every bit comes back.  A lossy
            codec's is half a step of the number's group, and its rounding to the dtype.
        """
        ...
