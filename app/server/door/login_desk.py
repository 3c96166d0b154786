"""Logging in and out over HTTP: a form becomes a cookie.

Tokens and passwords are checked by `access`; who needs a cookie is known to `guard`.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request, cookie_parser
from starlette.responses import RedirectResponse, Response

from longtake.server.door.access import Access, TooManyLogins
from longtake.server.door.login_page import login_page
from longtake.server.door.logins import Login, Logins
from longtake.server.door.throttle import Throttle

LOGIN, LOGOUT = "/login", "/logout"
_COOKIE = "longtake"
_MOST_FORM_BYTES = 16 << 10
_PORT = re.compile(r":([0-9]{1,5})\Z")
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")

_log = logging.getLogger(__name__)


class LoginDesk:
    """What `/login` and `/logout` do."""

    def __init__(self, access: Access, logins: Logins, throttle: Throttle) -> None:
        self._access, self._logins, self._throttle = access, logins, throttle

    def login_of(self, headers: Headers) -> Login | None:
        """Whose cookie this is."""
        id = _id(headers)
        return None if id is None else self._logins.find(id)

    async def serve(self, request: Request) -> Response:
        """A request for one of the two paths."""
        if request.scope["path"] == LOGOUT:
            return self._log_out(request)
        next = local(request.query_params.get("next", "/"))
        if self._access.is_open:
            return _see(next)
        if request.method == "POST":
            return await self._log_in(request)
        if request.method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD, POST")
        return _see(next) if self.login_of(request.headers) is not None else self._page(next)

    async def _log_in(self, request: Request) -> Response:
        form = await _form(request)
        if form is None:
            return self._page("/", "This form could not be read.", 400)
        next, address = local(form.get("next", "/")), request.client.host if request.client else ""
        wait_s = self._throttle.wait_s(address)
        if wait_s:
            return self._page(next, _often(wait_s), 429, wait_s)
        self._throttle.begin(address)
        try:
            name = await self._who(form)
        except TooManyLogins:
            self._throttle.succeeded(address)  # was not looked at
            return self._page(next, "Many people log in just now. Try again.", 503, 2)
        if name is None:
            _log.warning("a login from %s failed", address)
            return self._page(next, "That was not right. Try again.", 401)
        self._throttle.succeeded(address)
        self._forget(request)
        response = _see(next)
        # Where a proxy before us speaks TLS, the page's origin tells.
        origin = request.headers.get("origin", "")
        is_tls = request.scope["scheme"] == "https" or origin.startswith("https:")
        response.set_cookie(
            cookie_name(request.headers),
            self._logins.begin(name),
            path="/",
            secure=is_tls,
            httponly=True,
            samesite="strict",
        )
        return response

    async def _who(self, form: dict[str, str]) -> str | None:
        """The user's name, empty for a token; None: not right."""
        if "token" in form:
            return "" if self._access.knows_token(form["token"].strip()) else None
        name, password = form.get("name", ""), form.get("password", "")
        if self._access.has_users and await self._access.knows_password(name, password):
            return name.strip()
        return None

    def _log_out(self, request: Request) -> Response:
        if request.method != "POST":
            return _not_allowed("POST")
        self._forget(request)
        response = _see("/" if self._access.is_open else LOGIN)
        name = cookie_name(request.headers)
        response.delete_cookie(name, path="/", httponly=True, samesite="strict")
        return response

    def _forget(self, request: Request) -> None:
        id = _id(request.headers)
        if id is not None:
            self._logins.end(id)

    def _page(self, next: str, error: str = "", status: int = 200, wait_s: int = 0) -> Response:
        access = self._access
        page = login_page(
            next, by_name=access.has_users, by_token=access.has_tokens, error=error, status=status
        )
        if wait_s:
            page.headers["Retry-After"] = str(wait_s)
        return page


def local(next: str) -> str:
    """A path of this site, whatever was asked for."""
    try:
        parts = urlsplit(next)
    except ValueError:
        return "/"
    is_ours = _LOCAL.fullmatch(next) and not parts.scheme and not parts.netloc
    return next if is_ours and parts.path not in (LOGIN, LOGOUT) and next.isascii() else "/"


def cookie_name(headers: Headers) -> str:
    """With the port at which the browser finds us: all servers of a host get one another's cookies,
    and one login would end the other."""
    port = _PORT.search(headers.get("host", ""))
    return _COOKIE if port is None else f"{_COOKIE}-{port[1]}"


def _id(headers: Headers) -> str | None:
    return cookie_parser(headers.get("cookie", "")).get(cookie_name(headers))


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a small form; None: it is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return None
    data = b""
    try:
        async for part in request.stream():
            data += part
            if len(data) > _MOST_FORM_BYTES:
                return None
        fields = parse_qs(data.decode(), keep_blank_values=True, max_num_fields=8)
    except (ClientDisconnect, ValueError):
        return None
    return {name: values[-1] for name, values in fields.items()}


def _often(wait_s: int) -> str:
    wait = f"{wait_s} seconds" if wait_s < 120 else f"{wait_s // 60 + 1} minutes"
    return f"Too many failed logins from your address. Try again in {wait}."


def _see(path: str) -> Response:
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _not_allowed(methods: str) -> Response:
    return Response("", 405, {"Allow": methods})
