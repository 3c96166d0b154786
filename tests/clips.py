"""Small clips for tests that need a video and do not care what it shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path, *, seconds: float, fps: int, size: tuple[int, int] = (64, 48), seed: int = 0
) -> Path:
    """H.264 of coloured squares, at a constant rate from 0 on."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast"}
        for number in range(round(seconds * fps)):
            blocks = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
            image = np.kron(blocks, np.ones((size[1] // 3, size[0] // 4, 1), np.uint8))
            picture = av.VideoFrame.from_ndarray(image)
            picture.pts, picture.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
