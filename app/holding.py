"""Where the past lies, as runs of neighbouring chunks that lie alike: what a timeline is drawn of.

A hole is a time of which no camera has a chunk, longer than chunks usually are apart.

N chunks, R runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.memory.ladder import RUNGS
from longtake.memory.places import TIERS, Places

HOLE_STEPS = 3.0  # usual distances of a camera's chunks
LEAST_HOLE_S = 2.0
_STATES = len(TIERS) * len(RUNGS)
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Held:
    """Neighbouring chunks that lie alike.  Times are session seconds."""

    start_s: float  # of the first frame
    end_s: float  # of the last frame
    place: str  # "window" (on the device), "ram" or "disk"
    codec: str  # "raw", "int8", "kivi4", "kivi2", or "picture": no more is left
    chunks: int


def longest_step_s(places: Places) -> float:
    """A time without chunks is a hole if it is longer than this.

    By the median of the distances at which chunks of one camera end: of several cameras that are
    seen at the same moments, neighbours are no measure.
    """
    if len(places) < 2:
        return LEAST_HOLE_S
    order = np.argsort(places.camera, kind="stable")
    distance_s, camera = np.diff(places.end_s[order]), places.camera[order]
    distance_s = distance_s[camera[1:] == camera[:-1]]
    if not len(distance_s):
        return LEAST_HOLE_S
    middle = (len(distance_s) - 1) // 2
    return max(LEAST_HOLE_S, HOLE_STEPS * float(np.partition(distance_s, middle)[middle]))


def runs(places: Places, most: int, step_s: float) -> list[Held]:
    """Every chunk in exactly one run, in order; missing numbers end a run, and so does a time
    longer than `step_s` in which no camera showed anything.

    Where there would be more than `most`, the span is cut into as many equal parts, and the runs
    that begin in one become one: where most of its chunks lie is told.
    """
    if not len(places):
        return []
    state = places.tier.astype(np.int64) * len(RUNGS) + places.level
    reach_s = np.maximum.accumulate(places.end_s)
    is_hole = places.start_s[1:] - reach_s[:-1] > step_s
    first = _begins((np.diff(state) != 0) | (np.diff(places.numbers) != 1) | is_hole)
    start_s = np.minimum.reduceat(places.start_s, first)
    end_s = np.maximum.reduceat(places.end_s, first)
    chunks, state = np.diff(first, append=len(places)), state[first]
    if len(first) > most:
        part = _parts(start_s, end_s, most)
        group = np.cumsum(np.diff(part, prepend=part[0]) != 0)
        state = _commonest(group, state, chunks)
        joined = _begins(np.diff(part) != 0)
        start_s = np.minimum.reduceat(start_s, joined)
        end_s = np.maximum.reduceat(end_s, joined)
        chunks = np.add.reduceat(chunks, joined)
    return [
        Held(begin, end, TIERS[of // len(RUNGS)], RUNGS[of % len(RUNGS)], count)
        for begin, end, of, count in zip(
            start_s.tolist(), end_s.tolist(), state.tolist(), chunks.tolist(), strict=True
        )
    ]


def _begins(ends: NDArray[np.bool_]) -> Ints:
    """Where runs begin, ``ends`` ``[N-1]`` saying behind what one ends."""
    return np.concatenate([[0], np.flatnonzero(ends) + 1])


def _parts(start_s: NDArray[np.float64], end_s: NDArray[np.float64], most: int) -> Ints:
    """``[R]``, rising: in which of `most` equal parts of their time each run begins."""
    length_s = end_s.max() - start_s[0]
    if not length_s > 0:
        return np.arange(len(start_s)) * most // len(start_s)
    part = ((start_s - start_s[0]) / length_s * most).astype(np.int64)
    return np.maximum.accumulate(part.clip(0, most - 1))


def _commonest(group: Ints, state: Ints, chunks: Ints) -> Ints:
    """Of each group the state that most chunks of it are in."""
    table = np.bincount(group * _STATES + state, chunks, (int(group[-1]) + 1) * _STATES)
    return np.asarray(table.reshape(-1, _STATES).argmax(axis=1), np.int64)
