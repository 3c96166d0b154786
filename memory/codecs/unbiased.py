"""Take the key projection's bias away before a codec, and put it back after.

Qwen2 and Qwen2.5 have biases of norm 600 to 900 in their first and last layers: constants of the
weights, the same for every token, beside which what tokens differ by is small.  Numbers stored
beside them lose their last bits (float16 zeros, bfloat16 results), so they are taken away first,
and added in float32 before the one rounding to the layer's dtype.  Values are never touched.
What a model's bias is, is not known here.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longtake.memory.codecs.affine import Coder, Size
from longtake.memory.codecs.base import Bytes
from longtake.memory.codecs.halves import Halves

PREFIX = "unbiased-"


def unbiased(codec: Halves, key_bias: Tensor) -> Halves:
    """The same codec for one layer whose keys have this bias.

    Args:
        key_bias: float32 ``[H, D]``.

    Raises:
        ValueError: if it is not ``[H, D]``, or not finite.
    """
    if key_bias.dim() != 2 or key_bias.dtype != torch.float32:
        raise ValueError(
            f"key_bias {list(key_bias.shape)} {key_bias.dtype}: expected [heads, dim] float32"
        )
    if not key_bias.isfinite().all():
        raise ValueError("key_bias holds NaN or infinity: the model's weights are damaged")
    offset = key_bias.detach().cpu()[:, None]
    return replace(codec, name=PREFIX + codec.name, keys=Shifted(codec.keys, offset))


@dataclass(frozen=True, eq=False)
class Shifted:
    """A coder that sees numbers less their offset ``[H, 1, D]``.  See `Coder`."""

    coder: Coder
    offset: Tensor

    def encode(self, x: Tensor) -> bytes | None:
        """See `Coder.encode`."""
        self._check((x.shape[0], x.shape[1], x.shape[2]))
        return self.coder.encode(x - self.offset)

    def nbytes(self, form: int, size: Size) -> int:
        """See `Coder.nbytes`."""
        self._check(size)
        return self.coder.nbytes(form, size)

    def decode(self, data: Bytes, size: Size) -> Tensor:
        """See `Coder.decode`."""
        return self.coder.decode(data, size).add_(self.offset)

    def error_bound(self, x: Tensor) -> Tensor:
        """That of the coder, and two roundings in float32."""
        bound = self.coder.error_bound(x - self.offset)
        return bound + (x.abs() + self.offset.abs() + bound) * torch.finfo(torch.float32).eps

    def _check(self, size: Size) -> None:
        heads, _, dim = self.offset.shape
        if (heads, dim) != (size[0], size[2]):
            raise ValueError(
                f"key_bias is of {heads} heads of {dim}, the keys are {list(size)} (heads, tokens, "
                "dim): a codec with a bias is of one layer of one model"
            )
