"""uvicorn's HTTP connections, bounded: so many at once, and none waits for ever for the rest of a
request, or tells two lengths of one.

A request's head has to come within `HEAD_S`, and its body may pause for `PAUSE_S`, unless it is us
who do not read on.  Connections that became WebSockets are known to `sockets.protocol`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 1000  # one more is closed at once
HEAD_S = 15.0
PAUSE_S = 30.0


class OneLength:
    """Refuses a request with two lengths, which a proxy before us may have understood in another
    way (RFC 9112, 6.1)."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        names = {name for name, _ in scope.get("headers", ())}
        if scope["type"] != "http" or not names >= {b"content-length", b"transfer-encoding"}:
            await self._app(scope, receive, send)
            return
        said = b"a request has one length: Content-Length, or Transfer-Encoding"
        kind, end = (b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")
        length = (b"content-length", str(len(said)).encode())
        await send({"type": "http.response.start", "status": 400, "headers": [kind, length, end]})
        await send({"type": "http.response.body", "body": said})


class Connection(H11Protocol):
    """One; give it to uvicorn as ``http=``."""

    _due: asyncio.TimerHandle | None = None
    _is_head = True  # what is waited for, while `_due` runs

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.app = OneLength(self.app)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        theirs = self.conn.their_state
        if theirs is h11.IDLE:  # a part of the next one's head
            self._wait_for_head()
        elif theirs is h11.SEND_BODY:
            self._wait_for_body()
        else:
            self._wait_no_more()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._wait_no_more()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        """From its first byte on, however slowly the rest comes."""
        if self._due is None or not self._is_head:
            self._wait(HEAD_S, self._give_up)
            self._is_head = True

    def _wait_for_body(self) -> None:
        self._wait(PAUSE_S, self._give_up_on_body)
        self._is_head = False

    def _wait(self, seconds: float, then: Any) -> None:
        self._wait_no_more()
        self._due = self.loop.call_later(seconds, then)

    def _wait_no_more(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _give_up_on_body(self) -> None:
        if self.flow.read_paused:
            self._wait_for_body()
        elif self.conn.their_state is h11.SEND_BODY:
            self._give_up()

    def _give_up(self) -> None:
        self._due = None
        self.transport.abort()
