"""What every response tells a browser: to load nothing from elsewhere, and to show it nowhere else.

Which page is shown is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message

from longtake.server.door.origin import is_listed

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's page has both
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "object-src 'none'",
    )
)
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would have a browser send forms of our own pages with `Origin: null`.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_METHODS = "GET, HEAD, POST, PATCH, DELETE"


def protect(message: Message) -> None:
    """Add to the beginning of a response what must stand there; another policy of content that
    stands there already stays."""
    headers = MutableHeaders(raw=list(message.get("headers", [])))
    for name in [each for each in headers if each.startswith("access-control-")]:
        del headers[name]  # who may read across sites is not for single routes to say
    for name, value in _ALWAYS.items():
        headers[name] = value
    headers.setdefault("content-security-policy", CONTENT_SECURITY_POLICY)
    message["headers"] = headers.raw


def share(message: Message, asked: Headers, allowed: Iterable[str]) -> None:
    """Let pages of the sites in `allowed` read a response.  They are let in by their token alone: a
    cookie is never sent from there."""
    allowed = tuple(allowed)
    if not allowed:
        return
    origin = asked.get("origin")
    headers = MutableHeaders(raw=message["headers"])
    headers.add_vary_header("Origin")
    if origin is None or not is_listed(origin, allowed):
        return
    headers["access-control-allow-origin"] = origin
    headers["access-control-expose-headers"] = "Retry-After"
    if "access-control-request-method" in asked:
        headers["access-control-allow-methods"] = _METHODS
        headers["access-control-allow-headers"] = "Authorization, Content-Type, Last-Event-ID"
        headers["access-control-max-age"] = "600"


def is_preflight(method: str, asked: Headers, allowed: Iterable[str]) -> bool:
    """Whether a browser asks if a page of a site in `allowed` may send something."""
    origin = asked.get("origin", "")
    return (
        method == "OPTIONS"
        and "access-control-request-method" in asked
        and is_listed(origin, allowed)
    )
