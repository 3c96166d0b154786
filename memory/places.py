"""Where every chunk lies, as arrays that whoever draws a long memory can look through at once.

Reading 100,000 rows of a catalog takes a tenth of a second.  They are read once, when they are
first asked for, a piece at a time; then only what is new, and the catalog tells what it moved and
removed.  A catalog that another process writes tells nothing: there its counts are compared.

N chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from longtake.memory.chunk import ChunkInfo
from longtake.memory.ladder import PICTURE, RUNGS, level_of

if TYPE_CHECKING:
    from longtake.memory.catalog import Row

DISK, RAM, WINDOW = range(3)
TIERS = ("disk", "ram", "window")
_AT_ONCE = 10_000  # rows read together: others may read between
_PICTURE = level_of(PICTURE)
_SELECT = "SELECT number, start_s, end_s, camera, {} FROM chunks WHERE number > ? "
_COUNTS = "SELECT {0}, COUNT(*) FROM chunks WHERE number <= ? GROUP BY {0}"


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Chunks by rising numbers.  Its arrays are shared: they are not to be changed."""

    numbers: NDArray[np.int64]  # [N], as all of them
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    camera: NDArray[np.int32]  # place in `cameras`
    level: NDArray[np.int8]  # place in `ladder.RUNGS` of the codec
    tier: NDArray[np.int8]  # place in `TIERS`
    cameras: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> Places:
        """Of no chunk."""
        return cls(
            np.zeros(0, np.int64),
            np.zeros(0, np.float64),
            np.zeros(0, np.float64),
            np.zeros(0, np.int32),
            np.zeros(0, np.int8),
            np.zeros(0, np.int8),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        return f"Places({len(self)} chunks)"

    def at(self, chosen: NDArray[Any] | slice) -> Places:
        """Those of a mask, or of rising places in the arrays."""
        return Places(
            self.numbers[chosen],
            self.start_s[chosen],
            self.end_s[chosen],
            self.camera[chosen],
            self.level[chosen],
            self.tier[chosen],
            self.cameras,
        )

    def touching(self, start_s: float, end_s: float) -> Places:
        """Those that touch a span; its ends belong to it."""
        return self.at((self.end_s >= start_s) & (self.start_s <= end_s))

    def of(self, camera: str) -> Places:
        """Those that one camera saw."""
        code = self.cameras.index(camera) if camera in self.cameras else -1
        return self.at(self.camera == code)

    def find(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each number stands, or would; and whether it is there."""
        at = np.searchsorted(self.numbers, numbers)
        if not len(self):
            return at, np.zeros(len(numbers), np.bool_)
        return at, self.numbers[np.minimum(at, len(self) - 1)] == numbers

    def put_on(self, tier: int, infos: Sequence[ChunkInfo], levels: Sequence[int]) -> Places:
        """The same with these on a tier, whether they were there or not."""
        if not infos:
            return self
        at, is_there = self.find(np.array([info.number for info in infos], np.int64))
        level, on = self.level.copy(), self.tier.copy()
        level[at[is_there]] = np.array(levels, np.int8)[is_there]
        on[at[is_there]] = tier
        new = [
            (info.number, info.start_s, info.end_s, info.camera, RUNGS[of])
            for info, of, is_here in zip(infos, levels, is_there.tolist(), strict=True)
            if not is_here
        ]
        return replace(self, level=level, tier=on).joined(new, tier)

    def in_ram(self, numbers: Iterable[int]) -> Places:
        """The same with these in RAM, but those of which only the picture is left."""
        at, is_there = self.find(np.fromiter(numbers, np.int64))
        places = at[is_there]
        tier = self.tier.copy()
        tier[places[self.level[places] != _PICTURE]] = RAM
        return replace(self, tier=tier)

    def joined(self, rows: Sequence[Sequence[Any]], tier: int) -> Places:
        """With more: of each its number, times, camera and the name of its codec.  Those behind
        all others cost least."""
        if not rows:
            return self
        numbers, start_s, end_s, cameras, codecs = zip(*rows, strict=True)
        known = list(dict.fromkeys((*self.cameras, *cameras)))
        code = {name: code for code, name in enumerate(known)}
        level = {name: level_of(name) for name in set(codecs)}
        new = Places(
            np.array(numbers, np.int64),
            np.array(start_s, np.float64),
            np.array(end_s, np.float64),
            np.fromiter(map(code.__getitem__, cameras), np.int32),
            np.fromiter(map(level.__getitem__, codecs), np.int8),
            np.full(len(numbers), tier, np.int8),
            tuple(known),
        )
        return Places.of_parts([self, new])

    @classmethod
    def of_parts(cls, parts: Sequence[Places]) -> Places:
        """All of these together; the last one knows the names of all cameras."""
        both = Places(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.start_s for part in parts]),
            np.concatenate([part.end_s for part in parts]),
            np.concatenate([part.camera for part in parts]),
            np.concatenate([part.level for part in parts]),
            np.concatenate([part.tier for part in parts]),
            parts[-1].cameras,
        )
        if (np.diff(both.numbers) > 0).all():
            return both
        return both.at(np.argsort(both.numbers, kind="stable"))


class PlaceBook:
    """The places of all durable chunks of one catalog; any thread may call.

    Args:
        select: as `Database.select`.
        codec: SQL of a row's codec.
        is_told: `moved` and `removed` are called after each such change; else another process
            makes them.
    """

    def __init__(
        self, select: Callable[..., list[tuple[Any, ...]]], codec: str, *, is_told: bool
    ) -> None:
        self._select, self._codec, self._is_told = select, codec, is_told
        self._lock = threading.Lock()
        self._places: Places | None = None  # None: nobody has asked yet
        self._generation = 0

    def places(self, generation: int) -> Places:
        """As of the last commit.

        Args:
            generation: the catalog's.
        """
        with self._lock:
            known = self._places
            if known is None or (not self._is_told and self._is_stale(known, generation)):
                known = Places.none()
            self._generation = generation
            self._places = self._with_new(known)
            return self._places

    def moved(self, rows: Sequence[Row]) -> None:
        """These durable chunks lie in another codec now."""
        with self._lock:
            if self._places is None:
                return
            numbers = np.array([row.info.number for row in rows], np.int64)
            at, is_there = self._places.find(numbers)
            level = self._places.level.copy()
            levels = np.array([level_of(row.codec) for row in rows], np.int8)
            level[at[is_there]] = levels[is_there]
            self._places = replace(self._places, level=level)

    def removed(self, numbers: Sequence[int]) -> None:
        """These durable chunks are gone."""
        with self._lock:
            if self._places is None:
                return
            gone = np.isin(self._places.numbers, np.array(numbers, np.int64))
            self._places = self._places.at(~gone)

    def clear(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._places = None

    def _with_new(self, known: Places) -> Places:
        """The rows behind those that are known."""
        query = f"{_SELECT.format(self._codec)} ORDER BY number LIMIT {_AT_ONCE}"
        newest = int(known.numbers[-1]) if len(known) else -1
        parts = [known]
        while True:
            found = self._select(query, newest)
            if found:
                none = replace(Places.none(), cameras=parts[-1].cameras)
                parts.append(none.joined(found, DISK))
                newest = found[-1][0]
            if len(found) < _AT_ONCE:
                return Places.of_parts(parts) if parts[1:] else known

    def _is_stale(self, known: Places, generation: int) -> bool:
        """Chunks only ever go down the ladder: where some have, there are other counts."""
        if generation != self._generation:
            return True
        if not len(known):
            return False
        counts = [0] * len(RUNGS)
        for codec, count in self._select(_COUNTS.format(self._codec), int(known.numbers[-1])):
            counts[level_of(codec)] += count
        known_counts: list[int] = np.bincount(known.level, minlength=len(RUNGS)).tolist()
        return counts != known_counts
