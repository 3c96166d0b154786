"""How a request is turned away: JSON in the shape of OpenAI's errors, for sockets as well.

Why is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from longtake.server.error_kinds import kind_of

CLOSE_CODES = {401: 4401, 403: 4403, 429: 1013}  # of a WebSocket, by the HTTP status


@dataclass(frozen=True, slots=True)
class Denial:
    """What is said instead of an answer."""

    status: int
    message: str
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def say(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End a request, or a WebSocket before it was accepted."""
        if scope["type"] == "websocket":
            await receive()  # the wish to connect
            if "websocket.http.response" not in scope.get("extensions", {}):
                code = CLOSE_CODES.get(self.status, 4400)
                await send({"type": "websocket.close", "code": code, "reason": self.message[:120]})
                return
        await self.response()(scope, receive, send)

    def response(self) -> JSONResponse:
        kind = kind_of(self.status)
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        headers = {"Cache-Control": "no-store", **self.headers}
        return JSONResponse({"error": error}, self.status, headers)


def wrong_host(host: str) -> Denial:
    return Denial(
        421,
        f"Host {host[:100]!r} is none of this server's names; add it with --allow-host",
        "wrong_host",
    )


def foreign_page() -> Denial:
    return Denial(
        403,
        "this comes from a page of another site, whose pages may not call here; "
        "--allow-origin names one that may",
        "wrong_origin",
    )


def not_let_in(is_wrong: bool) -> Denial:
    how = "send the header `Authorization: Bearer TOKEN`, or log in at /login"
    what = "this token is not one of the server's" if is_wrong else "nobody comes in unasked"
    code = "invalid_api_key" if is_wrong else "not_logged_in"
    return Denial(401, f"{what}; {how}", code, {"WWW-Authenticate": "Bearer"})


def too_often(wait_s: int) -> Denial:
    return Denial(
        429,
        f"too many failed logins from this address; try again in {wait_s} s",
        "too_many_failed_logins",
        {"Retry-After": str(wait_s)},
    )


def too_large(most_bytes: int) -> Denial:
    # Without `Connection: close`: the server reads the rest and drops it, else a client that is
    # still sending would see its connection break, and not this.
    return Denial(413, f"the request is larger than {most_bytes:,} bytes", "too_large")
