"""What happened in a stream, as a log: alerts that fired, and whatever else is told with a time.

Events lie in `album.sqlite` beside the captions and live as they do: in RAM until the album's
commit, and found there meanwhile; gone with their time, byte for byte where it is forgotten.  The
newest `MOST_EVENTS` are kept.  Who tells of an event, and what comes of it, is not known here.
"""

import math
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longtake.memory.database import Database

MOST_EVENTS = 100_000  # beyond these the oldest go
MOST_LETTERS = 2000  # of a text; the rest is cut
MOST_NAME_LETTERS = 200  # of a name; likewise
SCHEMA = (
    # AUTOINCREMENT: no number is given twice, also where the newest event was forgotten.
    "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, start_s REAL, "
    "end_s REAL, kind TEXT, name TEXT, text TEXT, camera TEXT, wall_s REAL, score REAL)",
    "CREATE INDEX IF NOT EXISTS events_in_time ON events (start_s)",
)
COLUMNS = ("start_s", "end_s", "kind", "name", "text", "camera", "wall_s", "score", "number")
_ALL = f"SELECT {', '.join(COLUMNS)} FROM events"
_INSERT = (
    f"INSERT OR REPLACE INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)
_BOUND = (
    "DELETE FROM events WHERE number <= "
    "(SELECT number FROM events ORDER BY number DESC LIMIT 1 OFFSET ?)"
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a span of the stream.

    Raises:
        ValueError: if the times are not finite or not in order, or it has no kind or name.
    """

    start_s: float  # session time
    end_s: float
    kind: str  # "alert"
    name: str  # of what told of it
    text: str
    camera: str = ""
    wall_s: float | None = None  # seconds since 1970
    score: float | None = None  # 0..1
    number: int = 0  # given by the log, from 1 up; 0: not logged

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise ValueError(f"event of {self.start_s}..{self.end_s} s: both must be finite")
        if self.end_s < self.start_s:
            raise ValueError(
                f"event of {self.start_s:g}..{self.end_s:g} s: the end must not be before the start"
            )
        if not self.kind or not self.name:
            raise ValueError(f"event kind={self.kind!r}, name={self.name!r}: needs both")

    def touches(self, start_s: float, end_s: float) -> bool:
        """Both ends belong to a span."""
        return self.start_s <= end_s and self.end_s >= start_s


class EventLog:
    """Events of one memory; any thread may call.

    Args:
        database: the album's; `SCHEMA` is made, or it is open to be read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[int, Event] = {}  # what no commit has written yet
        # looked up again while it is missing: a writer elsewhere may make it
        self._is_there = False
        self._next = 1 + self._last_number()

    def log(self, event: Event) -> Event:
        """Keep an event; returns it with its number.  Durable after the next commit."""
        with self._lock:
            logged = replace(
                event,
                name=event.name[:MOST_NAME_LETTERS],
                text=event.text[:MOST_LETTERS],
                number=self._next,
            )
            self._waiting[logged.number] = logged
            self._next += 1
        return logged

    @property
    def newest(self) -> int:
        """Number of the newest event that was ever logged here, also where it is forgotten; 0
        before the first.  Looks at no disk: of a log that is only read it is as it was opened."""
        with self._lock:
            return self._next - 1

    def events(
        self,
        start_s: float = 0.0,
        end_s: float = math.inf,
        kind: str | None = None,
        after: int = 0,
    ) -> list[Event]:
        """Events that touch a span, in time order.

        Args:
            start_s, end_s: session seconds; both ends belong to it.
            kind: these alone; None: all.
            after: only those with greater numbers, which were logged later.
        """
        with self._lock:  # first: what a commit moves meanwhile is found twice, as one
            found = {
                number: event
                for number, event in self._waiting.items()
                if number > after and event.touches(start_s, end_s) and kind in (None, event.kind)
            }
        # `+`: by number and not by time, of which most would have to be looked at
        by_time = "+start_s" if after else "start_s"
        where = f"number > ? AND {by_time} <= ? AND end_s >= ? AND (kind = ? OR ? IS NULL)"
        for fields in self._select(f"{_ALL} WHERE {where}", after, end_s, start_s, kind, kind):
            event = Event(*fields)
            found[event.number] = event
        return sorted(found.values(), key=lambda event: (event.start_s, event.number))

    # ---------------------------------------------------------------- for the album

    @property
    def has_pending(self) -> bool:
        """True if there is something to write."""
        with self._lock:
            return bool(self._waiting)

    def write(self, change: sqlite3.Connection) -> Mapping[int, Event]:
        """Within a change: all that waits, and the oldest go.  They wait until `written`."""
        with self._lock:
            waiting = dict(self._waiting)
        if waiting:
            change.executemany(_INSERT, [fields_of(event) for event in waiting.values()])
            change.execute(_BOUND, (MOST_EVENTS,))
        return waiting

    def written(self, events: Mapping[int, Event]) -> None:
        """The change that wrote these is committed."""
        with self._lock:
            for number in events:
                self._waiting.pop(number, None)

    def leave(self, is_gone: Callable[[Event], bool]) -> None:
        """Events that no commit has written go."""
        with self._lock:
            self._waiting = {n: e for n, e in self._waiting.items() if not is_gone(e)}

    def bound(self, most: int) -> None:
        """Of what waits only the newest stay, where a disk takes none."""
        with self._lock:
            for number in list(self._waiting)[: max(0, len(self._waiting) - most)]:
                del self._waiting[number]

    # ---------------------------------------------------------------- within

    def _last_number(self) -> int:
        """Of all that were ever given."""
        found = self._select("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(found[0][0]) if found else 0

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Nothing where the table is not made yet: an earlier version made the file."""
        if not self._is_there:
            made = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'"
            self._is_there = bool(self._database.select(made))
        return self._database.select(query, *values) if self._is_there else []


def fields_of(event: Event) -> Sequence[float | str | None]:
    """In the order of `COLUMNS`."""
    return [getattr(event, name) for name in COLUMNS]
