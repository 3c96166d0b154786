"""Lines on their way: the engine's worker says them, any thread takes them.

A line is given out when it is spoken; until when it held is known when the next one comes, or
silence.  They wait in a bounded queue: where nobody takes them the oldest is dropped, counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType

CAPACITY = 256  # lines that may wait


@dataclass(frozen=True, slots=True)
class Line:
    """What was said about a stream.  Times are session seconds."""

    start_s: float  # of the first frame of the step that it was spoken about
    end_s: float | None  # when it held no more; None: it still held when the line was given out
    text: str

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s < self.start_s:
            raise ValueError(f"end_s={self.end_s}: before start_s={self.start_s}")
        if not self.text:
            raise ValueError(f"start_s={self.start_s}: a line without text is silence")


class Narration:
    """An iterator over lines as they are spoken; `whole` gives them with their ends.

    It ends when the take's sources have ended, when the take is closed, or with `close`; what
    was said by then can still be taken.  What went wrong while narrating is raised behind the
    last line.  All methods may be called from any thread.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)
        self._lines: deque[Line] = deque()
        self._is_open = False  # the newest line holds, and lies in the queue
        self._reached_s = float("-inf")
        self._is_over = False
        self._error: BaseException | None = None
        self._dropped = 0
        self._forgotten = 0

    @property
    def dropped(self) -> int:
        """Lines that nobody took in time."""
        return self._dropped

    @property
    def forgotten(self) -> int:
        """How often something was forgotten."""
        return self._forgotten

    @property
    def is_over(self) -> bool:
        """Nothing more will be said."""
        return self._is_over

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        line = self.poll(None)
        if line is None:
            raise StopIteration
        return line

    def whole(self) -> Iterator[Line]:
        """The lines, each as soon as its end is known."""
        while (line := self.poll(None, whole=True)) is not None:
            yield line

    def poll(self, wait_s: float | None = 0.0, *, whole: bool = False) -> Line | None:
        """Take the oldest line.

        Args:
            wait_s: how long to wait for one; None: until there is one, or the narration is over.
            whole: only one whose end is known.

        Returns:
            None where there is none in time, or the narration is over and nothing is left.

        Raises what ended the narration, once nothing is left.
        """
        with self._lock:
            self._changed.wait_for(lambda: self._has_line(whole) or self._is_over, wait_s)
            if self._has_line(whole):
                line = self._lines.popleft()
                self._is_open = self._is_open and bool(self._lines)
                return line
            if self._is_over and self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Say no more.  May be called twice."""
        self._end(None)

    def __enter__(self) -> Narration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- the worker's side

    def reach(self, seen_s: float) -> None:
        """The stream has been seen up to here."""
        with self._lock:
            self._reached_s = max(self._reached_s, seen_s)

    def add(self, start_s: float, text: str) -> None:
        """A line; the one before ends where it begins."""
        with self._lock:
            if self._is_over:
                return
            self._end_line(start_s)
            if len(self._lines) >= self._capacity:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(Line(start_s, None, text))
            self._is_open = True
            self._changed.notify_all()

    def fall_silent(self, at_s: float) -> None:
        """The newest line holds no more."""
        with self._lock:
            self._end_line(at_s)
            self._changed.notify_all()

    def forget(self, start_s: float, end_s: float) -> None:
        """Lines that were begun within a span and still wait are not given out, and what was said
        so far has no part in what will be said."""
        with self._lock:
            self._forgotten += 1
            kept = [line for line in self._lines if not start_s <= line.start_s <= end_s]
            if len(kept) < len(self._lines):
                self._is_open = self._is_open and kept[-1:] == [self._lines[-1]]
                self._lines = deque(kept)

    def end(self) -> None:
        """There is nothing more to be told of."""
        self._end(None)

    def fail(self, error: BaseException) -> None:
        self._end(error)

    # ---------------------------------------------------------------- inside

    def _has_line(self, whole: bool) -> bool:
        return bool(self._lines) and not (whole and self._lines[0].end_s is None)

    def _end_line(self, at_s: float) -> None:
        if self._is_open:
            newest = self._lines[-1]
            self._lines[-1] = replace(newest, end_s=max(newest.start_s, at_s))
            self._is_open = False

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if self._is_over:
                return
            self._end_line(self._reached_s)
            self._is_over, self._error = True, error
            self._changed.notify_all()
