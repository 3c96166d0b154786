"""The wall clock in a picture: 24 bits of Unix milliseconds as blocks in the top rows.

The least significant bit is at the left; every block is as wide as a 24th of the picture and
`ROWS` high.  White is 1.  Who drew it is not known here: `rtsp_server.py` does, under a Python
that has no numpy, so it holds the same three numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 24
ROWS = 32


def age_s(image: NDArray[np.uint8], now_s: float) -> float:
    """How long before `now_s` (Unix seconds) the clock in the picture was drawn.

    Args:
        image: ``[H, W, 3]`` uint8, of any size: the blocks are found by their share of it.
    """
    height, width = image.shape[:2]
    row = image[ROWS // 2 * height // 720].mean(axis=-1)
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    drawn_ms = sum(1 << bit for bit in range(BITS) if row[centres[bit]] > 127)
    return ((int(now_s * 1000) - drawn_ms) % (1 << BITS)) / 1000
