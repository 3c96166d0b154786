"""Codes of 2, 4 or 8 bits as bytes, in planes.

Byte ``i`` of ``m`` holds codes ``i``, ``m + i``, ``2m + i`` ... from its lowest bits up: so each
plane is one run of codes, and packing is a shift of it.  Behind the last code are zeros.
"""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]


def pack(codes: Codes, bits: int) -> bytes:
    """Uint8 codes ``[N]`` to ``ceil(N * bits / 8)`` bytes, in planes."""
    planes = 8 // bits
    nbytes = -(-len(codes) // planes)
    packed = np.zeros(nbytes, np.uint8)
    for plane in range(planes):
        part = codes[plane * nbytes : (plane + 1) * nbytes]
        packed[: len(part)] |= part << (plane * bits)
    return packed.tobytes()


def unpack(packed: Codes, bits: int, count: int) -> Codes:
    """The ``count`` codes that `pack` was given."""
    nbytes, mask = len(packed), (1 << bits) - 1
    codes = np.empty((8 // bits, nbytes), np.uint8)
    for plane, into in enumerate(codes):
        np.right_shift(packed, plane * bits, out=into)
        into &= mask
    return codes.ravel()[:count]
