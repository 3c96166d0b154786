"""The one door: every request and every WebSocket passes here before anything else sees it.

In this order: is it meant for us (Host), does another site's page send it (Origin), is it small
enough, may it come in (a Bearer token, or the cookie of `/login`).  What lies behind, Gradio's
page, the API or metrics, is not known here, and need not know about any of this.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.server.config import ServeConfig
from longtake.server.door import denial
from longtake.server.door.access import Access, is_loopback_address
from longtake.server.door.body import BoundedBody
from longtake.server.door.denial import Denial
from longtake.server.door.headers import is_preflight, protect, share
from longtake.server.door.login_desk import LOGIN, LOGOUT, LoginDesk
from longtake.server.door.login_page import onward_page
from longtake.server.door.logins import Login, Logins
from longtake.server.door.origin import is_foreign, is_own_name
from longtake.server.door.throttle import Throttle
from longtake.server.door.until_logout import UntilLogout

VISITOR = "longtake.visitor"  # the key of the `Visitor` in a scope
_OPEN = ("/healthz", "/readyz")
_UPLOAD = re.compile(r"/v1/takes/[^/]+/sources/file")
_PICTURE = re.compile(r"/v1/takes/[^/]+/frames")
_DOOR = (LOGIN, LOGOUT)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a request is from, for those behind."""

    name: str = ""  # of a user who logged in
    can_log_out: bool = False  # came with a cookie


class Guard:
    """Around an ASGI application.

    Args:
        app: what is guarded, whole.
        access: who may come in.
        config: names and origins that are fine, and how large a request may be.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        config: ServeConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._access, self._config = app, access, config
        self._logins = Logins(clock)
        # Two: a program with an old token must not keep people out who log in from where it runs.
        self._tokens, logging_in = Throttle(clock), Throttle(clock)
        self._desk = LoginDesk(access, self._logins, logging_in)
        self._names = (config.host, *config.allow_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sending = self._protected(headers, send)
        refused = self._stranger(scope, headers)
        if refused is not None:
            await refused.say(scope, receive, sending)
        elif scope["type"] == "websocket":
            await self._enter(scope, headers, receive, sending)
        elif is_preflight(scope["method"], headers, self._config.allow_origins):
            await Response(status_code=204)(scope, receive, sending)
        else:
            await self._bounded(scope, headers, receive, sending)

    def _protected(self, headers: Headers, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                protect(message)
                share(message, headers, self._config.allow_origins)
            await send(message)

        return sending

    # ------------------------------------------------------------------ who sends it, and where to

    def _stranger(self, scope: Scope, headers: Headers) -> Denial | None:
        """Why this is not looked at further, whoever it may be."""
        is_socket = scope["type"] == "websocket"
        host = headers.get("host", "")
        if self._access.is_open and not is_own_name(host, self._names):
            return denial.wrong_host(host)
        if is_foreign(
            headers,
            scope.get("method", "GET"),
            scope["scheme"],
            allowed=self._config.allow_origins,
            is_socket=is_socket,
        ):
            return denial.foreign_page()
        return None

    # ------------------------------------------------------------------ how much it sends

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        most_bytes = _most_bytes(scope["path"], self._config)
        told = headers.get("content-length", "0")
        if told.isdecimal() and int(told) > most_bytes:
            await denial.too_large(most_bytes).say(scope, receive, send)
            return
        body = BoundedBody(receive, send, most_bytes)
        try:
            await self._enter(scope, headers, body.receive, body.send)
        except Exception:
            if not body.is_cut_off:
                raise
            _log.debug("the application met the end of a body that was cut off", exc_info=True)
        if body.is_cut_off:
            await denial.too_large(most_bytes).say(scope, receive, send)

    # ------------------------------------------------------------------ who it is

    async def _enter(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        path, is_socket = scope["path"], scope["type"] == "websocket"
        method = scope.get("method", "")
        if not is_socket and path in _DOOR:
            response = await self._desk.serve(Request(scope, receive))
            await response(scope, receive, send)
            return
        if not is_socket and path in _OPEN and method in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        found = self._visitor(scope, headers)
        if isinstance(found, Denial):
            wants_page = method in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
            if wants_page and found.status == 401:
                await _to_login(scope, headers)(scope, receive, send)
            else:
                await found.say(scope, receive, send)
            return
        scope = {**scope, VISITOR: _shown(found)}
        if found is not None:
            until = UntilLogout(receive, send, self._logins, found)
            receive, send = until.receive, until.send
        await self._app(scope, receive, send)

    def _visitor(self, scope: Scope, headers: Headers) -> Login | Denial | None:
        """The login of a visitor, None for one that needs none, or why he stays outside."""
        address = scope["client"][0] if scope.get("client") else ""
        is_socket = scope["type"] == "websocket"
        if self._access.is_open:
            # A browser always says which page opens a WebSocket; a program of this machine may not.
            if is_socket and "origin" not in headers and not is_loopback_address(address):
                return denial.foreign_page()
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if self._access.knows_token(token.strip()):
                return None
            return self._failed(address)
        login = self._desk.login_of(headers)
        if login is None:
            return denial.not_let_in(is_wrong=False)
        return denial.foreign_page() if is_socket and "origin" not in headers else login

    def _failed(self, address: str) -> Denial:
        wait_s = self._tokens.wait_s(address)
        if wait_s:
            return denial.too_often(wait_s)
        self._tokens.begin(address)
        _log.warning("a wrong token from %s", address)
        return denial.not_let_in(is_wrong=True)


def _most_bytes(path: str, config: ServeConfig) -> int:
    """Of the body of a request.  JSON is read whole, and in the event loop."""
    if _UPLOAD.fullmatch(path):
        return config.max_upload_bytes
    return config.max_body_bytes if _PICTURE.fullmatch(path) else config.max_json_bytes


def _shown(login: Login | None) -> Visitor:
    return Visitor() if login is None else Visitor(login.name, can_log_out=True)


def _to_login(scope: Scope, headers: Headers) -> Response:
    query = scope.get("query_string", b"").decode("latin-1")
    asked = quote(scope["path"]) + (f"?{query}" if query else "")
    location = LOGIN if asked == "/" else f"{LOGIN}?next={quote(asked, safe='')}"
    if headers.get("sec-fetch-site") == "cross-site":
        return onward_page(location)
    return RedirectResponse(location, 303, {"Cache-Control": "no-store"})
