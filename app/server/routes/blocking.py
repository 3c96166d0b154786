"""Work that waits, off the event loop: a few threads, and a bounded line before them.

Reading a memory waits for the disk, and often for the engine's one worker.  Whoever finds the
line full is told to come back, rather than to wait for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from longtake.busy import Busy

THREADS = 8
MOST_WAITING = 256

P = ParamSpec("P")
T = TypeVar("T")


class Blocking:
    """Of one server; used from its event loop alone."""

    def __init__(self, threads: int = THREADS, most_waiting: int = MOST_WAITING) -> None:
        self._threads = ThreadPoolExecutor(threads, "longtake-server")
        self._most = threads + most_waiting
        self.waiting = 0  # calls under way or in line

    async def run(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it on a thread.  Who goes away meanwhile leaves it to its end.

        Raises:
            Busy: if too many wait already.
        """
        if self.waiting >= self._most:
            raise Busy(f"{self.waiting} requests wait already: try again in a moment")
        self.waiting += 1
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: job(*args, **kwargs)
        )
        future.add_done_callback(self._end)
        return await asyncio.shield(future)

    def _end(self, future: asyncio.Future[T]) -> None:
        self.waiting -= 1
        if not future.cancelled():
            future.exception()  # who asked may be gone

    def close(self) -> None:
        """Returns when what is under way is done; what waits in line is let go."""
        self._threads.shutdown(wait=True, cancel_futures=True)
