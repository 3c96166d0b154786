"""Connections to one server: requests, streams of events, WebSockets; its token, and its trust.

Threads share it.  It goes to the server itself, through no proxy, and follows no redirect, so the
token goes nowhere else.  What goes wrong on the way is told here; what a server refuses, by
`remote_errors`.  No message holds the token.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from longtake.client.event_stream import EventStream
from longtake.client.remote_errors import RemoteError, error_of
from longtake.streaming.errors import redact

KEPT_S = 2.0  # that an idle connection is kept; servers close theirs after about 5
PING_S = 5.0  # a WebSocket whose other side is gone is noticed after twice this
SLOW_S = 600.0  # for what loads a model, writes a memory, or reads all of one
QUIET_S = 40.0  # of a stream, which says something every 15 s
MOST_MESSAGE_BYTES = 1 << 20  # of what a socket tells us

_silent = logging.getLogger(f"{__name__}.silent")  # the library's own lines hold headers
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.setLevel(logging.CRITICAL + 1)


class Wire:
    """A context manager is not needed: `close` ends it.

    Args:
        url: ``http://host:port`` or ``https://...``, a path in front of the server's included.
        token: one of the server's; None: it lets everybody in.
        timeout_s: in which a connection is made, and each answer begins.
        verify: True: as this machine trusts; else a file with the server's certificate, or that
            of who signed it.

    Raises:
        ValueError: if one of these makes no sense.
        OSError: if there is no such certificate.
    """

    def __init__(
        self, url: str, token: str | None, timeout_s: float, verify: bool | str | Path
    ) -> None:
        self.address = _checked_address(url)
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s={timeout_s}: must be finite seconds, more than 0")
        self.timeout_s = timeout_s
        self._headers = _headers(token)
        self._trust = _trust(verify) if self.address.startswith("https:") else None
        self.slow = httpx.Timeout(timeout_s, read=max(timeout_s, SLOW_S))  # of a request
        self._http = httpx.Client(
            base_url=self.address,
            headers=self._headers,
            timeout=timeout_s,
            verify=self._trust or False,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEPT_S),
        )

    def __repr__(self) -> str:
        return f"Wire({self.address!r})"

    def close(self) -> None:
        self._http.close()

    # ---------------------------------------------------------------- requests

    def json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What a request is answered with; None for an answer without a body.

        Args:
            more: as httpx has it: ``params``, ``files``, ``data``, ``timeout``.

        Raises:
            ConnectionError: if the server cannot be reached, or the connection broke.
            TimeoutError: if it did not answer in time.
            Exception: what it refused (`remote_errors`).
        """
        answer = self.send(method, path, body, **more)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise error_of(answer.status_code, answer.content) from None

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A whole answer.  Raises as `json` does."""
        with self._told():
            answer = self._http.request(method, path, json=body, **more)
        self._check(answer)
        return answer

    @contextmanager
    def download(self, path: str, **more: Any) -> Iterator[Iterator[bytes]]:
        """An answer in pieces, as they come.  Raises as `json` does."""
        with self._told(), self._http.stream("GET", path, **more) as answer:
            if not answer.is_success:
                answer.read()
            self._check(answer)
            yield answer.iter_bytes()

    def events(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> EventStream:
        """A stream of events that has begun; whoever has it closes it.  Raises as `json` does."""
        patience = httpx.Timeout(self.timeout_s, read=max(self.timeout_s, QUIET_S))
        request = self._http.build_request(
            method, path, json=body, headers=dict(headers or {}), timeout=patience
        )
        with self._told():
            answer = self._http.send(request, stream=True)
            try:
                if not answer.is_success:
                    answer.read()
                self._check(answer)
            except BaseException:
                answer.close()
                raise
        return EventStream(answer, self._told)

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_redirect:
            said = f"{self.address}: answers from another place; name that one to Client"
            raise RemoteError(answer.status_code, said)
        if not answer.is_success:
            raise error_of(answer.status_code, answer.content, answer.headers)

    # ---------------------------------------------------------------- sockets

    @contextmanager
    def socket(self, path: str, query: Mapping[str, str]) -> Iterator[ClientConnection]:
        """A WebSocket.  What is raised inside is not changed.

        Raises:
            ConnectionError: if it cannot be made.
            Exception: what the server refused.
        """
        url = f"ws{self.address.removeprefix('http')}{path}?{urlencode(query)}"
        try:
            made = connect(
                url,
                ssl=self._trust,
                additional_headers=self._headers,
                compression=None,
                proxy=None,
                open_timeout=self.timeout_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=1.0,
                max_size=MOST_MESSAGE_BYTES,
                logger=_silent,
            )
            opened = made.__enter__()
        except InvalidStatus as error:
            answer = error.response
            headers = {name.lower(): value for name, value in answer.headers.raw_items()}
            raise error_of(answer.status_code, bytes(answer.body or b""), headers) from None
        except (OSError, InvalidHandshake, EOFError) as error:  # timeouts are OSErrors
            raise self._unreachable(error) from error
        try:
            yield opened
        finally:
            made.__exit__(None, None, None)

    # ---------------------------------------------------------------- what goes wrong

    @contextmanager
    def _told(self) -> Iterator[None]:
        """In our words."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TimeoutException as error:
            raise TimeoutError(
                f"{self.address}: no answer in time; it may be very busy, or gone: raise "
                "timeout_s to wait longer"
            ) from error
        except httpx.TransportError as error:
            raise ConnectionError(f"{self.address}: the connection broke ({_words(error)})") from (
                error
            )
        except RuntimeError as error:
            if self._http.is_closed and type(error) is RuntimeError:
                raise RuntimeError("this client is closed") from error
            raise

    def _unreachable(self, error: BaseException) -> ConnectionError:
        said = _words(error)
        way_out = "is the server running, and is this its address?"
        if "CERTIFICATE_VERIFY_FAILED" in said:
            way_out = "name its certificate: Client(url, verify='certificate.pem')"
        return ConnectionError(f"{self.address}: cannot be reached ({said}); {way_out}")


def _words(error: BaseException) -> str:
    return redact(" ".join(str(error).split()) or type(error).__name__)


def _checked_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError(f"url={redact(url)!r}: must be such as 'http://host:7860'")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"url={redact(url)!r}: must be an address without login and query; give the token "
            "apart: Client(url, token=...)"
        )
    return url.rstrip("/")


def _headers(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("token=...: must be letters, digits and marks, without blanks or breaks")
    return {"Authorization": f"Bearer {token}"}


def _trust(verify: bool | str | Path) -> ssl.SSLContext:
    if verify is False:
        raise ValueError(
            "verify=False: whoever answers would get the token; give the path of the server's "
            "certificate, verify='certificate.pem'"
        )
    return ssl.create_default_context(cafile=None if verify is True else str(verify))
