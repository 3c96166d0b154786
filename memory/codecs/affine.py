"""Few bits a number: a zero and a step per group, and a whole code for each of its numbers.

    step = (greatest - least) / (2^bits - 1),   code = round((x - least) / step)

This is KIVI's asymmetric quantisation (arXiv 2402.02750).  A group is up to `group` neighbours
along one axis: tokens for keys, whose outliers stay in their channels; channels for values.
We depart in two things.  Groups that do not divide the axis are made nearly equal (49 tokens:
25 and 24; 196: 7 of 28) instead of leaving a short one, or a rest in full precision.  And what
is stored of the zero is rounded down, of the step up, *before* the codes are made: so the
rounding of neither adds to the error, which is half a stored step.

    format (1 byte) | zeros | steps | codes

Zeros and steps are float16; float32 where a half is too great or too small for that.  Codes of
less than a byte are packed (`packing`).  What cannot be coded at all (NaN, infinity, near float32's
ends) is told by None; what becomes of it is not known here.

H heads, T tokens, D head dimension, G groups along the axis, N = H*T*D.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from longtake.memory.codecs.base import Bytes
from longtake.memory.codecs.packing import Codes, pack, unpack

TOKENS, CHANNELS = 1, 2  # axes of [H, T, D] along which groups lie

Size = tuple[int, int, int]

_HALF = torch.float16
_NARROW, _WIDE = 1, 2
_FORMATS: dict[int, np.dtype[Any]] = {  # of zeros and steps
    _NARROW: np.dtype("<f2"),
    _WIDE: np.dtype("<f4"),
}
# A half whose greatest absolute number lies between: float16 holds each zero and step, and
# rounds none of them by more than 2^-14 of that number.
_NARROW_FROM, _NARROW_TO = 2.0**-10, 2.0**15
_WIDE_TO = 2.0**126  # a range twice as wide is still a float32
_LEAST_STEP = 2.0**-120  # of float32; a group with less is constant


class Coder(Protocol):
    """How one half of a layer, its keys or its values, becomes bytes."""

    def encode(self, x: Tensor) -> bytes | None:
        """Float32 ``[H, T, D]`` on the CPU, not empty and left as it is; None: not codable."""
        ...

    def nbytes(self, form: int, size: Size) -> int:
        """Length of what `encode` gave, from its first byte.  Raises ValueError if it is none."""
        ...

    def decode(self, data: Bytes, size: Size) -> Tensor:
        """A new float32 ``[H, T, D]`` from exactly as many bytes as `nbytes` says."""
        ...

    def error_bound(self, x: Tensor) -> Tensor:
        """Float32 ``[H, T, D]``: no number comes back farther from ``x`` than this."""
        ...


@dataclass(frozen=True, slots=True)
class Affine:
    """Groups of up to `group` numbers along `axis` share a zero and a step.

    Args:
        bits: 2, 4 or 8 of each code.
        axis: TOKENS or CHANNELS.
        group: None: the whole axis.
    """

    bits: int
    axis: int
    group: int | None = None

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8):
            raise ValueError(f"bits={self.bits}: must be 2, 4 or 8, to fill whole bytes")
        if self.axis not in (TOKENS, CHANNELS):
            raise ValueError(f"axis={self.axis}: must be {TOKENS} (tokens) or {CHANNELS}")
        if self.group is not None and self.group < 1:
            raise ValueError(f"group={self.group}: must be at least 1, or None for the whole axis")

    @property
    def greatest(self) -> int:
        """The greatest code."""
        return (1 << self.bits) - 1

    def encode(self, x: Tensor) -> bytes | None:
        """See `Coder.encode`."""
        least, most = self._extremes(x)
        reach = max(float(most.max()), -float(least.min()))
        if not reach <= _WIDE_TO:  # NaN too
            return None
        form, make = (_NARROW, _narrow_scales) if _is_narrow(reach) else (_WIDE, _wide_scales)
        scales = make(least, most, self.greatest)
        codes = self._codes(x, *(part.float() for part in scales))
        words = (np.asarray(part.numpy(), _FORMATS[form]).tobytes() for part in scales)
        return b"".join((bytes([form]), *words, pack(codes, self.bits)))

    def nbytes(self, form: int, size: Size) -> int:
        """See `Coder.nbytes`."""
        if form not in _FORMATS:
            raise ValueError(f"format {form} of zeros and steps is not known; there is 1 and 2")
        scales = math.prod(self._scales_size(size))
        packed = -(-math.prod(size) * self.bits // 8)
        return 1 + 2 * scales * _FORMATS[form].itemsize + packed

    def decode(self, data: Bytes, size: Size) -> Tensor:
        """See `Coder.decode`."""
        word, scales_size = _FORMATS[data[0]], self._scales_size(size)
        count = math.prod(scales_size)
        scales = np.frombuffer(data, word, 2 * count, offset=1).astype(np.float32)
        zeros, steps = torch.from_numpy(scales).view(2, *scales_size)
        codes = np.frombuffer(data, np.uint8, offset=1 + scales.size * word.itemsize)
        x = torch.from_numpy(unpack(codes, self.bits, math.prod(size))).view(size).float()
        for numbers, zero, step in self._groups(x, zeros, steps):
            numbers.mul_(step).add_(zero)
        return x

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a step, rounded up as it is stored, and the float32 arithmetic around it."""
        least, most = self._extremes(x)
        span, reach = most - least, torch.maximum(most.abs(), least.abs())
        if _is_narrow(float(reach.max())):
            span = span + reach * 2.0**-10 + 2.0**-24  # the zero lies up to one float16 lower
            step = span / self.greatest * (1 + 2.0**-10) + 2.0**-24  # and the step one higher
        else:
            step = span / self.greatest * (1 + 2.0**-20)
        bound = step / 2 + reach * 2.0**-21 + self.greatest * _LEAST_STEP
        bound = torch.where(reach > 0, bound, 0.0)
        length = x.shape[self.axis]
        return bound.repeat_interleave(self._side(length), self.axis).narrow(self.axis, 0, length)

    def _side(self, length: int) -> int:
        """Numbers in each group but the last, which may have fewer: as few groups as fit."""
        groups = 1 if self.group is None else -(-length // self.group)
        return -(-length // groups)

    def _scales_size(self, size: Size) -> Size:
        heads, tokens, dim = size
        length = size[self.axis]
        groups = -(-length // self._side(length))
        return (heads, groups, dim) if self.axis == TOKENS else (heads, tokens, groups)

    def _groups(self, x: Tensor, *scales: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Views of ``x`` cut into groups, ``[.., G, side, ..]``, with their scales beside them:
        those of full length, then the last one if it is shorter."""
        axis, length = self.axis, x.shape[self.axis]
        side = self._side(length)
        whole = length // side
        if whole:
            cut = x.narrow(axis, 0, whole * side)
            yield (
                cut.view(*x.shape[:axis], whole, side, *x.shape[axis + 1 :]),
                *(scale.narrow(axis, 0, whole).unsqueeze(axis + 1) for scale in scales),
            )
        if rest := length - whole * side:
            cut = x.narrow(axis, whole * side, rest).unsqueeze(axis)
            yield cut, *(scale.narrow(axis, whole, 1).unsqueeze(axis + 1) for scale in scales)

    def _extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest number of each group; NaN where there is one."""
        inner = self.axis + 1
        # Two passes: `aminmax` along a dimension is eight times slower (torch 2.13, AVX-512).
        ends = [(cut.amin(inner), cut.amax(inner)) for (cut,) in self._groups(x)]
        least, most = (torch.cat(parts, self.axis) for parts in zip(*ends, strict=True))
        return least, most

    def _codes(self, x: Tensor, zeros: Tensor, steps: Tensor) -> Codes:
        """Of ``x``, flat; halves go to the even code, as in KIVI."""
        codes = torch.empty(x.shape)
        divisors = torch.where(steps > 0, steps, 1.0)  # of constant groups: every code is 0
        for (into,), (cut, zero, divisor) in zip(
            self._groups(codes), self._groups(x, zeros, divisors), strict=True
        ):
            torch.sub(cut, zero, out=into).div_(divisor).round_()
        return codes.numpy().astype(np.uint8).ravel()  # five times faster than torch's


def _is_narrow(reach: float) -> bool:
    """True: float16 zeros and steps are good enough for numbers up to `reach` from 0."""
    return reach == 0 or _NARROW_FROM <= reach <= _NARROW_TO


def _narrow_scales(least: Tensor, most: Tensor, greatest: int) -> tuple[Tensor, Tensor]:
    """Zeros rounded down to float16, steps up: groups still reach from least to greatest.

    The neighbour of a float16 is one away in its bits: farther from 0 for one more.
    """
    zeros = least.half()
    is_above = (zeros > least).short()
    zeros = (zeros.view(torch.int16) + torch.where(zeros > 0, -is_above, is_above)).view(_HALF)
    wanted = (most - zeros).div_(greatest)
    steps = wanted.half()
    steps = (steps.view(torch.int16) + (steps < wanted).short()).view(_HALF)
    return zeros, steps


def _wide_scales(least: Tensor, most: Tensor, greatest: int) -> tuple[Tensor, Tensor]:
    steps = (most - least).div_(greatest)
    return least, torch.where(steps < _LEAST_STEP, 0.0, steps)  # nothing to divide by
