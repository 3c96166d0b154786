"""A question on its way: asked by one thread, answered by the engine's.

The worker puts pieces of text, then the answer or what went wrong; whoever asked waits, looks,
streams, or cancels.  Threads that wait hold nothing; a coroutine's loop is told when to look again,
and no thread waits for it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from longtake.answer import Answer
from longtake.latch import Latch


class Asking:
    """One question's answer in the making.  All methods may be called from any thread.

    Pieces are bounded by the answer's token limit.
    """

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._settled = Latch()
        self._is_cancelled = False
        self._answer: Answer | None = None
        self._error: BaseException | None = None
        self._bells: list[Callable[[], None]] = []  # of coroutines that wait
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held

    def done(self) -> bool:
        return self._settled.is_open

    def cancel(self) -> None:
        """End the answer at the next token; `result` then gives what there is, as partial."""
        self._is_cancelled = True

    @property
    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def result(self, timeout_s: float | None = None) -> Answer:
        """Wait for the whole answer.

        Raises:
            TimeoutError: if it is not there in time; the question goes on.
            Exception: what went wrong while answering.
        """
        if not self._settled.wait(timeout_s):
            raise TimeoutError(f"no answer within {timeout_s} s; it is still being worked on")
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    async def aresult(self) -> Answer:
        """`result` for coroutines, of any loop.  Giving up waiting does not end the answer:
        `cancel` does."""
        with self._bell() as bell:
            while not self.done():
                await bell.wait()
                bell.clear()
        return self.result()

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they come; ends with the answer.  Raises what went wrong."""
        while (piece := self._pieces.get()) is not None:
            yield piece
        self._put(None)  # a second iteration ends at once
        self.result()

    async def __aiter__(self) -> AsyncIterator[str]:
        """The same for coroutines, of any loop."""
        with self._bell() as bell:
            while True:
                bell.clear()  # before looking: what comes then rings again
                try:
                    piece = self._pieces.get_nowait()
                except queue.Empty:
                    await bell.wait()
                    continue
                if piece is None:
                    break
                yield piece
        self._put(None)
        self.result()

    # the worker's side

    def add(self, piece: str) -> None:
        self._put(piece)

    def finish(self, answer: Answer) -> None:
        self._answer = answer
        self._settle()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._settle()

    def _settle(self) -> None:
        self._settled.open()
        self._put(None)

    def _put(self, piece: str | None) -> None:
        self._pieces.put(piece)
        with self._lock:
            bells = tuple(self._bells)
        for ring in bells:
            ring()

    @contextmanager
    def _bell(self) -> Iterator[asyncio.Event]:
        """Rings in the loop that runs here whenever something was put."""
        bell, loop = asyncio.Event(), asyncio.get_running_loop()

        def ring() -> None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits in it
                loop.call_soon_threadsafe(bell.set)

        with self._lock:
            self._bells.append(ring)
        try:
            yield bell
        finally:
            with self._lock:
                self._bells.remove(ring)
