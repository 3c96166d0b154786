"""The drawn clip that benchmarks watch."""

from __future__ import annotations

import random
from pathlib import Path

from longtake.cli.common import say
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film, long_film

SEED = 1
SCALE = 4  # 384 x 384 pixels


def draw(clip: Path, minutes: float, fps: float) -> Film:
    seconds = round(minutes * 60)
    if seconds < 30:
        raise ValueError(f"minutes={minutes:g}: must be at least 0.5")
    say(f"drawing {seconds} s")
    film = long_film(random.Random(SEED), seconds)
    write_film(film, clip, fps=fps, scale=SCALE)
    return film
