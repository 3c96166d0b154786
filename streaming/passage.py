"""What every connection to an address goes through that a visitor named.

    http   FFmpeg -> `Visit.open` in this process -> checked and connected here
    rtsp   FFmpeg -> a `Relay` on 127.0.0.1 -> checked and connected here

A visitor may name public addresses, and what the operator allows beside them (`Rules`).  The
rules are asked anew at every connection: the first, a redirect, a playlist's segment, another
attempt.  FFmpeg is left no protocol of its own by which it could connect; the environment's
http_proxy and no_proxy mean nothing here.  How frames are read is not known here.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from longtake.streaming.errors import SourceForbidden, SourceRefused
from longtake.streaming.passage_dial import Dialer, Resolve, look_up, split
from longtake.streaming.passage_http import Visit
from longtake.streaming.passage_rtsp import Relay, shut
from longtake.streaming.passage_rules import Rules

__all__ = ["Passage", "Rules"]

MOST_CONNECTIONS = 256


class Passage:
    """Lets visitors' sources connect to what is permitted; shared by all of them.

    Args:
        rules: what the operator allows beyond public addresses.
        resolve: the addresses of a host; asked before every connection.
        most: connections at the same time.
    """

    def __init__(
        self, rules: Rules, *, resolve: Resolve = look_up, most: int = MOST_CONNECTIONS
    ) -> None:
        self.rules = rules
        self._dialer = Dialer(rules, resolve)
        self._most = most
        self._lock = threading.Lock()
        self._ends: dict[object, Callable[[], None]] = {}  # how each open connection is ended
        self._is_closed = False

    def check(self, address: str) -> None:
        """Whether a visitor may name this address at all; connects to nothing.

        Where an address leads is asked before every connection too; this only tells it early.

        Raises:
            SourceForbidden: if it may not.
            SourceNotSupported: if it is no address.
            OSError: if its host cannot be found.
        """
        self._dialer.addresses(split(address))

    def visit(self, *, connect_s: float, read_s: float) -> Visit:
        """For one opening of an address over HTTP, and all that it leads to."""
        return Visit(self._dialer, connect_s=connect_s, read_s=read_s, hold=self._hold_line)

    def relay(self, address: str, *, connect_s: float) -> tuple[Relay, str]:
        """Connect to an RTSP camera; FFmpeg then opens the address that comes with it.

        Raises:
            SourceForbidden: if it may not be connected to.
            OSError: if nothing answers there.
        """
        place = split(address)
        camera = self._dialer.connect(place, time.monotonic() + connect_s)
        key = object()
        try:
            self._check_room()
            relay = Relay(camera, lambda: self._let_go(key))
        except BaseException:
            camera.close()
            raise
        self._hold(key, relay.close)
        relay.start()
        return relay, relay.url(place)

    @property
    def connections(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._ends)

    def close(self) -> None:
        """End every connection; nobody connects any more."""
        with self._lock:
            self._is_closed = True
            ends = list(self._ends.values())
        for end in ends:
            end()

    def __enter__(self) -> Passage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _hold_line(self, line: socket.socket) -> Callable[[], None]:
        self._check_room()
        key = object()
        self._hold(key, lambda: shut(line))
        return lambda: self._let_go(key)

    def _check_room(self) -> None:
        with self._lock:
            if self._is_closed:
                raise SourceForbidden("visitors' sources are closed here")
            if len(self._ends) >= self._most:
                raise SourceRefused(
                    f"{self._most} connections of visitors' sources are open, which is the most; "
                    "remove a source"
                )

    def _hold(self, key: object, end: Callable[[], None]) -> None:
        with self._lock:
            self._ends[key] = end

    def _let_go(self, key: object) -> None:
        with self._lock:
            self._ends.pop(key, None)
