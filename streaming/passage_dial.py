"""Connect to a host that somebody named, and to nothing that the rules do not permit.

    host -> its addresses, now -> those that are permitted -> a connection to one of these

The address that was checked is the one that is connected to; nothing resolves the name again.
What is said over the connection is not known here.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from longtake.streaming.errors import SourceForbidden, SourceNotSupported, redact
from longtake.streaming.passage_rules import SCHEMES, Rules, plain_host, way_out

Resolve = Callable[[str, int], Sequence[str]]
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
ENCRYPTED = frozenset({"rtsps", "https"})
LEAST_S = 0.05
_PARTS = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]*)://
        (?:(?P<login>[^/?\#]*)@)?
        (?P<host>\[[0-9a-f:.]+\]|[^\s/?\#:@\[\]%]+)
        (?::(?P<port>\d{0,5}))?
        (?P<path>[/?\#].*)?""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Place:
    """An address of the network in its parts; shows neither its login nor its query."""

    text: str
    scheme: str
    login: str  # USER:PASSWORD as it stood in the address; empty where there was none
    host: str  # without brackets
    port: int
    path: str  # with its query, from / on

    @property
    def is_encrypted(self) -> bool:
        return self.scheme in ENCRYPTED

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def named(self) -> str:
        """Host and port, as they stand in an address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password."""
        if not self.login:
            return None
        user, _, password = self.login.partition(":")
        return unquote(user), unquote(password)

    def __repr__(self) -> str:
        return f"Place({redact(self.text)!r})"


def split(text: str) -> Place:
    """An address in its parts.

    Raises:
        SourceForbidden: if it is of a kind that nobody may name here.
        SourceNotSupported: if it names no host, or holds blanks or control characters.
    """
    scheme = text.partition(":")[0].lower()
    if scheme not in SCHEMES or not text[len(scheme) :].startswith("://"):
        kind = f"{scheme}:" if re.fullmatch(r"[a-z][a-z0-9+.-]{0,30}", scheme) else "this kind"
        raise SourceForbidden(
            f"{redact(text)}: addresses of {kind} are not read for visitors; what is: "
            f"{', '.join(SCHEMES)}"
        )
    found = _PARTS.fullmatch(text)
    is_plain = not any(character <= " " or character == "\x7f" for character in text)
    port = int((found["port"] if found else "") or PORTS[scheme])
    if found is None or not is_plain or not 0 < port < 65536:
        raise SourceNotSupported(
            f"{redact(text)}: cannot be read as an address; write it as {scheme}://HOST[:PORT]/PATH"
            " (in a login, %40 stands for @ and %2F for /)"
        )
    path = found["path"] or "/"
    path = path if path.startswith("/") else f"/{path}"
    host = plain_host(found["host"])
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise SourceNotSupported(f"{redact(text)}: its host is no name") from None
    return Place(text, scheme, found["login"] or "", host, port, path)


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Dialer:
    """Connects; shared by threads.

    Args:
        rules: what may be connected to.
        resolve: a host's addresses; asked before every connection.
    """

    def __init__(self, rules: Rules, resolve: Resolve = look_up) -> None:
        self.rules = rules
        self._resolve = resolve

    def addresses(self, place: Place) -> list[str]:
        """Those that may be connected to, at least one.

        Raises:
            SourceForbidden: if none may be.
            OSError: if the host cannot be found.
        """
        try:
            found = self._resolve(place.host, place.port)
        except (OSError, UnicodeError):
            found = []
        if not found:  # FFmpeg's number for an unknown name
            raise OSError(errno.EIO, "its host cannot be found")
        permitted = self.rules.permitted(place.host, found)
        if not permitted:
            raise SourceForbidden(way_out(place.host))
        return permitted

    def connect(self, place: Place, until_s: float) -> socket.socket:
        """A connection to the place, encrypted where its scheme says so.

        As with FFmpeg, a certificate is not verified: cameras have none that could be.

        Args:
            until_s: when to give up, on the monotonic clock.

        Raises:
            SourceForbidden: if its host leads to no address that is permitted.
            OSError: if nothing answers there.
        """
        failure: OSError = ConnectionRefusedError(errno.ECONNREFUSED, "connection refused")
        for address in self.addresses(place):
            try:
                line = socket.create_connection((address, place.port), _left_s(until_s))
            except OSError as error:
                failure = error
                continue
            try:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._encrypted(line, place, until_s) if place.is_encrypted else line
            except OSError as error:
                line.close()
                failure = error
        raise failure

    def _encrypted(self, line: socket.socket, place: Place, until_s: float) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line.settimeout(_left_s(until_s))
        try:
            return context.wrap_socket(line, server_hostname=place.host)
        except (ssl.SSLError, ValueError):  # their words help nobody
            what = "it speaks no TLS that is known here; is it encrypted at all?"
        raise OSError(errno.ECONNABORTED, what)


def _left_s(until_s: float) -> float:
    return max(LEAST_S, until_s - time.monotonic())
