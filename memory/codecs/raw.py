"""Lossless: the bits as they are, little-endian, keys then values."""

import torch
from torch import Tensor

from longtake.memory.codecs.base import Bytes, LayerShape
from longtake.memory.codecs.words import check_dtype, check_output, fill_words, to_words


class Raw:
    """Every bit comes back.  Costs what the tensors cost."""

    name = "raw"
    version = 1
    lossless = True

    def max_nbytes(self, shape: LayerShape) -> int:
        """Exactly the tensors' bytes."""
        return shape.nbytes

    def encode(self, keys: Tensor, values: Tensor) -> bytes:
        """``[H, T, D]`` twice to ``2*H*T*D`` words."""
        return b"".join(to_words(self.name, half).data for half in (keys, values))

    def decode(self, data: Bytes, shape: LayerShape, keys_out: Tensor, values_out: Tensor) -> None:
        """Fill both outputs; raises ValueError on a wrong size."""
        check_dtype(self.name, shape.dtype)
        if len(data) != shape.nbytes:
            raise ValueError(f"raw codec: {len(data)} bytes for {shape}, expected {shape.nbytes}")
        for out in (keys_out, values_out):
            check_output(self.name, out, shape)
        middle = shape.nbytes // 2
        fill_words(memoryview(data)[:middle], shape, keys_out)
        fill_words(memoryview(data)[middle:], shape, values_out)

    def error_bound(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Zero everywhere."""
        keys_bound, values_bound = (
            torch.zeros(half.shape, dtype=torch.float32) for half in (keys, values)
        )
        return keys_bound, values_bound
