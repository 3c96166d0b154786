"""Which sources a memory has seen, kept with it: none is taken in twice, one cut short goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import xxhash

from longtake.streaming.pipe import is_stdin
from longtake.streaming.report import SourceReport
from longtake.streaming.sources import find_path, has_scheme

_KEY = "sources"


class Notes(Protocol):
    """What the ledger needs of a store."""

    def note(self, key: str, value: Any) -> None: ...

    def noted(self, key: str, default: Any = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One source as it was taken in.

    ``offset_s`` is what was added to its own times to make session time.
    """

    identity: str | None  # None: it can never be known again
    offset_s: float
    seen_s: float | None  # its own time of the last frame that was seen
    done: bool  # read to its end, or as far as it can be read
    is_running: bool  # it never ended: it is being read, or the process died
    report: SourceReport


class Ledger:
    """The sources of one take, in the order seen."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def entries(self) -> list[Entry]:
        return [
            Entry(**{**noted, "report": SourceReport(**noted["report"])})
            for noted in self._notes.noted(_KEY, [])
        ]

    def find(self, identity: str) -> Entry | None:
        return next((e for e in self.entries() if e.identity == identity), None)

    def newest(self) -> Entry | None:
        entries = self.entries()
        return entries[-1] if entries else None

    def seen_s(self, entry: Entry, newest_s: float) -> float | None:
        """Own time of the last frame of a source that was seen; None if none was.

        Args:
            newest_s: session time of the take's newest frame: it tells how far a source came
                whose process died.
        """
        held_s = newest_s - entry.offset_s
        if held_s < 0:
            return None
        if entry.is_running and entry == self.newest():
            return held_s
        return None if entry.seen_s is None else min(entry.seen_s, held_s)  # a full disk held less

    def record(self, entry: Entry) -> None:
        """Add as the newest, in place of an earlier entry of the same identity."""
        kept = [
            e
            for e in self.entries()
            if e.identity != entry.identity or (e.identity is None and e.offset_s != entry.offset_s)
        ]
        self._notes.note(_KEY, [asdict(e) for e in (*kept, entry)])


def identify(address: str, start_s: float, stop_s: float | None) -> str | None:
    """The same file, or folder of the same files, over the same range; None for a stream.

    Raises:
        SourceError: if there is nothing.
    """
    if is_stdin(address) or is_remote(address):
        return None
    path = find_path(address).resolve()
    if not (path.is_file() or path.is_dir()):
        return None
    size = str(path.stat().st_size)
    if path.is_dir():
        inside = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
        size = xxhash.xxh3_64_hexdigest(repr(inside).encode())
    return f"{path} {size} {start_s:g}..{'' if stop_s is None else format(stop_s, 'g')}"


def is_remote(address: str) -> bool:
    """Whether it lies elsewhere, where it may have become another video meanwhile."""
    return has_scheme(address) and not address.lower().startswith("file://")
