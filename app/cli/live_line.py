"""How cameras stand while they are watched: a line for each on a terminal, elsewhere their changes.

What becomes of their pictures is not known here.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from longtake.cli.common import common, say
from longtake.cli.names import shown

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from longtake.streaming.capture import CaptureStats

_COLOURS = {"live": "green", "ended": "bright_black", "failed": "red"}  # any other: yellow
_MOST_NAME = 40  # letters of a camera's name beside the numbers
_LEAST_NAME = 8  # where there is no room for more
_LEAST_WORDS = 2  # that stay: age and kept
NOT_SAMPLED = "not sampled"  # why `longtake.streaming.sampling` drops what nobody wants to see
_DRAW_S = 0.25  # at least between two drawings


class Camera(Protocol):
    """What is looked at; `longtake.live_watch.LiveWatch` is one."""

    def stats(self) -> CaptureStats: ...


class Status(Protocol):
    """Something on stderr that tells how it goes."""

    def show(self) -> None:
        """Bring it up to date."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Within it others may print: what is drawn is taken away."""
        ...


class Silent:
    """Where nobody wants to know."""

    def show(self) -> None:
        pass

    def aside(self) -> AbstractContextManager[None]:
        return nullcontext()


class Changes:
    """What is different from the last look, in words.

    A reason counts too, as long as there is no picture; numbers in it do not, so that a camera
    that stays away is not told of at every attempt.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, str]] = {}

    def look(self, cameras: Sequence[CaptureStats]) -> list[str]:
        lines = []
        for stats in cameras:
            state = state_of(stats)
            reason = "" if state == "live" else re.sub(r"\d+", "", stats.error)
            if self._told.get(name_of(stats)) != (state, reason):
                self._told[name_of(stats)] = state, reason
                lines.append(_change(stats))
        return lines


class LiveLine:
    """A `Status` of cameras.

    Args:
        cameras: those that are watched.
        live: a part of the terminal that is drawn anew; None: changes are said instead.
    """

    def __init__(self, cameras: Sequence[Camera], live: Live | None = None) -> None:
        self._cameras, self._live, self._changes = cameras, live, Changes()
        self._drawn_s = float("-inf")

    def show(self) -> None:
        if self._live is None:
            for line in self._changes.look(self._stats()):
                say(line)
        elif time.monotonic() - self._drawn_s >= _DRAW_S:
            width = self._live.console.width
            self._live.update(drawing(self._stats(), width), refresh=True)
            self._drawn_s = time.monotonic()

    def _stats(self) -> list[CaptureStats]:
        return [camera.stats() for camera in self._cameras]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The lines are taken away, so that what is printed meanwhile stands alone."""
        if self._live is None:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            sys.stdout.flush()
            self._live.start()


@contextmanager
def live_line(cameras: Sequence[Camera]) -> Iterator[LiveLine]:
    """Of these cameras, on stderr; ``-q`` silences it."""
    if common().quiet or not sys.stderr.isatty():
        yield LiveLine(cameras)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
        yield LiveLine(cameras, live)


def drawing(cameras: Sequence[CaptureStats], width: int) -> Group:
    """A row for each, for a terminal.

    Where rows are too long, addresses give way first, to their host and then in part; then words
    from the end, which matter less.

    Args:
        width: of the terminal, in letters.
    """
    from rich.console import Group
    from rich.text import Text

    if not cameras:
        return Group()
    states = [state_of(stats) for stats in cameras]
    heads = [f"\u25cf {state:<{max(map(len, states))}}" for state in states]
    words = [_words(stats) for stats in cameras]
    whole, least = (
        width - max((_length(head, its[:most]) for head, its in zip(heads, words, strict=True)))
        for most in (None, _LEAST_WORDS)
    )
    names = _names(cameras, whole, least - 1)  # a row that is cut ends with an ellipsis
    name_width = max(map(len, names))
    rows = []
    for state, head, name, its in zip(states, heads, names, words, strict=True):
        row = Text(no_wrap=True, overflow="ellipsis")
        row.append(head, _COLOURS.get(state, "yellow"))
        row.append("  ".join([f"  {name:<{name_width}}", *its]))
        rows.append(row)
    return Group(*rows)


def _length(head: str, words: Sequence[str]) -> int:
    """Of a row without its name."""
    return len(head) + 2 + sum(2 + len(word) for word in words)


def _names(cameras: Sequence[CaptureStats], whole: int, least: int) -> list[str]:
    """Whole; else of addresses the host, and where rows still are too long, what is left beside
    the words that stay.

    Args:
        whole, least: letters beside all words, and beside those that stay.
    """
    for name in (name_of, _short_name):
        names = [shorten(name(stats), _MOST_NAME) for stats in cameras]
        if max(map(len, names)) <= whole:
            return names
    return [shorten(name, max(_LEAST_NAME, least)) for name in names]


def _short_name(stats: CaptureStats) -> str:
    """Of an address the host, or the last part of a path."""
    if stats.camera:
        return name_of(stats)
    scheme, has_host, rest = stats.address.partition("://")
    if has_host:
        return shown(re.split(r"[/?#]", rest.rpartition("@")[2] or rest)[0] or scheme)
    return shown(stats.address.rpartition("/")[2] or stats.address)


def _words(stats: CaptureStats) -> list[str]:
    """What stands behind the name, what matters most first."""
    is_well = state_of(stats) in ("live", "ended")
    return [word for word in (_numbers(stats) if is_well else _trouble(stats)) if word]


def _trouble(stats: CaptureStats) -> list[str]:
    """Why there is no picture, and since when."""
    reason = stats.error.removeprefix(f"{stats.address}: ")
    age = f"{stats.lag_s:.0f} s old" if stats.seen else ""
    return [age, _counted(stats.reconnects, "reconnect"), shown(reason)]


def _numbers(stats: CaptureStats) -> list[str]:
    """Age, kept, dropped, size, rate, reconnects and the last error; each may be empty."""
    size = "x".join(map(str, stats.size)) if stats.size else ""
    error = "" if state_of(stats) == "live" else _without_name(stats)
    dropped = _dropped(stats)
    return [
        f"{stats.lag_s:.1f} s old" if stats.seen else "",
        f"{stats.kept} kept" if stats.seen else "",
        f"{sum(dropped.values())} dropped" if dropped else "",
        size,
        f"{stats.fps:.3g} fps" if stats.fps else "",
        f"{stats.dropped[NOT_SAMPLED]} {NOT_SAMPLED}" if stats.dropped.get(NOT_SAMPLED) else "",
        _counted(stats.reconnects, "reconnect"),
        shown(error),
    ]


def _dropped(stats: CaptureStats) -> dict[str, int]:
    """By reason; frames between two looks are no loss."""
    return {why: count for why, count in stats.dropped.items() if count and why != NOT_SAMPLED}


def in_words(stats: CaptureStats) -> str:
    """All of it on one line, for a command that shows it once."""
    said = [word for word in (state_of(stats), *_numbers(stats)) if word]
    dropped = ", ".join(f"{count} {reason}" for reason, count in _dropped(stats).items())
    return "  ".join(said) + (f"  (dropped: {dropped})" if dropped else "")


def name_of(stats: CaptureStats) -> str:
    """Of a camera where it has one, else its address."""
    return shown(stats.camera or stats.address)


def state_of(stats: CaptureStats) -> str:
    return str(stats.state)


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def _change(stats: CaptureStats) -> str:
    state, reason = state_of(stats), _without_name(stats)
    if state == "live":
        size = "" if stats.size is None else ", {}x{}".format(*stats.size)
        return f"{name_of(stats)}: live{size}"
    return f"{name_of(stats)}: {state}" + (f": {reason}" if reason else "")


def _without_name(stats: CaptureStats) -> str:
    """The last error; its address stands before it already where the camera has no other name."""
    error = stats.error
    return error if stats.camera else error.removeprefix(f"{stats.address}: ")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}" if count else ""
