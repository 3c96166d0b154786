"""Who may come in: tokens for programs, names with passwords for people, or, on this machine alone,
anybody.

Kept are hashes; nothing here prints a secret.  How one is sent, and what becomes of those who have
none, is known to `guard`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from longtake.config_file import ConfigError
from longtake.server.door.passwords import Cost, Hashed, nobody, user_name
from longtake.server.door.secret_files import check_token, read_tokens, read_users, token_of

TOKEN_VARIABLE = "LONGTAKE_TOKEN"
_AT_ONCE = 2  # hashes; each takes 32 MiB and a core for a moment
_MOST_WAITING = 32  # logins that wait for a hash


class TooManyLogins(RuntimeError):
    """More logins wait than will be served soon; try again in a moment."""


class Access:
    """Whose tokens and passwords are right.  Make one with `of` or `read`."""

    def __init__(self, digests: Iterable[bytes], users: Mapping[str, Hashed]) -> None:
        self._digests = tuple(digests)  # SHA-256 of each token
        self._users = dict(users)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "longtake-password")
        self._waiting = 0

    def __repr__(self) -> str:
        return f"Access(tokens={len(self._digests)}, users={len(self._users)})"

    @classmethod
    def of(cls, *, tokens: Iterable[str] = (), users: Mapping[str, Hashed] | None = None) -> Access:
        """Those that are given.

        Raises:
            ConfigError: if a token is too short to be one.
        """
        digests = [_digest(check_token(each, "a token that was given")) for each in tokens]
        return cls(digests, users or {})

    @classmethod
    def read(
        cls,
        token_file: Path | None = None,
        users_file: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Access:
        """Those of the files and of the environment.

        Raises:
            ConfigError: if one cannot be used.
        """
        tokens = [] if token_file is None else read_tokens(token_file)
        users = {} if users_file is None else read_users(users_file)
        return cls.of(tokens=[*tokens, *token_of(environ, TOKEN_VARIABLE)], users=users)

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who he is."""
        return not self._digests and not self._users

    @property
    def has_tokens(self) -> bool:
        return bool(self._digests)

    @property
    def has_users(self) -> bool:
        return bool(self._users)

    def knows_token(self, token: str) -> bool:
        """In a time that does not tell how far a wrong one is right."""
        given = _digest(token)
        return any([hmac.compare_digest(given, known) for known in self._digests])

    async def knows_password(self, name: str, password: str) -> bool:
        """Whether `name` has this password; a name that nobody has takes as long.

        The hash runs on a thread, two at once.

        Raises:
            TooManyLogins: if many wait already.
        """
        if self._waiting >= _MOST_WAITING:
            raise TooManyLogins(f"{_MOST_WAITING} logins wait already; try again in some seconds")
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._threads, self._fits, name, password)
        finally:
            self._waiting -= 1

    def _fits(self, name: str, password: str) -> bool:
        try:
            known = self._users.get(user_name(name))
        except ValueError:
            known = None
        costs = [each.cost for each in self._users.values()] or [Cost()]
        dearest = max(costs, key=lambda cost: cost.memory_bytes * cost.p)
        return (known or nobody(dearest)).fits(password)

    def check_bind(self, host: str) -> None:
        """That a server may listen there.

        Raises:
            ConfigError: if anybody could reach it and nobody would be asked who he is.
        """
        if not self.is_open or is_loopback(host):
            return
        raise ConfigError(
            f"host={host}: can be reached from other machines, and nobody would be asked who he "
            f"is. Name who may come in (--token-file, {TOKEN_VARIABLE} or --users-file), or listen "
            "on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether an address, or all addresses of a name, are this machine's own alone.

    A name is looked up, which may take a while.
    """
    if _address(host) is not None:
        return is_loopback_address(host)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback_address(str(each[4][0])) for each in found)


def is_loopback_address(text: str) -> bool:
    """Whether this is an address of this machine alone, also one of IPv4 within IPv6; a name is
    not looked up."""
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
