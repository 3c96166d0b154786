"""Read over HTTP for FFmpeg, so that FFmpeg itself connects to nothing.

    FFmpeg wants an address -> `Visit.open` -> checked, connected, redirects checked too -> a body

FFmpeg is handed `Visit.open` and may open nothing by its own protocols: whatever a playlist
names comes here, also what names no address of HTTP (``file:``, ``tcp:``, ``httpproxy:``), and
is refused.  Encrypted segments are decrypted where the package cryptography is there.
"""

from __future__ import annotations

import errno
import http.client
import io
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote, urljoin

from av import error as ffmpeg

from longtake.streaming.errors import SourceForbidden, SourceRefused
from longtake.streaming.passage_dial import LEAST_S, Dialer, Place, split
from longtake.streaming.passage_login import Login

MOST_REDIRECTS = 5
MOST_LOGINS = 2  # a stale one is answered once more
REDIRECTS = frozenset({301, 302, 303, 307, 308})
READ = 1  # AVIO_FLAG_READ
_REFUSALS: Mapping[int, type[ffmpeg.FFmpegError]] = {
    401: ffmpeg.HTTPUnauthorizedError,
    403: ffmpeg.HTTPForbiddenError,
    404: ffmpeg.HTTPNotFoundError,
    429: ffmpeg.HTTPTooManyRequestsError,
}
_ENCRYPTED = re.compile(r"crypto[+:](?P<inner>https?://.*)", re.IGNORECASE)


class Readable(Protocol):
    """What FFmpeg reads from."""

    def read(self, most: int) -> bytes: ...

    def close(self) -> None: ...


class Visit:
    """All that one opened address leads to: its body, or its playlists and their segments.

    Args:
        dialer: connects, to what is permitted alone.
        connect_s: opening takes at most so long, everything that belongs to it together.
        read_s: the longest wait for bytes after that.
        hold: told of every connection, so that somebody can end it; gives what is to be called
            when it ends.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        connect_s: float,
        read_s: float,
        hold: Callable[[socket.socket], Callable[[], None]],
    ) -> None:
        self._dialer = dialer
        self._read_s = read_s
        self._hold = hold
        self._connect_s = connect_s
        self._until_s: float | None = time.monotonic() + connect_s  # while it is being opened
        self._logins: dict[tuple[str, str, int], Login] = {}
        self._opened = 0
        self._bodies: set[Body] = set()
        self.failure: Exception | None = None  # the first one; FFmpeg may have lived with it

    def settle(self) -> None:
        """Opening is over; what is opened from now on has its own time."""
        self._until_s = None

    def close(self) -> None:
        """End what is still open."""
        for body in list(self._bodies):
            body.close()

    def open(self, url: str, flags: int, options: Mapping[str, str]) -> Readable:
        """What FFmpeg calls for every address that it wants to read.

        Raises:
            SourceForbidden: if it may not be read.
            OSError, av.FFmpegError: if the first address cannot be; later ones are empty then.
        """
        is_first, self._opened = not self._opened, self._opened + 1
        try:
            if flags & ~READ & 3:
                raise SourceForbidden("nothing is written to addresses")
            encrypted = _ENCRYPTED.fullmatch(url)
            place = _of_http(encrypted["inner"] if encrypted else url)
            body = Body(self, place, is_first, self._bodies)
            return _decrypting(body, options) if encrypted else body
        except SourceForbidden as error:
            error.strerror = str(error)  # while frames are read, this is what is told
            self.failure = error
            raise
        except (OSError, ffmpeg.FFmpegError, http.client.HTTPException, ValueError) as error:
            lost: Exception = error
            if not isinstance(error, (OSError, ffmpeg.FFmpegError)):
                lost = ConnectionResetError(errno.ECONNRESET, "sent no HTTP that can be read")
            self.failure = self.failure or lost
            if is_first:
                raise lost from None
            return io.BytesIO()  # a segment that is gone is passed over, as FFmpeg does

    def wait_s(self) -> float:
        """The longest wait for bytes, now.

        Raises:
            TimeoutError: if opening took too long.
        """
        if self._until_s is None:
            return self._read_s
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it took too long to open")
        return max(LEAST_S, left_s)

    def ask(self, place: Place, start: int) -> tuple[Place, Line, http.client.HTTPResponse]:
        """Ask for a body, over redirects and logins.

        Returns:
            Where it was found in the end, its connection, and the answer.
        """
        for _ in range(MOST_REDIRECTS + 1):
            line, answer = self._logged_in(place, start)
            if answer.status not in REDIRECTS:
                break
            location = answer.headers.get("Location", "")
            line.close()
            place = _of_http(urljoin(place.text, location))
        else:
            raise SourceRefused("sends its visitors around in a circle")
        if answer.status >= 400 or answer.status in REDIRECTS:
            line.close()
            other = ffmpeg.HTTPServerError if answer.status >= 500 else ffmpeg.HTTPClientError
            raise _REFUSALS.get(answer.status, other)(answer.status, f"HTTP {answer.status}")
        return place, line, answer

    def _logged_in(self, place: Place, start: int) -> tuple[Line, http.client.HTTPResponse]:
        known = place.credentials
        if known is not None and place.origin not in self._logins:
            self._logins[place.origin] = Login(*known)
        login = self._logins.get(place.origin)
        for attempt in range(MOST_LOGINS + 1):
            line, answer = self._request(place, start, login)
            wanted = answer.headers.get_all("WWW-Authenticate", [])
            is_asked = answer.status == 401 and login is not None and attempt < MOST_LOGINS
            if not is_asked or login is None or not login.take(wanted):
                break
            line.close()
        return line, answer

    def _request(
        self, place: Place, start: int, login: Login | None
    ) -> tuple[Line, http.client.HTTPResponse]:
        until_s = self._until_s or time.monotonic() + self._connect_s
        self.wait_s()
        line = Line(self._dialer.connect(place, until_s), self)
        path = quote(place.path.partition("#")[0], safe="%/:=&?~+!$,;'@()*[]|-._")
        header = None if login is None else login.header("GET", path)
        given = {
            "Host": place.named,
            "User-Agent": "longtake",
            "Accept": "*/*",
            "Connection": "close",
            **({"Range": f"bytes={start}-"} if start else {}),
            **({"Authorization": header} if header is not None else {}),
        }
        head = "".join(f"{name}: {text}\r\n" for name, text in given.items())
        try:
            line.on_close = self._hold(line.line)
            line.send(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace"))
            answer = http.client.HTTPResponse(line, method="GET")  # type: ignore[arg-type]
            answer.begin()
        except BaseException:
            line.close()
            raise
        return line, answer


class Line:
    """One connection whose every wait is bounded by what the visit allows at that moment."""

    def __init__(self, line: socket.socket, visit: Visit) -> None:
        self.line = line
        self._visit = visit
        self.on_close: Callable[[], None] | None = None

    def send(self, data: bytes) -> None:
        self.line.settimeout(self._visit.wait_s())
        self.line.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `http.client` reads its answer from."""
        return io.BufferedReader(_Waiting(self.line, self._visit), 65536)

    def close(self) -> None:
        self.line.close()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None


class _Waiting(io.RawIOBase):
    """Bytes of a connection; each wait is bounded."""

    def __init__(self, line: socket.socket, visit: Visit) -> None:
        super().__init__()
        self._line, self._visit = line, visit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._line.settimeout(self._visit.wait_s())
        return self._line.recv_into(buffer)


class Body:
    """What lies at one address, as a file; another place in it is another request.

    Args:
        is_first: what breaks off is told; of later ones FFmpeg takes what it has.
        others: those that are open; it is one of them until it is closed, or read to its end.
    """

    def __init__(self, visit: Visit, place: Place, is_first: bool, others: set[Body]) -> None:
        self._visit, self._is_first, self._others = visit, is_first, others
        self._at = 0
        self._place, self._line, self._answer = visit.ask(place, 0)
        self._is_gone = False
        length = self._answer.length
        self._length = length
        ranges = self._answer.headers.get("Accept-Ranges", "")
        self._can_seek = length is not None and ranges.strip().lower() == "bytes"
        others.add(self)

    def seekable(self) -> bool:
        return self._can_seek

    def tell(self) -> int:
        return self._at

    def read(self, most: int) -> bytes:
        try:
            data = b"" if self._is_gone else self._answer.read1(most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            if self._is_first and isinstance(error, OSError):
                raise
            return b""
        if not data:
            self.close()
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2 and self._length is None:
            raise OSError("its length is not known")
        start = offset + (0, self._at, self._length or 0)[whence & 3]
        if start == self._at:
            return start
        if self._length is not None and not 0 <= start <= self._length:
            raise OSError(f"{start} lies beyond its end")
        self.close()
        self._at = start
        if start == self._length:
            return start
        _, self._line, self._answer = self._visit.ask(self._place, start)
        self._is_gone = False
        self._others.add(self)
        if start and self._answer.status != 206:
            self.close()
            raise OSError("it cannot be read from another place than its beginning")
        return start

    def close(self) -> None:
        self._is_gone = True
        self._others.discard(self)
        self._answer.close()
        self._line.close()


def _of_http(url: str) -> Place:
    """What a playlist or a redirect names, where that is read over HTTP too."""
    place = split(url)
    if place.scheme not in ("http", "https"):
        raise SourceForbidden(f"leads to an address of {place.scheme}:; name that one instead")
    return place


def _decrypting(body: Body, options: Mapping[str, str]) -> Readable:
    """AES-128 as HLS has it: a whole segment at once, at most 64 MiB."""
    try:
        from cryptography.hazmat.primitives import padding
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        body.close()
        raise SourceForbidden("its segments are encrypted, which is not read here") from None
    data = bytearray()
    while len(data) < 64 << 20 and (more := body.read(65536)):
        data += more
    body.close()
    key, iv = bytes.fromhex(options.get("key", "")), bytes.fromhex(options.get("iv", ""))
    try:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        plain = decryptor.update(bytes(data)) + decryptor.finalize()
        unpadder = padding.PKCS7(128).unpadder()
        return io.BytesIO(unpadder.update(plain) + unpadder.finalize())
    except ValueError:
        return io.BytesIO()
