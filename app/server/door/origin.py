"""Whose page a request comes from, and which name it was sent to.

A browser lets any page send requests anywhere, and says from which page.  Programs say nothing, and
are believed: they can say what they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from longtake.server.door.access import is_loopback_address

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


def is_own_name(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header names this machine: a loopback name or address, or one of `names`.

    A page of another site that had its own name point here (DNS rebinding) sends that name.
    """
    split = _split_host(host)
    if split is None:
        return False
    name = split[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return is_loopback_address(name) or name in {each.lower().strip("[]") for each in names}


def is_foreign(
    headers: Headers, method: str, scheme: str, *, allowed: Iterable[str], is_socket: bool = False
) -> bool:
    """Whether another site's page sent this, where that must not be.

    Of what is only read (GET) the browser shows the other page nothing, and links to here are
    welcome; what is loaded as a part of another page is not.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and is_listed(origin, allowed):
        return False
    if site is not None and site not in ("same-origin", "none") and not is_socket:
        is_link = headers.get("sec-fetch-mode") == "navigate" and method in SAFE_METHODS
        return not is_link
    if origin is None or (method in SAFE_METHODS and not is_socket):
        return False
    if origin == "null" and site == "same-origin":  # a form of a page that hides where it was
        return False
    return not _is_same(origin, headers.get("host", ""), scheme)


def is_listed(origin: str, allowed: Iterable[str]) -> bool:
    """Whether the operator named this site."""
    asked = _origin(origin)
    return asked is not None and any(asked == _origin(each) for each in allowed)


def _is_same(origin: str, host: str, scheme: str) -> bool:
    """A page over TLS is the same where a proxy before us speaks it; the reverse is not."""
    asked, own = _origin(origin), _split_host(host)
    if asked is None or own is None:
        return False
    kind, name, port = asked
    if kind != "https" and scheme in ("https", "wss"):
        return False
    return (name, port) == (own[0], own[1] or _PORTS[kind])


def _origin(text: str) -> tuple[str, str, int] | None:
    """Scheme, name and port; None: no page's."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme]


def _split_host(host: str) -> tuple[str, int | None] | None:
    match = _HOST.fullmatch(host.strip())
    if match is None:
        return None
    port = match["port"]
    return match["name"].lower().strip("[]").rstrip("."), None if port is None else int(port)
