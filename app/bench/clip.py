"""The drawn clip that benchmarks watch, and long streams made of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.bench.frame import Say
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film, long_film
from longtake.settings import TakeConfig
from longtake.streaming.frame import Frame
from longtake.streaming.sources import open_source

if TYPE_CHECKING:
    from longtake.take import Take

SEED = 1
SCALE = 4  # 384 x 384 pixels


def check_minutes(minutes: float) -> None:
    """Raises ValueError for a length that cannot be drawn."""
    if not (math.isfinite(minutes) and minutes >= 0.5):
        raise ValueError(f"minutes={minutes:g}: must be at least 0.5")


def draw(clip: Path, minutes: float, fps: float, say: Say) -> Film:
    check_minutes(minutes)
    seconds = round(minutes * 60)
    say(f"drawing {seconds} s")
    film = long_film(random.Random(SEED), seconds)
    write_film(film, clip, fps=fps, scale=SCALE)
    return film


def pour(take: Take, clip: Path, frames: int, say: Say) -> None:
    """Push the clip's frames into a take, again and again, until there are so many.

    Times go on rising from one round to the next.  Says every tenth of it how far it is.
    """
    room, done, told = TakeConfig().mailbox_frames, 0, 0
    rounds = islice(_again_and_again(clip, take.pace.fps), frames)
    while batch := list(islice(rounds, room)):
        for frame in batch:
            pushed = take.push(frame.image, frame.pts_s)
            assert pushed.accepted, pushed.reason
        take.drain()
        done += len(batch)
        if done * 10 // frames > told:
            told = done * 10 // frames
            say(f"taken in {done} of {frames} frames")


def _again_and_again(clip: Path, fps: float) -> Iterator[Frame]:
    seen = 0
    while True:
        with open_source(clip, fps=fps, max_side=TakeConfig().memory.thumbnail_px) as source:
            for frame in source.frames():
                yield replace(frame, pts_s=seen / fps)
                seen += 1
