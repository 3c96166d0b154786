"""One `Capture` with all that it needs, and waiting for what it does.

What is watched, and what should be seen, is the tests' business.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from longtake.streaming.addresses import parse_address
from longtake.streaming.capture import Capture
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_stats import Outage, State
from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.newest import Newest, Still

SOON_S = 10.0  # a limit for what should come at once on an idle machine; never slept
MARGIN_S = 1.5  # frames again so long after the longest wait between two attempts
SIDE = 64  # of the kept pictures; large ones would only cost time
STEP_S = 0.005


def until(
    claim: Callable[[], object],
    within_s: float = SOON_S,
    what: str | Callable[[], object] = "it",
) -> float:
    """Wait for what other threads are about to do; the monotonic time at which it held.

    `what` did not come, where it does not; as a function it is asked only then.
    """
    pause, deadline_s = threading.Event(), time.monotonic() + within_s
    while not claim():
        if time.monotonic() > deadline_s:
            told = what() if callable(what) else what
            raise AssertionError(f"{told} did not come within {within_s:g} s")
        pause.wait(STEP_S)
    return time.monotonic()


class Watched:
    """Watches `address` from now on; as a context manager it is stopped at the end.

    Args:
        fps: what the sampler keeps at most; more than any rig sends means every frame.
        room: frames that the mailbox holds; nobody takes any unless a test does.
        side: the longer one of the pictures, in pixels, at most.
        settings: of `CaptureConfig`.
    """

    def __init__(
        self,
        address: str,
        *,
        fps: float = 1000.0,
        room: int = 500,
        side: int = SIDE,
        open_camera: Callable[..., Any] | None = None,
        **settings: Any,
    ) -> None:
        self.config = CaptureConfig(**settings)
        self.mailbox = Mailbox(room, "newest")
        self.newest = Newest()
        self.outages: list[Outage] = []
        self.when_unseen: Callable[[], object] = lambda: None  # called at every outage
        self.ended = threading.Event()
        self.began_s = time.monotonic()
        seams = {} if open_camera is None else {"open_camera": open_camera}
        self.capture = Capture(
            parse_address(address, self.config.allow),
            self.config,
            camera="cam",
            fps=fps,
            max_side=side,
            mailbox=self.mailbox,
            newest=self.newest,
            session_s=lambda at_s: at_s - self.began_s,
            on_outage=self._note,
            on_end=self.ended.set,
            **seams,
        )
        self.capture.start()

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.capture.stop()

    def _note(self, outage: Outage) -> None:
        self.outages.append(outage)
        self.when_unseen()

    @property
    def state(self) -> State:
        return self.capture.state

    @property
    def seen(self) -> int:
        return self.capture.stats().seen

    def until_seen(self, count: int = 1, within_s: float = SOON_S) -> Watched:
        """Wait until `count` more frames have come."""
        wanted = self.seen + count
        until(
            lambda: self.seen >= wanted, within_s, lambda: f"{count} frames; {self.capture.stats()}"
        )
        return self

    def until_state(self, *states: State, within_s: float = SOON_S) -> float:
        return until(
            lambda: self.state in states, within_s, lambda: f"{states}; {self.capture.stats()}"
        )

    def until_error(self, words: str = "", within_s: float = SOON_S) -> str:
        """Wait for an error that holds `words`; its text."""
        until(lambda: words in self.said(), within_s, lambda: f"{words!r}; {self.said()!r}")
        until(self.said, within_s, "an error")
        return self.said()

    def said(self) -> str:
        return str(self.capture.error or "")

    def first_after(self, moment_s: float, within_s: float = SOON_S) -> Still:
        """The first frame seen here that arrived after a moment on the monotonic clock."""
        deadline_s, known = time.monotonic() + within_s, 0
        while (left_s := deadline_s - time.monotonic()) > 0:
            still = self.newest.wait(known, left_s)
            if still is not None and still.arrived_s > moment_s:
                return still
            known = known if still is None else still.number
        raise AssertionError(f"no frame within {within_s:g} s; {self.capture.stats()}")

    def assert_back_in_time(self, ready_s: float, lost_s: float = 0.0) -> Still:
        """Frames again within the longest wait between attempts and `MARGIN_S`.

        Args:
            ready_s: since when there is something to be found.
            lost_s: when it was noticed; frames from before are of the connection that was lost.
        """
        still = self.first_after(max(ready_s, lost_s))
        bound_s = self.config.backoff_s + MARGIN_S
        took_s = still.arrived_s - ready_s
        assert took_s <= bound_s, f"{took_s:.2f} s; {self.capture.stats()}"
        return still

    def frames(self) -> list[Frame]:
        """What the mailbox holds now."""
        return self.mailbox.take(self.mailbox.capacity)

    def everything_told(self) -> str:
        """All words in which this capture speaks of itself."""
        told = [repr(self.capture), repr(self.capture.stats()), repr(self.outages)]
        error = self.capture.error
        if error is not None:
            told += [str(error), repr(error), repr(error.args), repr(vars(error))]
            told += [repr(error.filename), *traceback.format_exception(error)]
            told += [f"{one!r} {one.args}" for one in _behind(error)]
        return "\n".join(told)


def _behind(error: BaseException) -> list[BaseException]:
    behind, at = [], [error.__cause__, error.__context__]
    while at:
        one = at.pop()
        if one is not None and one not in behind:
            behind.append(one)
            at += [one.__cause__, one.__context__]
    return behind


def at_once(check: Callable[[Any], object], cases: Iterable[Any]) -> None:
    """Run `check` for every case, each in a thread of its own; the first failure is raised.

    For checks that wait most of their time.
    """
    cases = list(cases)
    with ThreadPoolExecutor(len(cases), "rig-check") as pool:
        running = {case: pool.submit(check, case) for case in cases}
    for case, one in running.items():
        error = one.exception()
        if error is not None:
            error.add_note(f"in the case {case!r}")
            raise error


def assert_adds_up(watched: Watched) -> None:
    """Every frame that was seen was kept or dropped; what was kept came into the mailbox."""
    before = watched.mailbox.received
    stats = watched.capture.stats()
    assert stats.seen == stats.kept + sum(stats.dropped.values()), stats
    assert before - 1 <= stats.kept <= watched.mailbox.received, stats


def assert_times_rise(frames: list[Frame], until_s: float) -> None:
    """Never decreasing, never after now, and not all the same."""
    times = [frame.pts_s for frame in frames]
    assert len(times) >= 5 and times == sorted(times), times
    assert 0 <= times[0] < times[-1] <= until_s, times


def longtake_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("longtake-")}


def descriptors() -> dict[str, str]:
    """What this process holds open: number -> what it leads to."""
    gc.collect()
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one that listed them
            continue
    return found


def resident_bytes() -> int:
    """How much memory this process needs now: what is free is given back before."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
