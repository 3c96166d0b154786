"""Who has logged in: random ids, kept as hashes, forgotten when unused, at logout and at restart.

How an id travels is known to `guard`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

IDLE_S = 12 * 3600.0
MOST = 1_000
_ID_BYTES = 32


@dataclass(slots=True)
class Login:
    """Of one browser."""

    name: str  # of the user; empty: by a token
    used_s: float
    is_over: bool = False


class Logins:
    """A table of bounded size, of which those used longest ago go."""

    def __init__(self, clock: Callable[[], float], most: int = MOST) -> None:
        self._clock, self._most = clock, most
        self._logins: OrderedDict[bytes, Login] = OrderedDict()  # by their last use

    def begin(self, name: str) -> str:
        """A new login; returns its id, which is kept nowhere here."""
        id = secrets.token_urlsafe(_ID_BYTES)
        self._logins[_digest(id)] = Login(name, self._clock())
        while len(self._logins) > self._most:
            _, oldest = self._logins.popitem(last=False)
            oldest.is_over = True
        return id

    def find(self, id: str) -> Login | None:
        """Whose id this is; it counts as used."""
        key = _digest(id)
        login = self._logins.get(key)
        if login is None or not self.is_on(login):
            self._logins.pop(key, None)
            return None
        login.used_s = self._clock()
        self._logins.move_to_end(key)
        return login

    def is_on(self, login: Login) -> bool:
        """Whether it still counts."""
        if self._clock() - login.used_s > IDLE_S:
            login.is_over = True
        return not login.is_over

    def touch(self, login: Login) -> None:
        """A connection of it, which is open for long, is in use."""
        login.used_s = self._clock()

    def end(self, id: str) -> None:
        """Log out; an id that is not known changes nothing."""
        login = self._logins.pop(_digest(id), None)
        if login is not None:
            login.is_over = True


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest()
