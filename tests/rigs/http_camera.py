"""HTTP on loopback: a camera that sends parts at its pace, and files as ordinary servers have them.

Threads of the test's own process; what the bytes mean is not known here.  A camera can refuse,
freeze, and vanish with all its connections, and come back on its port.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

BOUNDARY = "frame"
MJPEG = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
MPEG_TS = "video/mp2t"


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.lines: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, object]:
        line, peer = super().get_request()
        self.lines.add(line)
        return line, peer

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.lines.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class HttpServer:
    """Listens on a free port, on the same one again after `stop` and `start`."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                answer(self)

        self._handler = Handler
        self._server: _Listening | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.ready_s = 0.0

    def start(self) -> None:
        server = _Listening(self.port, self._handler)
        self._server, self.port = server, server.server_port
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), name="rig-http", daemon=True
        )
        self._thread.start()
        self.ready_s = time.monotonic()

    def stop(self) -> None:
        """Nobody listens any more, and every connection is cut."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for line in list(self._server.lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._server = None


class HttpCamera(HttpServer):
    """Sends every client `parts` at `fps` a second, from the first one on; then it hangs up.

    `status` other than 200 is what the next client gets instead; with `login` (USER:PASSWORD)
    those who do not know it get 401.
    """

    def __init__(
        self, parts: Iterable[bytes], *, fps: float, content_type: str, login: str = ""
    ) -> None:
        super().__init__(self._answer)
        self.parts, self.fps, self.content_type, self.login = parts, fps, content_type, login
        self.status = 200
        self._flows = threading.Event()
        self._flows.set()

    def url(self, login: str = "") -> str:
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}/cam"

    def freeze(self) -> None:
        """Connections stay, nothing comes through them."""
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()
        self.ready_s = time.monotonic()

    def __enter__(self) -> HttpCamera:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flows.set()
        self.stop()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and request.headers.get("Authorization") != wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="cam"')
            request.end_headers()
            return
        if self.status != 200:
            request.send_error(self.status)
            return
        request.send_response(200)
        request.send_header("Content-Type", self.content_type)
        request.end_headers()
        with contextlib.suppress(OSError):
            self._send(request.wfile)

    def _send(self, out: io.BufferedIOBase) -> None:
        due, server, pause = time.monotonic(), self._server, threading.Event()
        for part in self.parts:
            pause.wait(max(0.0, due - time.monotonic()))
            self._flows.wait()
            if self._server is not server:
                return
            out.write(part)
            due += 1 / self.fps


class HttpFolder(HttpServer):
    """The files of a folder, whole or by ranges; `status` other than 200 refuses them all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(self._answer)
        self.folder = folder
        self.status = 200

    def url(self, name: str, login: str = "") -> str:
        return f"http://{login}{'@' if login else ''}127.0.0.1:{self.port}/{name}"

    def __enter__(self) -> HttpFolder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.partition("?")[0].lstrip("/")
        try:
            data = path.read_bytes()
        except OSError:
            request.send_error(404)
            return
        if self.status != 200:
            request.send_error(self.status)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2] or len(data)), len(data) - 1) if asked else len(data) - 1
        request.send_response(206 if asked else 200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(last + 1 - first))
        if asked:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(data[first : last + 1])


def jpegs(size: tuple[int, int] = (320, 240), count: int = 10) -> list[bytes]:
    """Different pictures, encoded."""
    width, height = size
    pictures = []
    for number in range(count):
        image = np.full((height, width, 3), 40, np.uint8)
        image[:, number * width // count : (number + 1) * width // count] = (220, 80, 20)
        pictures.append(cv2.imencode(".jpg", image)[1].tobytes())
    return pictures


class Parts:
    """Pictures for ever, each as a part of a multipart answer; every iteration begins anew."""

    def __init__(self, pictures: list[bytes]) -> None:
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: "
        self._parts = [f"{head}{len(one)}\r\n\r\n".encode() + one + b"\r\n" for one in pictures]

    def __iter__(self) -> Iterator[bytes]:
        return itertools.cycle(self._parts)


def mjpeg_camera(
    fps: float = 25.0, size: tuple[int, int] = (320, 240), login: str = ""
) -> HttpCamera:
    """A camera as cheap ones are: JPEGs one after the other, no times."""
    return HttpCamera(Parts(jpegs(size)), fps=fps, content_type=MJPEG, login=login)
