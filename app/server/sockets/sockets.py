"""What both WebSockets of a take share: a seat, the take, and how they end.

A browser sees why a socket was closed only if it was accepted first; so every refusal accepts and
closes.  Who may come in at all is known to the guard before them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from longtake.server.takes.closing import FAILED, MALFORMED, NO_TAKE, TRY_LATER, Closing
from longtake.server.takes.refusals import Ending, NoSuchTake, TooMany
from longtake.streaming.errors import redact
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted

CLOSE_S = 1.0  # for the words of a close to leave
MOST_MALFORMED = 3  # messages in a row

_log = logging.getLogger(__name__)

Tell = Callable[[Closing], None]  # ends the socket; from any thread
Work = Callable[["Hosted", Tell], Coroutine[Any, Any, None]]


class Ended(Exception):
    """This socket is to be closed, and why."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason)
        self.closing = closing


async def serve(hall: Hall, socket: WebSocket, take: str, work: Work) -> None:
    """Accept a socket, do ``work(hosted, tell)`` until it returns, or the take is closed, or
    ``tell`` was called with a reason; then close it.

    Args:
        work: may raise `Ended`, and what takes and their sources refuse.
    """
    try:
        await socket.accept()
        with ExitStack() as held:
            closing = await _served(hall, socket, take, work, held)
    except WebSocketDisconnect:
        return
    if closing is not None:
        await close(socket, closing)


async def _served(
    hall: Hall, socket: WebSocket, take: str, work: Work, held: ExitStack
) -> Closing | None:
    """Why it is to be closed; None where the other side has left."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Closing] = loop.create_future()

    def tell(closing: Closing) -> None:
        def settle() -> None:
            if not told.done():
                told.set_result(closing)

        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)

    try:
        held.enter_context(hall.seat())
        hosted = hall.find(take)
        held.callback(hosted.on_close.add(tell))
        if hosted.closing is not None:
            return hosted.closing
        working = asyncio.create_task(work(hosted, tell))
        either: set[asyncio.Future[Any]] = {working, told}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                return told.result()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    except WebSocketDisconnect:
        return None
    except Ended as ended:
        return ended.closing
    except NoSuchTake as error:
        return Closing(NO_TAKE, redact(str(error)))
    except (TooMany, Ending) as error:
        return Closing(TRY_LATER, str(error))
    except ValueError as error:
        return Closing(MALFORMED, redact(one_line(error)))
    except Exception as error:  # a bug, or the machine: nothing of it is for visitors
        _log.error("a socket of take %s failed: %s", take, redact(one_line(error)), exc_info=error)
        return Closing(FAILED, "something failed inside; the server's log says what")
    return None


async def close(socket: WebSocket, closing: Closing) -> None:
    """Say why; one that reads no more is not waited for."""
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(closing.code, closing.short_reason)


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Until the first one returns or raises; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
