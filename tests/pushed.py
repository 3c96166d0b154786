"""Takes whose frames are pushed by tests, and what of them is held where."""

from __future__ import annotations

from typing import Any

import numpy as np

from longtake.models.decode import Decoding
from longtake.settings import TakeConfig
from longtake.take import Take

SHORT = Decoding(max_tokens=3)
CONFIG = TakeConfig(fps=1.0, window_s=4.0, top_k=2, decoding=SHORT)
LONG_S = 60.0


def picture(seed: int) -> Any:
    """Noise, uint8 ``[24, 32, 3]``, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def push(take: Take, *times_s: int, camera: str = "", seed: int = 0) -> None:
    """A frame at each of these times, until all are seen."""
    for t in times_s:
        assert take.push(picture(seed + t), float(t), camera=camera).accepted
    take.drain()


def numbers(take: Take) -> list[int]:
    """Of all chunks that can be shown."""
    return [p.number for p in take.frames(0.0, 1000.0)]


def window(take: Take) -> list[int]:
    """Numbers of the chunks in the window."""
    return [info.number for info in take._session.window.infos]


def indexed(take: Take) -> list[int]:
    """Numbers of the chunks that a search by keys may find."""
    found: list[int] = take._session.index.numbers().tolist()
    return found
