"""Tell of an alert by HTTP: one signed POST, tried again while that may help.

    X-Longtake-Event      name-number-run, percent-encoded: the same at every try and another for
                          any other event, so that who receives it twice can tell
    X-Longtake-Timestamp  seconds since 1970, of this try
    X-Longtake-Signature  sha256=HMAC-SHA256(secret, timestamp + "." + body), if there is a secret

Redirects are not followed: they would carry the event to an address nobody named.  Of the address
only scheme and host are ever shown, since paths of webhooks are often secrets too.  What an event
is, beyond its JSON, is not known here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import math
import random
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from longtake.alerts.action import ActionFailed, HasJson, check_seconds

_LONGEST_WAIT_S = 30.0  # between two tries
_LONGEST_RETRY_AFTER_S = 60.0  # that a server may ask for
_LEAST_S = 0.001  # of a wait for a connection; 0 would be none at all
_HOST_RULE = "between its dots there must be 1 to 63 letters"


@dataclass(frozen=True, slots=True)
class _Reply:
    """How a try went."""

    reason: str  # '' if it was delivered
    may_try_again: bool = False
    wait_s: float = 0.0  # that the server asked for


class Webhook:
    """Posts events to one address.  Any thread may call, several at once.

    Args:
        url: http or https; a login in it goes into the Authorization header.
        secret: signs what is sent; None: nothing is signed.
        timeout_s: a try takes at most so long, whatever number of addresses its name has; the
            name's look-up is not counted.
        tries: in all.
        stop: set by whoever wants it to give up; waits end at once, a try within `timeout_s`.
        first_wait_s: before the second try, about; twice as long before each one after.

    Raises:
        ValueError: if the address is none that can be posted to, or a number makes no sense.
    """

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        timeout_s: float = 5.0,
        tries: int = 4,
        *,
        stop: threading.Event | None = None,
        first_wait_s: float = 0.5,
    ) -> None:
        self._url, self._secret = _checked(url), secret
        self._path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        self.shown = _shown(self._url)
        check_seconds(timeout_s=timeout_s, first_wait_s=first_wait_s)
        if tries < 1:
            raise ValueError(f"tries={tries}: needs at least one")
        if secret is not None and not secret:
            raise ValueError("secret='': an empty one proves nothing; leave it out, or set one")
        self._run = secrets.token_hex(4)  # numbers begin anew with every memory
        self._timeout_s, self._tries, self._first_wait_s = timeout_s, tries, first_wait_s
        self._stop = stop or threading.Event()
        self._safe = ssl.create_default_context() if self._url.scheme == "https" else None

    def __repr__(self) -> str:
        return f"Webhook({self.shown}, {'signed' if self._secret else 'not signed'})"

    def stop(self) -> None:
        """Give up what is under way, and all that comes."""
        self._stop.set()

    def __call__(self, event: HasJson) -> None:
        """Deliver an event; returns when the address has taken it.

        Raises:
            ActionFailed: if it did not, or `stop` came first.
        """
        said = event.as_json()
        body = json.dumps(said).encode()
        key = quote(f"{said['name']}-{said['number']}", safe="")
        for tried in range(1, self._tries + 1):
            if self._stop.is_set():
                raise ActionFailed(f"{self.shown}: stopped before event {key} was delivered")
            reply = self._post(body, f"{key}-{self._run}")
            if not reply.reason:
                return
            if not reply.may_try_again or tried == self._tries:
                break
            self._stop.wait(max(reply.wait_s, self._wait_s(tried)))
        raise ActionFailed(
            f"{self.shown}: event {key} is not delivered after {tried} "
            f"{'try' if tried == 1 else 'tries'}: {reply.reason}"
        )

    def _wait_s(self, tried: int) -> float:
        """Jittered, so that many who fail together do not come back together."""
        longest_s = min(_LONGEST_WAIT_S, self._first_wait_s * 2.0 ** (tried - 1))
        return longest_s * random.uniform(0.5, 1.0)

    def _post(self, body: bytes, key: str) -> _Reply:
        is_late = threading.Event()
        try:
            with closing(self._connection()) as connection:
                return self._ask(connection, is_late, body, key)
        except ssl.SSLCertVerificationError as error:
            return _Reply(f"its certificate is refused ({error.verify_message})")
        except (OSError, http.client.HTTPException) as error:
            return _Reply(self._why(error, is_late.is_set()), may_try_again=True)
        except UnicodeError:
            return _Reply(f"its host's name cannot be looked up; {_HOST_RULE}")

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        is_late: threading.Event,
        body: bytes,
        key: str,
    ) -> _Reply:
        """One try, from its name's addresses to the first line of the answer."""
        found = socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)
        until_s = time.monotonic() + self._timeout_s
        watch = threading.Timer(self._timeout_s, _cut, (connection, is_late))
        watch.name, watch.daemon = "longtake-webhook", True
        watch.start()
        try:
            connection.sock = _reach([(family, place) for family, *_, place in found], until_s)
            if self._safe is not None:
                _encrypt(connection, self._safe)
            if is_late.is_set():
                raise TimeoutError
            connection.request("POST", self._path, body, self._headers(body, key))
            with connection.getresponse() as answer:
                if is_late.is_set():  # cut headers look like whole ones
                    raise TimeoutError
                return _judged(answer.status, answer.headers.get("Retry-After"))
        finally:
            watch.cancel()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._safe is None:
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=self._safe)

    def _why(self, error: Exception, is_late: bool) -> str:
        """In words of our own: what a library says may hold the address."""
        if is_late or isinstance(error, TimeoutError):
            return f"no answer within {self._timeout_s:g} s; raise timeout_s to wait longer"
        if isinstance(error, OSError) and error.strerror:
            return f"cannot be reached ({error.strerror})"
        return f"cannot be reached ({type(error).__name__})"

    def _headers(self, body: bytes, key: str) -> dict[str, str]:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "longtake",
            "X-Longtake-Event": key,
            "X-Longtake-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-Longtake-Signature"] = signature(self._secret, timestamp, body)
        if self._url.username is not None:
            login = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        return headers


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `X-Longtake-Signature` says of a body."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def parse_notify(text: str, secret: str | None = None) -> Webhook:
    """What `--notify` names: an address, http or https.  Raises ValueError as `Webhook`."""
    return Webhook(text.strip(), secret)


def _checked(url: str) -> SplitResult:
    """The address in its parts.  What is wrong is told without it."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # is looked at when it is asked for
    except ValueError:
        raise ValueError(
            "webhook: its host or port cannot be read; expected http(s)://HOST[:PORT]/PATH"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            "webhook: events are posted to http and https alone; expected https://HOST[:PORT]/PATH"
        )
    if not url.isascii() or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise ValueError(
            f"webhook {_shown(parts)}: letters beyond ASCII and blanks are to be percent-encoded, "
            "as in %20"
        )
    try:
        parts.hostname.encode("idna")  # as a look-up of it will
    except UnicodeError:
        raise ValueError(f"webhook {_shown(parts)}: no name of a host; {_HOST_RULE}") from None
    return parts


def _shown(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{host}{port}{'/***' if url.path.strip('/') or url.query else ''}"


def _reach(places: Sequence[tuple[int, Any]], until_s: float) -> socket.socket:
    """Connect to the first address that answers; each has an even share of what time is left.

    Args:
        places: family and address, at least one.
        until_s: on the monotonic clock.

    Raises:
        OSError: of the last one.
    """
    for left, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(_LEAST_S, (until_s - time.monotonic()) / left))
            sock.connect(place)
            sock.settimeout(max(_LEAST_S, until_s - time.monotonic()))
            return sock
        except OSError:
            sock.close()
            if left == 1:
                raise
    raise OSError("no address")


def _encrypt(connection: http.client.HTTPConnection, context: ssl.SSLContext) -> None:
    """Shake hands over what is connected; in the connection already, so that it can be cut."""
    raw: socket.socket = connection.sock
    wrapped = context.wrap_socket(
        raw, server_hostname=connection.host, do_handshake_on_connect=False
    )
    connection.sock = wrapped
    wrapped.do_handshake()


def _cut(connection: http.client.HTTPConnection, is_late: threading.Event) -> None:
    """End a try whose server sends a byte now and then."""
    is_late.set()
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _judged(status: int, retry_after: str | None) -> _Reply:
    if 200 <= status < 300:
        return _Reply("")
    if 300 <= status < 400:
        return _Reply(f"it answers {status}: redirects are not followed, name where it leads to")
    if status == 429 or status >= 500:
        return _Reply(f"it answers {status}", True, _asked_s(retry_after))
    return _Reply(f"it answers {status}")


def _asked_s(retry_after: str | None) -> float:
    """Seconds that a Retry-After header asks for, as far as we honour it."""
    if retry_after is None:
        return 0.0
    try:
        asked_s = float(retry_after)
    except ValueError:
        try:
            asked_s = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(asked_s, 0.0), _LONGEST_RETRY_AFTER_S) if math.isfinite(asked_s) else 0.0
