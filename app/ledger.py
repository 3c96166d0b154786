"""Which sources a memory has seen, kept with it: none is taken in twice, one cut short goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from longtake.streaming.report import SourceReport

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

    identity: str
    offset_s: float
    done: bool  # read to its end, or as far as it can be read
    report: SourceReport


class Ledger:
    """The sources of one take, in the order seen."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def entries(self) -> list[Entry]:
        return [
            Entry(e["identity"], e["offset_s"], e["done"], SourceReport(**e["report"]))
            for e in self._notes.noted(_KEY, [])
        ]

    def find(self, identity: str) -> Entry | None:
        return next((e for e in self.entries() if e.identity == identity), None)

    def is_newest(self, entry: Entry) -> bool:
        entries = self.entries()
        return bool(entries) and entries[-1].identity == entry.identity

    def record(self, entry: Entry) -> None:
        """Add, or replace the entry of the same identity."""
        kept = self.entries()
        at = next((i for i, e in enumerate(kept) if e.identity == entry.identity), len(kept))
        kept[at : at + 1] = [entry]
        self._notes.note(_KEY, [asdict(e) for e in kept])


def identify(address: str, start_s: float, stop_s: float | None) -> str:
    """The same file, or stream, over the same range: path, size and range."""
    path = Path(address)
    where, size = address, ""
    if path.exists():
        where = str(path.resolve())
        size = f" {path.stat().st_size}" if path.is_file() else ""
    return f"{where}{size} {start_s:g}..{'' if stop_s is None else format(stop_s, 'g')}"
