"""Which chunks a memory has, wherever each one is: rows of the catalog, and what is on its way.

Their tensors are not known here.
"""

from __future__ import annotations

import json
import math
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longtake.memory.catalog import Row
from longtake.memory.chunk import ChunkInfo
from longtake.memory.config import CODEC_NAMES
from longtake.memory.events import Event
from longtake.memory.folder import MemoryFolder
from longtake.memory.ladder import RUNGS, base_of
from longtake.memory.marks import Gap, Missing, Span, with_waiting
from longtake.memory.queued import QueuedChunk


class ChunkMissing(LookupError):
    """The memory holds no chunk of this number, or only its picture."""


class Known:
    """What is known of the chunks of one memory; any thread may call.

    Args:
        folder: of the memory.
    """

    def __init__(self, folder: MemoryFolder) -> None:
        self._folder, self._catalog = folder, folder.catalog
        self._lock = threading.RLock()  # of all that follows
        self._queued: dict[int, QueuedChunk] = {}  # until they are durable, oldest first
        self._notes: dict[str, str] = {}  # until they are written
        self._unseen: list[Missing] = []  # until they are durable
        self._infos: list[ChunkInfo] = []  # as far as they were asked for
        self._seen = folder.catalog.generation  # to which `_infos` belongs
        self._next = 0  # behind what was put last
        self._is_closed = False

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder.path

    def info(self, number: int) -> ChunkInfo:
        """What is known about a chunk, also where only its picture is left.

        Raises ChunkMissing.
        """
        return self._known(number).info

    def infos(self, first: int = 0, last: int | None = None) -> list[ChunkInfo]:
        """Chunks with first <= number < last, oldest first.

        Asked again, it reads only what is new: some 200 bytes of RAM a chunk are kept for that.
        """
        with self._reading():
            known = self._infos
            behind = known[-1].number + 1 if known else 0
            known.extend(row.info for row in self._rows(behind))
            low = bisect_left(known, first, key=_number)
            high = len(known) if last is None else bisect_left(known, last, key=_number)
            return known[low:high]

    def has_keys(self, number: int) -> bool:
        """True if a chunk can be recalled; False where only its picture is left, or nothing."""
        try:
            return self._known(number).codec in WITH_KEYS
        except ChunkMissing:
            return False

    def keyed(self, first: int = 0, last: int | None = None) -> list[int]:
        """Numbers of the chunks with keys, first <= number < last, rising."""
        return [row.info.number for row in self._rows(first, last) if row.codec in WITH_KEYS]

    def span(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Numbers [first, last) of the chunks that touch this time; (0, 0) if none does."""
        infos = [i for i in self.infos() if i.end_s >= start_s and i.start_s <= end_s]
        return (infos[0].number, infos[-1].number + 1) if infos else (0, 0)

    @property
    def next_number(self) -> int:
        """What the next new chunk is called; no number is used twice."""
        with self._reading():
            return max(self._catalog.next_number, self._next)

    @property
    def generation(self) -> int:
        """Changes when chunks were removed, or lost their keys."""
        with self._reading():
            return self._catalog.generation

    def rungs(self) -> dict[str, int]:
        """Chunks by codec, from the top of the ladder down; "picture": without keys."""
        found: dict[str, int] = {}
        for row in self._catalog.rungs().items():
            found[base_of(row[0])] = found.get(base_of(row[0]), 0) + row[1]
        with self._reading():
            for queued in self._queued.values():
                if queued.place is None:
                    name = base_of(queued.codec)
                    found[name] = found.get(name, 0) + 1
        return {name: found[name] for name in RUNGS if name in found}

    def gaps(self) -> list[Gap]:
        """Stretches of time that were seen and are not held, or in which a camera showed
        nothing, in time order."""
        with self._reading():
            waiting = list(self._unseen)
        return with_waiting(self._catalog.marks.gaps(), waiting)

    def events(
        self,
        start_s: float = 0.0,
        end_s: float = math.inf,
        kind: str | None = None,
        after: int = 0,
    ) -> list[Event]:
        """What was logged of times that touch this span, in time order.

        Args:
            start_s, end_s: session seconds; both ends belong to it.
            kind: of this kind alone; None: of all.
            after: only those with greater numbers, which were logged later.
        """
        with self._reading():
            log = self._folder.album.events
        return log.events(start_s, end_s, kind, after)

    def refresh(self) -> bool:
        """For a reader: True if its writer has made more durable, or changed something.

        Until then it may find what was forgotten since, in its RAM.
        """
        with self._reading():
            known, generation = len(self._infos), self._catalog.generation
            if generation != self._seen:
                self._infos.clear()
                self._seen = generation
                return True
            self.infos()
            return len(self._infos) > known

    def kept(self) -> list[Span]:
        """Stretches of time that never age, in order."""
        with self._reading():
            return self._catalog.marks.kept()

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        with self._reading():
            text = self._notes.get(key)
        return self._catalog.noted(key, default) if text is None else json.loads(text)

    def __len__(self) -> int:
        with self._reading():
            waiting = sum(one.place is None for one in self._queued.values())
            return len(self._catalog) + waiting

    def __contains__(self, number: int) -> bool:
        try:
            self._known(number)
        except ChunkMissing:
            return False
        return True

    # ---------------------------------------------------------------- within

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise ValueError(f"{self.folder}: this memory is closed")
            yield

    def _known(self, number: int) -> Row:
        """Of a chunk wherever it is.  Raises ChunkMissing."""
        with self._reading():
            queued = self._queued.get(number)
        row = self._catalog.row(number) if queued is None else queued.row
        if row is None:
            raise ChunkMissing(f"{self.folder}: no chunk {number} among {len(self)}")
        return row

    def _row(self, number: int) -> Row:
        """Of a chunk with keys."""
        row = self._known(number)
        if row.codec not in WITH_KEYS:
            raise ChunkMissing(f"{self.folder}: of chunk {number} only the picture is left")
        return row

    def _rows(self, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """Of all chunks in range, oldest first, those on their way too."""
        with self._reading():
            queued = [one for n, one in self._queued.items() if n >= first]
        before = queued[0].info.number if queued else last
        if last is not None and before is not None:
            before = min(before, last)
        yield from self._catalog.rows(first, before)
        for one in queued:
            if last is None or one.info.number < last:
                yield one.row

    def _last(self) -> Row | None:
        queued = next(reversed(self._queued.values()), None)
        return self._catalog.last() if queued is None else queued.row


WITH_KEYS = {*CODEC_NAMES, *(f"unbiased-{name}" for name in CODEC_NAMES)}


def _number(info: ChunkInfo) -> int:
    return info.number
