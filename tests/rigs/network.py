"""What a network does to a camera: nobody answers, the line freezes, is cut, changes bytes.

Knows nothing of what is said over the line.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np

CHUNK_BYTES = 65536


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


def free_port() -> int:
    """A TCP port at which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as asked:
        port: int = asked.getsockname()[1]
        return port


class Line:
    """Passes TCP connections on to `port` of loopback, by a thread of its own.

    `flips` is the share of bytes from the server that arrive changed; it may be set at any time.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.flips = 0.0
        self.ready_s = 0.0
        self._rng = np.random.default_rng(0)
        self._flows = threading.Event()
        self._flows.set()
        self._ends: dict[socket.socket, tuple[socket.socket, bool]] = {}  # other end, is it ours
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="rig-line", daemon=True)

    def freeze(self) -> None:
        """Connections stay, nothing passes; new ones are accepted and get nothing."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()
        self.ready_s = time.monotonic()

    def cut(self) -> None:
        """End every connection there is; new ones pass."""
        with self._lock:
            for end in list(self._ends):
                self._drop(end)
        self.ready_s = time.monotonic()

    def __enter__(self) -> Line:
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._thread.start()
        self.ready_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._flows.set()
        self._thread.join()
        self.cut()
        self._selector.close()
        self._listening.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._flows.wait()
            for key, _ in self._selector.select(0.02):
                with self._lock:
                    if key.fileobj is self._listening:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket):
                        self._pass_on(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 1.0)
        except OSError:
            client.close()
            return
        for end, other, is_server in ((client, server, False), (server, client, True)):
            self._ends[end] = (other, is_server)
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        if end not in self._ends:
            return
        other, is_server = self._ends[end]
        try:
            data = end.recv(CHUNK_BYTES)
            other.sendall(self._change(data) if is_server else data)
        except OSError:
            data = b""
        if not data:
            self._drop(end)

    def _change(self, data: bytes) -> bytes:
        if not self.flips:
            return data
        changed = np.frombuffer(data, np.uint8).copy()
        hit = self._rng.random(len(changed)) < self.flips
        changed[hit] ^= self._rng.integers(1, 256, int(hit.sum()), dtype=np.uint8)
        return changed.tobytes()

    def _drop(self, end: socket.socket) -> None:
        if end not in self._ends:
            return
        other, _ = self._ends.pop(end)
        self._selector.unregister(end)
        end.close()
        self._drop(other)
