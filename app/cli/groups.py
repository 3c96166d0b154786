"""Sources that are watched at the same time, from their beginning to their end.

One file is such a group, or all live sources.  What is made of their frames is not known here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtake.cli.common import common, say
from longtake.cli.following import was_whole, why_missing
from longtake.cli.live_flags import Until
from longtake.cli.live_line import Silent, Status, live_line
from longtake.cli.sources import Sources
from longtake.live_watch import LiveWatch
from longtake.ui.view import clock

if TYPE_CHECKING:
    from longtake.take import Take
    from longtake.watch import Watch

KNOWN = "seen before; answering from memory"


@dataclass(frozen=True, slots=True)
class Group:
    """Sources that are watched at the same time: one file, or all live ones."""

    watches: Sequence[Watch | LiveWatch]
    place: str  # among several files, in words

    @property
    def live(self) -> list[LiveWatch]:
        return [watch for watch in self.watches if isinstance(watch, LiveWatch)]

    @property
    def is_over(self) -> bool:
        return all(watch.is_seen() for watch in self.watches)

    def wait(self, timeout_s: float) -> None:
        """For the end of one that still runs."""
        running = [watch for watch in self.watches if not watch.is_seen()]
        if running:
            running[0].is_seen(timeout_s)


def begin(take: Take, sources: Sources) -> Iterator[Group]:
    """Begin to watch; the next group when it is asked for, and the one before has ended.

    Raises:
        SourceError: if one cannot be opened.
    """
    count = len(sources.addresses)
    together: list[LiveWatch] = []
    for number in range(count):
        try:
            watch = _begin_one(take, sources, number)
        except RuntimeError as error:  # beside a camera; opening it told that it is no camera
            if not together:
                raise
            raise ValueError(
                f"{sources.parsed[number].shown}: is a recording, and {together[0].address} is "
                "live: watch it alone into a --memory first, or as a camera with --live"
            ) from error
        if isinstance(watch, LiveWatch):
            together.append(watch)
        else:
            yield Group([watch], f"{number + 1} of {count}  " if count > 1 else "")
    if together:
        yield Group(together, "")


def _begin_one(take: Take, sources: Sources, number: int) -> Watch | LiveWatch:
    return take.watch(
        sources.addresses[number],
        camera=sources.cameras[number],
        start_s=sources.start_s or 0.0,
        stop_s=sources.stop_s,
        capture=sources.capture,
    )


@dataclass(frozen=True, slots=True)
class Watched:
    """A source at its end, or a live one that was followed long enough."""

    watch: Watch | LiveWatch
    elapsed_s: float

    @property
    def is_live(self) -> bool:
        return isinstance(self.watch, LiveWatch)

    @property
    def is_whole(self) -> bool:
        """Everything that was promised was there; a live source promises to stay."""
        if isinstance(self.watch, LiveWatch):
            return was_whole(self.watch.stats())
        return self.watch.report.complete


class Ending:
    """Whether it is time to end, as ``--until`` says; its time runs from here on."""

    def __init__(self, until: Until | None) -> None:
        self._until, self._begun = until, time.monotonic()

    @property
    def is_over(self) -> bool:
        if self._until is None:
            return False
        return self._until.left_s(time.monotonic() - self._begun, time.time()) <= 0

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._begun


def end(group: Group, waited_s: float | None = None, known: str = KNOWN) -> None:
    """Stop what still runs; all that came is seen.  Says what was mended, and what ended a file.

    Args:
        waited_s: how long its live sources had to show a picture; None: they need not have.
        known: what is said of a file that the memory had seen before.

    Raises:
        SourceError: if one failed, or a live one never showed a picture; why.
    """
    for camera in group.live:
        camera.halt()  # all at once: one that hangs takes a second to stop
    for watch in group.watches:
        if not watch.is_seen():
            watch.stop()
    for watch in group.watches:
        watch.wait()
        if not isinstance(watch, LiveWatch):
            tell(watch, known)
        elif waited_s is not None and not watch.was_live:
            raise why_missing(watch, waited_s)


def tell(watch: Watch, known: str) -> None:
    report = watch.report
    if watch.is_known:
        say(f"{watch.address}: {known}")
    if not report.complete:
        promised = f" of {clock(report.promised_s)}" if report.promised_s else ""
        seen_s = report.ended_s if watch.newest_s is None else watch.newest_s - watch.offset_s
        say(f"{watch.address}: {report.end_reason}; seen to {clock(seen_s or 0)}{promised}")
    if report.repairs:
        mended = ", ".join(f"{count} {name}" for name, count in report.repairs.items())
        say(f"{watch.address}: {mended}")


def tell_seen(take: Take, group: Group, done: str = "seen") -> None:
    """How far it came, where that is not the end."""
    for watch in group.watches:
        newest_s = watch.newest_s if isinstance(watch, LiveWatch) else _seen_s(watch, take)
        seen = "no picture came" if newest_s is None else f"{done} to {clock(newest_s)}"
        say(f"{getattr(watch, 'camera', '') or watch.address}: {seen}")


def _seen_s(watch: Watch, take: Take) -> float:
    return max(0.0, take.stats().newest_s - watch.offset_s)


@contextmanager
def status(take: Take, group: Group) -> Iterator[Status]:
    """How it stands, on stderr: lines of cameras, or a bar where that is a terminal."""
    if group.live:
        with live_line(group.live) as lines:
            yield lines
        return
    watch = group.watches[0]
    assert not isinstance(watch, LiveWatch)
    if common().quiet or not sys.stderr.isatty():
        yield Silent()
        return
    with _Bar(watch, take, group.place) as bar:
        yield bar


class _Bar:
    """How far a file is seen, on a terminal."""

    def __init__(self, watch: Watch, take: Take, number: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._watch, self._take = watch, take
        self._bar = Progress(
            TextColumn(f"watching {number}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=watch.promised_s)
        self._begun, self._frames_before = time.monotonic(), take.stats().frames

    def show(self) -> None:
        stats = self._take.stats()
        frames = stats.frames - self._frames_before
        rate = frames / max(1e-6, time.monotonic() - self._begun)
        seen_s = _seen_s(self._watch, self._take)
        words = f"{clock(seen_s)}  {frames} frames  {rate:.0f}/s  {stats.chunks} chunks"
        self._bar.update(self._task, completed=seen_s, description=words)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
