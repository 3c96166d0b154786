"""A lossy codec: keys and values each by its own coder, or as they are where that is better.

    keys | values          each: 0, raw words   or   what the coder gave (its first byte is not 0)

As they are, bit for bit, go halves that a coder refuses (NaN, infinity, numbers near the ends of
float32) and those that it would not make smaller (a single token has nothing to share a step
with).  So nothing that is put in comes back as garbage, and nothing grows by more than a byte.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.codecs.affine import Coder
from longtake.memory.codecs.base import Bytes, LayerShape
from longtake.memory.codecs.words import check_dtype, check_output, fill_words, to_words

_AS_IT_IS = 0


@dataclass(frozen=True)
class Halves:
    """A codec made of two coders.  See `Codec`.

    Numbers are coded and decoded in float32 and rounded once, to the layer's dtype.
    """

    name: str
    version: int
    keys: Coder
    values: Coder

    lossless = False

    def max_nbytes(self, shape: LayerShape) -> int:
        """The tensors' bytes and two more: any layer may be one that is stored as it is."""
        return shape.nbytes + 2

    def encode(self, keys: Tensor, values: Tensor) -> bytes:
        """See `Codec.encode`."""
        return self._encoded(self.keys, keys) + self._encoded(self.values, values)

    def decode(self, data: Bytes, shape: LayerShape, keys_out: Tensor, values_out: Tensor) -> None:
        """See `Codec.decode`.  Nothing is written unless all of `data` has the right form."""
        check_dtype(self.name, shape.dtype)
        for out in (keys_out, values_out):
            check_output(self.name, out, shape)
        keys, values = self._cut(memoryview(data), shape)
        self._fill(self.keys, keys, shape, keys_out)
        self._fill(self.values, values, shape, values_out)

    def error_bound(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Codec.error_bound`."""
        return self._bound(self.keys, keys), self._bound(self.values, values)

    def _encoded(self, coder: Coder, half: Tensor) -> bytes:
        check_dtype(self.name, half.dtype)
        coded = coder.encode(_as_float32(half))
        if coded is not None and len(coded) <= half.nbytes:
            return coded
        return bytes([_AS_IT_IS]) + to_words(self.name, half).tobytes()

    def _cut(self, data: memoryview, shape: LayerShape) -> tuple[memoryview, memoryview]:
        """The two halves' bytes.  Raises ValueError unless they are all that there is."""
        keys_nbytes = self._nbytes(self.keys, data, shape)
        values_nbytes = self._nbytes(self.values, data[keys_nbytes:], shape)
        if len(data) != keys_nbytes + values_nbytes:
            raise ValueError(
                f"{self.name} codec: {len(data)} bytes for {shape}, "
                f"expected {keys_nbytes + values_nbytes}"
            )
        return data[:keys_nbytes], data[keys_nbytes:]

    def _nbytes(self, coder: Coder, data: memoryview, shape: LayerShape) -> int:
        if not data:
            raise ValueError(f"{self.name} codec: too few bytes for {shape}")
        try:
            half = shape.nbytes // 2
            return 1 + half if data[0] == _AS_IT_IS else coder.nbytes(data[0], shape.size)
        except ValueError as error:
            raise ValueError(f"{self.name} codec: these bytes are not its own: {error}") from None

    def _fill(self, coder: Coder, data: memoryview, shape: LayerShape, out: Tensor) -> None:
        if data[0] == _AS_IT_IS:
            fill_words(data[1:], shape, out)
            return
        x = coder.decode(data, shape.size)
        if shape.dtype is torch.float16:  # what was put in was finite: half a step is not to end
            ends = torch.finfo(torch.float16)
            x.clamp_(ends.min, ends.max)
        out.copy_(x.to(shape.dtype))

    def _bound(self, coder: Coder, half: Tensor) -> Tensor:
        if self._encoded(coder, half)[0] == _AS_IT_IS:
            return torch.zeros(half.shape, dtype=torch.float32)
        x, ends = _as_float32(half), torch.finfo(half.dtype)
        bound = coder.error_bound(x)
        return bound + (x.abs() + bound) * (ends.eps / 2) + ends.smallest_normal * ends.eps


def _as_float32(half: Tensor) -> Tensor:
    return half.detach().to("cpu", torch.float32).contiguous()
