"""When the picture changes much: differences of neighbouring thumbnails, as small gray pictures.

Of a long take only some are looked at, for each camera the first in every slot of time.  Slots
begin at multiples of a width that only ever doubles, so that from one look to the next few
pictures are new.  Small pictures are remembered, a bounded number of them.

K pictures that are looked at, P pixels of a small one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from longtake.memory.places import Places

MUCH = 0.08  # mean difference of pixels as a share of 255: noise and a passer-by stay below
MOST_LOOKED_AT = 2000  # pictures, for one answer
_MOST_REMEMBERED = 4 * MOST_LOOKED_AT
_WIDTH, _HEIGHT = 32, 18
_NARROWEST_S = 2.0**-6  # a slot of time

Small = NDArray[np.uint8]  # [P]


class Scenes:
    """Of one take; any thread may call.

    Args:
        jpeg: picture of a chunk by its number.
    """

    def __init__(self, jpeg: Callable[[int], bytes | None]) -> None:
        self._jpeg = jpeg
        self._lock = threading.Lock()
        self._small: dict[int, Small | None] = {}  # by chunk; None: it has no picture
        self._forgettings = 0

    def times(self, places: Places, most: int) -> list[float]:
        """At most so many times, those of the greatest changes, in order.

        Args:
            places: the chunks of the span.
        """
        looked = places.at(look_at(places))
        small = self._pictures(looked.numbers.tolist())
        times_s: list[NDArray[np.float64]] = []
        changes: list[NDArray[np.float64]] = []
        for camera in np.unique(looked.camera).tolist():
            of = np.flatnonzero(looked.camera == camera)
            shown = [(at, picture) for at in of.tolist() if (picture := small[at]) is not None]
            if len(shown) < 2:
                continue
            stack = np.stack([picture for _, picture in shown])
            change = _differences(stack[1:], stack[:-1]).mean(axis=1) / 255
            times_s.append(looked.start_s[[at for at, _ in shown[1:]]])
            changes.append(change)
        if not changes:
            return []
        at_s, change = np.concatenate(times_s), np.concatenate(changes)
        found = np.flatnonzero(change > MUCH)
        greatest = found[np.argsort(-change[found], kind="stable")[:most]]
        return sorted(set(at_s[greatest].tolist()))

    def keep_only(self, places: Places) -> None:
        """Of what is remembered, let go of chunks that are not among these."""
        with self._lock:
            numbers = np.fromiter(self._small, np.int64)
            _, is_there = places.find(numbers)
            for number in numbers[~is_there].tolist():
                del self._small[number]

    def forget(self) -> None:
        """Remember nothing, also of what is being looked at in this moment."""
        with self._lock:
            self._forgettings += 1
            self._small.clear()

    def _pictures(self, numbers: Iterable[int]) -> list[Small | None]:
        with self._lock:
            before = self._forgettings
            found = {number: self._small[number] for number in numbers if number in self._small}
        new = {number: self._shrunk(number) for number in numbers if number not in found}
        with self._lock:
            if before == self._forgettings:
                for number, small in (found | new).items():  # those used last come last
                    self._small.pop(number, None)
                    self._small[number] = small
                for number in list(self._small)[: max(0, len(self._small) - _MOST_REMEMBERED)]:
                    del self._small[number]
        return [found[number] if number in found else new[number] for number in numbers]

    def _shrunk(self, number: int) -> Small | None:
        """``[P]``."""
        jpeg = self._jpeg(number)
        if jpeg is None:
            return None
        gray = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4)
        if gray is None:  # damaged
            return None
        small = cv2.resize(gray, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8).reshape(-1)


def look_at(places: Places) -> NDArray[np.intp]:
    """Places in the arrays of at most `MOST_LOOKED_AT` chunks, rising: for each camera the first
    in each slot of time."""
    by_camera = [np.flatnonzero(places.camera == code) for code in np.unique(places.camera)]
    if len(places) <= MOST_LOOKED_AT:
        return np.arange(len(places))
    length_s = float(places.start_s.max() - places.start_s.min())
    width_s = max(_NARROWEST_S, 2.0 ** math.floor(math.log2(max(length_s, 1.0) / MOST_LOOKED_AT)))
    while True:
        firsts = []
        for of in by_camera:
            slot = np.floor(places.start_s[of] / width_s)
            firsts.append(of[np.concatenate([[True], np.diff(slot) != 0])])
        chosen = np.concatenate(firsts)
        if len(chosen) <= MOST_LOOKED_AT or width_s > 2 * length_s:
            return np.sort(chosen)[-MOST_LOOKED_AT:]
        width_s *= 2


def _differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[K, P]``; without the wider type that a subtraction would need."""
    return np.asarray(cv2.absdiff(one, other), np.uint8)
