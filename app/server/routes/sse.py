"""Server-sent events: a stream of them as a response that ends when its reader has gone.

A comment every quarter of a minute keeps proxies from closing a quiet one.  What is told is not
known here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from longtake.server.routes.errors import problem_of

HEARTBEAT_S = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
DOCUMENTED: dict[str, Any] = {
    "content": {"text/event-stream": {}},
    "description": "Server-sent events.",
}


def event(name: str | None, data: Any, number: int | None = None) -> bytes:
    """One event with JSON in it."""
    said = data if isinstance(data, str) else json.dumps(data, allow_nan=False)
    return format_sse_event(event=name, data_str=said, id=None if number is None else str(number))


class Events(EventSourceResponse):
    """Sends what a generator gives; the generator is closed when all is sent, or nobody reads.

    What goes wrong in the middle is told as an event ``error``, with the body of an error.

    Args:
        on_end: called when it is over, also where nothing of the generator was run.
    """

    def __init__(
        self,
        told: AsyncGenerator[bytes],
        on_end: Callable[[], object] = lambda: None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._told, self._on_end = told, on_end
        super().__init__(beating(told, heartbeat_s), headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
            await self._told.aclose()


async def beating(told: AsyncGenerator[bytes], heartbeat_s: float) -> AsyncIterator[bytes]:
    """What is told, with a comment wherever nothing was for so long."""
    begun = asyncio.ensure_future(anext(told, None))
    try:
        while True:
            done, _ = await asyncio.wait({begun}, timeout=heartbeat_s)
            if not done:
                yield KEEPALIVE_COMMENT
                continue
            try:
                piece = begun.result()
            except Exception as error:
                yield event("error", problem_of(error).as_json())
                return
            if piece is None:
                return
            yield piece
            begun = asyncio.ensure_future(anext(told, None))
    finally:
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)  # nobody reads what went wrong
