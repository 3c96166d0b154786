"""uvicorn's WebSockets for pictures: little waits on the way, and who is gone is let go.

A message that was written cannot be taken back, so the buffers behind it are kept small: a slow
viewer then misses pictures instead of getting old ones.  And a connection whose other side reads
no more (a suspended page, a cable that was cut) is aborted: closing it would wait for that side.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.transports import BaseTransport, Transport
from typing import cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SEND_BYTES = 64 << 10  # in the kernel, which counts about twice as much
BUFFER_BYTES = 32 << 10  # before it
CLOSE_S = 3.0  # for the other side to see why it is closed


class SocketProtocol(WebSocketsSansIOProtocol):
    """One connection; give it to uvicorn as ``ws=``."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.close_timeout = CLOSE_S
        cast(Transport, transport).set_write_buffer_limits(high=BUFFER_BYTES)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)

    def keepalive_timeout(self) -> None:
        """It did not answer in time."""
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with it."""
        super().on_task_complete(task)
        if not self.disconnected:
            self.loop.call_later(CLOSE_S, self._let_go)

    def _let_go(self) -> None:
        if not self.disconnected:
            self.transport.abort()
