"""Being told to end, as Ctrl-C does it: SIGTERM (a service manager, docker stop), SIGHUP (a closed
terminal).

They raise in the main thread and end the run in order: what was seen is written, temporary files
go, programs that were started end.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ONCE_S = 0.2  # signals this close together are one: a process and its group get each


class Terminated(KeyboardInterrupt):
    """Not by Ctrl-C: there is nobody to be asked again."""


@dataclass(slots=True)
class Told:
    """What ended a run, other than Ctrl-C."""

    signal: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """As a shell tells of a program that a signal ended."""
        assert self.signal is not None
        return 128 + self.signal


@contextmanager
def in_order() -> Iterator[Told]:
    """Within, signals to end raise; in other threads than the main one nothing changes."""
    told = Told()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    newest_s = float("-inf")

    def end(number: int, _: FrameType | None) -> None:
        nonlocal newest_s
        before_s, newest_s = newest_s, time.monotonic()
        if newest_s - before_s < ONCE_S:
            return
        told.signal = signal.Signals(number)
        raise Terminated(told.signal.name)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # what is ignored stays so (nohup)
            before[number] = signal.signal(number, end)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
