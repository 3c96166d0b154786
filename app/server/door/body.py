"""A request's body is counted while it is read, and cut off where it becomes too large.

What the answer to that is, is not known here.
"""

from __future__ import annotations

from starlette.types import Message, Receive, Send


class BoundedBody:
    """Stands between a server and an application.

    When too much has come, the application is told that the client left, and what it answers to
    that is dropped: `is_cut_off` says that another answer is due.
    """

    def __init__(self, receive: Receive, send: Send, most_bytes: int) -> None:
        self._receive, self._send, self._most_bytes = receive, send, most_bytes
        self._seen_bytes, self._is_over, self._has_begun = 0, False, False

    @property
    def is_cut_off(self) -> bool:
        return self._is_over and not self._has_begun

    async def receive(self) -> Message:
        if self._is_over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._seen_bytes += len(message.get("body", b""))
        if self._seen_bytes > self._most_bytes:
            self._is_over = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.is_cut_off:
            return
        self._has_begun = True
        await self._send(message)
