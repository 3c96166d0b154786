"""Log in to an HTTP server: what it asks for, and the header that answers it.

Basic and Digest (RFC 7616: MD5 and SHA-256, with ``auth`` or without).  Which of them a server
wants, and that it wants one at all, is told by its answer 401.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence

_PAIR = re.compile(r"""([a-z0-9-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""", re.IGNORECASE)
_HASHES = {"MD5": "md5", "SHA-256": "sha256"}


class Login:
    """One user and password, for one server.

    Args:
        new_nonce: makes what must differ from one request to the next.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._challenge: dict[str, str] | None = None  # of Digest; empty: Basic is wanted
        self._uses = 0

    def take(self, challenges: Sequence[str]) -> bool:
        """Learn what the server wants; whether it is anything that is known here."""
        self._uses = 0
        for text in challenges:
            kind, _, rest = text.strip().partition(" ")
            if kind.lower() != "digest":
                continue
            said = {name.lower(): a or b for name, a, b in _PAIR.findall(rest)}
            qop = said.get("qop", "")
            is_known = said.get("algorithm", "MD5").upper() in _HASHES and "nonce" in said
            if is_known and (not qop or "auth" in re.split(r"[\s,]+", qop)):
                self._challenge = said
                return True
        if any(text.strip().lower().startswith("basic") for text in challenges):
            self._challenge = {}
            return True
        return False

    def header(self, method: str, uri: str, cnonce: str | None = None) -> str | None:
        """What to send as Authorization; None as long as nothing was asked for."""
        if self._challenge is None:
            return None
        if not self._challenge:
            pair = f"{self._user}:{self._password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return self._digest(method, uri, cnonce or secrets.token_hex(8), self._challenge)

    def _digest(self, method: str, uri: str, cnonce: str, said: dict[str, str]) -> str:
        algorithm = said.get("algorithm", "MD5")
        name = _HASHES[algorithm.upper()]

        def hashed(*parts: str) -> str:
            return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

        realm, nonce = said.get("realm", ""), said["nonce"]
        who, what = hashed(self._user, realm, self._password), hashed(method, uri)
        self._uses += 1
        count = f"{self._uses:08x}"
        given = {"username": self._user, "realm": realm, "nonce": nonce, "uri": uri}
        if said.get("qop"):
            given["response"] = hashed(who, nonce, count, cnonce, "auth", what)
            bare = f", qop=auth, nc={count}"
            given["cnonce"] = cnonce
        else:
            given["response"] = hashed(who, nonce, what)
            bare = ""
        if "opaque" in said:
            given["opaque"] = said["opaque"]
        quoted = ", ".join(f'{key}="{_escaped(text)}"' for key, text in given.items())
        shown = f", algorithm={algorithm}" if "algorithm" in said else ""
        return f"Digest {quoted}{bare}{shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
