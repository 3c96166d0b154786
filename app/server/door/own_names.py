"""What other machines on the network may call this one.

Which of the names reaches it from where is not known here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

_LOCAL = ("localhost", "127.0.0.1", "::1")
# Addresses of documentation: nothing is sent, the system only says where it would send from.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def own_names(more: Iterable[str] = ()) -> list[str]:
    """Names and addresses of this machine, each once; `more` are the operator's own.

    Those that cannot stand in a certificate, such as 0.0.0.0, are left out.
    """
    host = socket.gethostname()
    found = [*_LOCAL, host, f"{host}.local", *_outward(), *_looked_up(host), *more]
    return list(dict.fromkeys(name for each in found if (name := _usable(each))))


def _outward() -> list[str]:
    """The addresses that packets to other networks come from."""
    found = []
    for family, elsewhere in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                found.append(probe.getsockname()[0])
        except OSError:  # no way there
            continue
    return found


def _looked_up(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(each[4][0]) for each in found]


def _usable(name: str) -> str | None:
    name = name.strip().strip("[]").lower()
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        parts = name.split(".")
        is_name = name.isascii() and len(name) <= 253
        fits = all(0 < len(p) <= 63 and p.replace("-", "").isalnum() for p in parts)
        return name if is_name and fits else None
    return None if address.is_unspecified or address.is_link_local else str(address)
