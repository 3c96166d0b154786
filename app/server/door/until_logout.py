"""A connection that stays open ends with the login that opened it.

It is looked at with every message, in either direction; messages count as use of the login.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Send

from longtake.server.door.logins import Login, Logins

_CLOSE_CODE = 4401


class UntilLogout:
    """Stands between a server and an application, for one request or WebSocket."""

    def __init__(self, receive: Receive, send: Send, logins: Logins, login: Login) -> None:
        self._receive, self._send = receive, send
        self._logins, self._login = logins, login
        self._is_socket = self._can_be_cut = self._is_cut = False

    async def receive(self) -> Message:
        message = await self._receive()
        await self._look()
        if not self._is_cut:
            return message
        if self._is_socket:
            return {"type": "websocket.disconnect", "code": _CLOSE_CODE, "reason": "logged out"}
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] not in ("http.response.start", "websocket.accept"):
            await self._look()
        if self._is_cut:
            return
        if message["type"] == "websocket.accept":
            self._is_socket = self._can_be_cut = True
        elif message["type"] == "http.response.start":  # of known length: soon over by itself
            self._can_be_cut = "content-length" not in Headers(raw=message.get("headers", []))
        elif message["type"] == "websocket.close" or not message.get("more_body", True):
            self._can_be_cut = False
        await self._send(message)

    async def _look(self) -> None:
        if self._logins.is_on(self._login):
            self._logins.touch(self._login)
        elif self._can_be_cut:
            self._can_be_cut, self._is_cut = False, True
            await self._send(
                {"type": "websocket.close", "code": _CLOSE_CODE, "reason": "logged out"}
                if self._is_socket
                else {"type": "http.response.body", "body": b"", "more_body": False}
            )
