"""Passwords as lines that tell nothing of them: scrypt, each with its own salt.

    name:scrypt$N$r$p$salt$hash        salt and hash in base64

Who may use them is not known here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

MOST_NAME, LEAST_PASSWORD, MOST_PASSWORD = 64, 8, 1024  # letters
_SALT_BYTES, _HASH_BYTES = 16, 32
_MOST_MEMORY_BYTES = 256 << 20  # of one hash: a line with more would be a way to stop the server
_MOST_LANES = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hash costs: memory is 128 * n * r bytes, time grows with n * r * p."""

    n: int = 1 << 15
    r: int = 8
    p: int = 3  # with 32 MiB a hash: what OWASP names beside 128 MiB and p=1

    def __post_init__(self) -> None:
        if self.n < 2 or self.n & (self.n - 1):
            raise ValueError(f"N={self.n}: must be a power of two, from 2 on")
        if not (0 < self.r and 0 < self.p <= _MOST_LANES):
            raise ValueError(
                f"r={self.r}, p={self.p}: must be more than 0, p {_MOST_LANES} at most"
            )
        if self.memory_bytes > _MOST_MEMORY_BYTES:
            raise ValueError(
                f"N={self.n}, r={self.r}: needs {self.memory_bytes >> 20} MiB a login, "
                f"{_MOST_MEMORY_BYTES >> 20} at most"
            )

    @property
    def memory_bytes(self) -> int:
        return 128 * self.n * self.r


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password that can be checked, and not read; its repr shows what it costs."""

    cost: Cost
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)

    def fits(self, password: str) -> bool:
        """Whether it is this password; takes as long for a wrong one.  Blocks for the hash."""
        return hmac.compare_digest(self.hash, _hash(password, self.cost, self.salt))

    def line(self, name: str) -> str:
        """As it stands in a file, without the line's end."""
        cost, salt, hashed = self.cost, b64encode(self.salt), b64encode(self.hash)
        return f"{name}:scrypt${cost.n}${cost.r}${cost.p}${salt.decode()}${hashed.decode()}"


def hashed(password: str, cost: Cost | None = None) -> Hashed:
    """A password with a new salt.

    Raises:
        ValueError: if it is too short or too long.
    """
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise ValueError(
            f"the password has {len(password)} letters: must be {LEAST_PASSWORD} to "
            f"{MOST_PASSWORD}; a few words in a row are easy to keep in mind"
        )
    cost, salt = cost or Cost(), os.urandom(_SALT_BYTES)
    return Hashed(cost, salt, _hash(password, cost, salt))


def nobody(cost: Cost) -> Hashed:
    """What a name that nobody has is checked against: fits nothing, and costs as much."""
    return Hashed(cost, os.urandom(_SALT_BYTES), os.urandom(_HASH_BYTES))


def read_line(line: str) -> tuple[str, Hashed]:
    """Name and password of a line.

    Raises:
        ValueError: says what is wrong with it, and shows nothing of the hash.
    """
    name, colon, rest = line.partition(":")
    if not colon:
        raise ValueError("has no colon; a line is name:scrypt$N$r$p$salt$hash")
    name = user_name(name)
    parts = rest.strip().split("$")
    if len(parts) != 6 or parts[0] != "scrypt":
        raise ValueError(
            f"user {name}: what follows the colon is no scrypt$N$r$p$salt$hash; "
            "`longtake user` makes such a line"
        )
    try:
        n, r, p = (int(part) for part in parts[1:4])
        salt, digest = (b64decode(part, validate=True) for part in parts[4:])
    except ValueError:
        raise ValueError(f"user {name}: numbers or base64 in its hash cannot be read") from None
    if len(salt) < 8 or len(digest) != _HASH_BYTES:
        raise ValueError(f"user {name}: its salt or hash was cut off")
    try:
        return name, Hashed(Cost(n, r, p), salt, digest)
    except ValueError as error:
        raise ValueError(f"user {name}: {error}") from None


def user_name(name: str) -> str:
    """A name as it is kept.

    Raises:
        ValueError: if it cannot stand in a line.
    """
    kept = unicodedata.normalize("NFC", name.strip())
    fits = 0 < len(kept) <= MOST_NAME and kept.isprintable() and ":" not in kept
    if not fits or kept.startswith("#") or any(c.isspace() for c in kept):
        raise ValueError(
            f"{name!r}: a user's name has 1 to {MOST_NAME} letters, no blank, no colon, no # first"
        )
    return kept


def _hash(password: str, cost: Cost, salt: bytes) -> bytes:
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        text,
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        dklen=_HASH_BYTES,
        maxmem=cost.memory_bytes + (1 << 20) + 128 * cost.r * cost.p,
    )
