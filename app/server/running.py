"""Listen, and serve an application until it is told to end: uvicorn, with our bounds.

What is served, who may come in, and how a certificate is made is not known here.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from longtake.server.config import ServeConfig
from longtake.server.connections import Connection
from longtake.server.sockets.protocol import SocketProtocol

MOST_TRIED = 20  # ports, where the first one is in use
PING_S = 2.0  # a WebSocket whose other side is gone is noticed after twice this
GRACE_S = 5.0  # for answers under way, once it is told to end
HEADER_BYTES = 16  # of a frame's message, beside its picture
BACKLOG = 128
TELLING_S = 0.1  # for streams to say why they end, before uvicorn closes them without a word
ONCE_S = 0.2  # signals this close together are one: a process and its group get each
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM."""

    certificate: str
    key: str


class AddressInUse(OSError):
    """Another program listens there."""


def listen(config: ServeConfig, *, auto_port: bool = False) -> socket.socket:
    """A socket that listens where `config` says.

    Args:
        auto_port: where that port is in use, take the next free one, of `MOST_TRIED`.

    Raises:
        AddressInUse: if there is none.
        OSError: if the address is none of this machine, or is not permitted.
    """
    tried = range(config.port, config.port + (MOST_TRIED if auto_port and config.port else 1))
    for port in tried:
        try:
            return _bound(config.host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(
                    error.errno,
                    f"--host {config.host} --port {port}: cannot listen there "
                    f"({os.strerror(error.errno or 0) if error.errno else error}); 127.0.0.1 is "
                    "this machine, and ports below 1024 need a right of their own",
                ) from error
    raise AddressInUse(
        errno.EADDRINUSE,
        f"port {config.port}: another program listens there already; name another one with --port, "
        "or take the next free one with --auto-port",
    )


def _bound(host: str, port: int) -> socket.socket:
    kind, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # Without its protocol asyncio leaves Nagle's algorithm on: 40 ms on every small answer.
    listener = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, *, is_tls: bool = False) -> str:
    """What a browser on this machine opens."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}"


class Serving(uvicorn.Server):
    """One run; `run` returns when it is told to end: by a signal, or `stop` from any thread.

    Args:
        on_ready: is called in the loop once it answers.
        on_ending: is called in the loop when it begins to end, before connections are closed.
    """

    def __init__(
        self,
        app: Any,
        config: ServeConfig,
        *,
        certificate: Certificate | None = None,
        on_ready: Callable[[], None] = lambda: None,
        on_ending: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_ready, self._on_ending = on_ready, on_ending
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # ours, which hides logins
                log_level=logging.WARNING,
                access_log=False,  # its lines hold queries
                server_header=False,
                proxy_headers=False,  # whoever calls would say where from
                http=Connection,
                ws=SocketProtocol,
                ws_max_size=config.max_message_bytes + HEADER_BYTES,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                ws_per_message_deflate=False,  # pictures do not get smaller
                timeout_keep_alive=20,
                timeout_graceful_shutdown=int(GRACE_S),
                h11_max_incomplete_event_size=64 << 10,
                ssl_certfile=None if certificate is None else certificate.certificate,
                ssl_keyfile=None if certificate is None else certificate.key,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn's way; it has logged why
            raise RuntimeError("the server could not begin to answer; see above") from error
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_ending()
        await asyncio.sleep(TELLING_S)
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Begin to end; returns at once.  A second time: at once, whatever is under way."""
        self.force_exit, self.should_exit = self.should_exit, True

    def serve_on(self, listeners: Sequence[socket.socket]) -> None:
        """Blocks until it has ended.  In the main thread SIGINT, SIGTERM and SIGHUP end it, and
        are raised again when it has.

        Raises:
            RuntimeError: if the application could not begin; the log tells why.
        """
        self.run(sockets=list(listeners))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's, which leaves SIGHUP to end the program in the middle."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        told: list[int] = []
        newest_s = float("-inf")

        def end(number: int, _: FrameType | None) -> None:
            nonlocal newest_s
            before_s, newest_s = newest_s, time.monotonic()
            if newest_s - before_s >= ONCE_S:
                told.append(number)
                self.stop()

        ignored = (signal.SIG_IGN, None)  # what is ignored stays so (nohup)
        handled = [each for each in ENDING if signal.getsignal(each) not in ignored]
        before: dict[int, Any] = {each: signal.signal(each, end) for each in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for number in told[:1]:
            signal.raise_signal(number)
