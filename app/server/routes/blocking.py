"""Work that waits, off the event loop: a few threads, and a bounded line before them.

Reading a memory waits for the disk, and often for the engine's one worker.  Whoever finds the
line full is told to come back, rather than to wait for ever.  No thread keeps a process alive that
is to end: a model may be loading on it, or a camera not answering.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from longtake.busy import Busy
from longtake.server.takes.refusals import Ending

THREADS = 8
MOST_WAITING = 256

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Call:
    """One, on its way to a thread and back."""

    job: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    ended: Callable[[_Call], None]  # in the loop, when no thread does it any more
    is_dropped: bool = False

    def do(self) -> None:
        """On a thread."""
        value: Any = None
        failed: BaseException | None = None
        try:
            if not self.is_dropped:
                value = self.job()
        except BaseException as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self.loop.call_soon_threadsafe(self._settle, value, failed)

    def _settle(self, value: Any, failed: BaseException | None) -> None:
        self.ended(self)
        if self.answer.done():
            return
        if failed is None:
            self.answer.set_result(value)
        else:
            self.answer.set_exception(failed)
            self.answer.exception()  # who asked may be gone

    def drop(self) -> None:
        """In the loop: whoever waits does so no more."""
        self.is_dropped = True
        if not self.answer.done():
            self.answer.set_exception(Ending("this server is ending"))
            self.answer.exception()


class Blocking:
    """Of one server; used from its event loop alone."""

    def __init__(self, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._most_threads, self._most = threads, threads + most_waiting
        self._threads: list[threading.Thread] = []
        self._line: SimpleQueue[_Call | None] = SimpleQueue()
        self._calls: set[_Call] = set()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Calls under way or in line."""
        return len(self._calls)

    async def run(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it on a thread.  Who goes away meanwhile leaves it to its end.

        Raises:
            Busy: if too many wait already.
            Ending: if this was closed, also meanwhile.
        """
        if self._is_closed:
            raise Ending("this server is ending")
        if self.waiting >= self._most:
            raise Busy(f"{self.waiting} requests wait already: try again in a moment")
        loop = asyncio.get_running_loop()
        call = _Call(partial(job, *args, **kwargs), loop, loop.create_future(), self._calls.discard)
        self._calls.add(call)
        if len(self._threads) < min(self.waiting, self._most_threads):
            thread = threading.Thread(target=self._work, name="longtake-server", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._line.put(call)
        answer: T = await asyncio.shield(call.answer)
        return answer

    def close(self) -> None:
        """Returns at once.  What waits in line is let go; what is under way goes on to its end,
        and is waited for no more.  May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for call in self._calls:
            call.drop()
        for _ in self._threads:
            self._line.put(None)

    def _work(self) -> None:
        while (call := self._line.get()) is not None:
            call.do()
            del call  # nothing of it is held while there is nothing to do
