"""Carry one RTSP connection between FFmpeg and a camera, and let nothing lead it elsewhere.

    FFmpeg -> 127.0.0.1, a port for this connection alone -> the camera, connected and checked

RTSP's demuxer opens its own connection, so it is given one to us.  What the camera says is cut
into messages and frames (``$``), read strictly, and written anew: a 3xx or a REDIRECT ends it.
What FFmpeg says goes on as it is, so that its logins hold: the camera reads our port in the
request's address, as a camera behind a router's forwarded port does.
"""

from __future__ import annotations

import logging
import re
import secrets
import selectors
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote

from longtake.streaming.errors import SourceError, SourceForbidden, SourceLost
from longtake.streaming.passage_dial import Place

MOST_HEAD_BYTES = 64 << 10
MOST_BODY_BYTES = 1 << 20
READ_BYTES = 256 << 10
GREETING_S = 1.0  # FFmpeg begins at once
MOST_GREETING_BYTES = 16 << 10
PLAIN = "-._~!$&'()*+,;=:%"  # in a login, beside letters and digits
SEND_S = 10.0  # a camera that takes nothing for so long is lost
_log = logging.getLogger(__name__)
_STATUS = re.compile(r"RTSP/\d\.\d[ \t]+(?P<code>\d{3})(?:[ \t]+(?P<reason>[^\x00-\x1f\x7f]*))?")
_REQUEST = re.compile(r"(?P<method>[A-Z_]{1,32}) [^\x00-\x20\x7f]{1,4096} RTSP/\d\.\d")
_HEADER = re.compile(r"(?P<name>[A-Za-z0-9!#%&'*+.^_`|~-]+)[ \t]*:(?P<text>[^\x00\r\n]*)")


class Messages:
    """Cuts a stream into messages and frames; each comes out whole, in the form it is passed on.

    Args:
        pass_on: the head's lines as they are sent on; raises `SourceError` to end it all.
    """

    def __init__(self, pass_on: Callable[[list[str]], list[str]]) -> None:
        self._pass_on = pass_on
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        while (unit := self._next()) is not None:
            yield unit

    def _next(self) -> bytes | None:
        data = self._data
        while data[:1] == b"\r" or data[:1] == b"\n":
            del data[:1]
        if data[:1] == b"$":
            end = 4 + int.from_bytes(data[2:4], "big") if len(data) >= 4 else MOST_HEAD_BYTES * 2
            return self._cut(end) if len(data) >= end else None
        found = re.search(rb"\r?\n\r?\n", data)
        if found is None or found.end() > MOST_HEAD_BYTES:
            if len(data) > MOST_HEAD_BYTES:
                raise SourceLost("sends messages that have no end")
            return None
        lines = data[: found.start()].decode("latin-1").replace("\r\n", "\n").split("\n")
        length = _length(lines)
        if len(data) < found.end() + length:
            return None
        del data[: found.end()]
        body = self._cut(length)
        passed = "".join(f"{line}\r\n" for line in self._pass_on(lines))
        return f"{passed}\r\n".encode("latin-1") + body

    def _cut(self, end: int) -> bytes:
        unit = bytes(self._data[:end])
        del self._data[:end]
        return unit


def from_camera(lines: list[str]) -> list[str]:
    """The head of what a camera says, written anew.

    Raises:
        SourceForbidden: if it leads elsewhere.
        SourceLost: if it is no RTSP.
    """
    first, status = lines[0].rstrip(), _STATUS.fullmatch(lines[0].rstrip())
    request = None if status else _REQUEST.fullmatch(first)
    if status is None and request is None:
        raise SourceLost("sends no RTSP that can be read")
    if (status and status["code"][0] == "3") or (request and request["method"] == "REDIRECT"):
        raise SourceForbidden(
            "leads elsewhere (a redirect), which is not followed; name the address it leads to"
        )
    start = f"RTSP/1.0 {status['code']} {status['reason'] or ''}" if status else first
    kept = [start]
    for line in lines[1:]:
        header = _HEADER.fullmatch(line.rstrip("\r"))
        if header is not None and header["name"].lower() != "location":
            kept.append(f"{header['name']}: {header['text'].strip()}")
    return kept


def _length(lines: list[str]) -> int:
    """The body's, of a head."""
    found = {
        header["text"].strip()
        for line in lines[1:]
        if (header := _HEADER.fullmatch(line.rstrip("\r")))
        and header["name"].lower() == "content-length"
    }
    if not found:
        return 0
    text = found.pop()
    if found or not re.fullmatch(r"\d{1,7}", text) or int(text) > MOST_BODY_BYTES:
        raise SourceLost("sends a message of no clear length")
    return int(text)


class Relay:
    """One connection of FFmpeg's to one camera; ends when either of them does.

    Args:
        camera: the connection to the camera.
        on_end: called once when it is over, from any thread.
    """

    def __init__(self, camera: socket.socket, on_end: Callable[[], None]) -> None:
        self._camera, self._on_end = camera, on_end
        self._secret = secrets.token_hex(16)
        self._client: socket.socket | None = None
        self._first = b""  # that FFmpeg said
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self._port: int = self._listener.getsockname()[1]
        self.failure: SourceError | None = None  # what the camera did wrong
        self._thread = threading.Thread(target=self._run, name="passage-rtsp", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def agent(self) -> str:
        """FFmpeg must call itself so: no other program of this machine comes through."""
        return f"longtake-{self._secret}"

    def url(self, place: Place) -> str:
        """What FFmpeg opens in place of the camera's address."""
        safe = quote(place.login, safe=PLAIN)
        return f"rtsp://{safe}{'@' if safe else ''}127.0.0.1:{self._port}{place.path}"

    def close(self) -> None:
        """End both connections; from any thread."""
        self._closed.set()
        for line in (self._listener, self._client, self._camera):
            if line is not None:
                shut(line)

    def _run(self) -> None:
        try:
            self._client = client = self._accept()
            if client is not None:
                self._carry(client)
        except SourceError as error:  # told by whoever opened it
            self.failure = error
        except OSError as error:  # one of the two broke off; the other one will see that
            _log.debug("a relayed connection broke: %s", error.strerror)
        finally:
            self.close()
            for line in (self._listener, self._client, self._camera):
                if line is not None:
                    line.close()
            self._on_end()

    def _accept(self) -> socket.socket | None:
        """FFmpeg's connection, and nobody else's; None where it was closed first."""
        self._listener.settimeout(0.25)
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return None
            client.settimeout(GREETING_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            self._first = self._greeting(client)
            if self._first:
                self._listener.close()
                return client
            client.close()
            self._client = None
        return None

    def _greeting(self, client: socket.socket) -> bytes:
        """The first bytes of whoever connected; empty where it does not give its name right."""
        said = b""
        try:
            while self.agent.encode() not in said:
                more = client.recv(4096)
                said += more
                is_over = not more or b"\r\n\r\n" in said or len(said) > MOST_GREETING_BYTES
                if is_over and self.agent.encode() not in said:
                    return b""
        except OSError:
            return b""
        return said

    def _carry(self, client: socket.socket) -> None:
        to_camera = Messages(self._without_secret)
        to_client = Messages(from_camera)
        self._camera.settimeout(SEND_S)
        client.settimeout(None)  # FFmpeg may take its time; it is closed where it does not
        for unit in to_camera.feed(self._first):
            self._camera.sendall(unit)
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(self._camera, selectors.EVENT_READ)
            while not self._closed.is_set():
                # what is decrypted already shows on no socket
                is_ready = isinstance(self._camera, ssl.SSLSocket) and self._camera.pending() > 0
                ready = {key.fileobj for key, _ in selector.select(0 if is_ready else None)}
                if client in ready and not _pass(client, to_camera, self._camera):
                    return
                is_ready = is_ready or self._camera in ready
                if is_ready and not _pass(self._camera, to_client, client):
                    return

    def _without_secret(self, lines: list[str]) -> list[str]:
        return [line.rstrip("\r").replace(self.agent, "longtake") for line in lines]


def _pass(giver: socket.socket, messages: Messages, taker: socket.socket) -> bool:
    """Pass on what came; False where nothing will come any more."""
    data = giver.recv(READ_BYTES)
    for unit in messages.feed(data):
        taker.sendall(unit)
    return bool(data)


def shut(line: socket.socket) -> None:
    """End a connection that another thread waits for; one of TLS keeps what it reads with."""
    try:
        socket.socket.shutdown(line, socket.SHUT_RDWR)
    except OSError:  # it was never connected, or is closed
        pass
