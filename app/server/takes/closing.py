"""Why a socket is closed: a code that clients know, and words."""

from __future__ import annotations

from dataclasses import dataclass

MALFORMED, NOT_LET_IN, WRONG_ORIGIN, NO_TAKE = 4400, 4401, 4403, 4404
NORMAL, GOING_AWAY, TOO_LARGE, FAILED, TRY_LATER = 1000, 1001, 1009, 1011, 1013
MOST_BYTES = 120  # of the words; a close frame takes 123


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of one socket, or of all that look at a take."""

    code: int
    reason: str

    @property
    def short_reason(self) -> str:
        """As much of it as a close frame can hold."""
        return self.reason.encode()[:MOST_BYTES].decode(errors="ignore")


TAKE_CLOSED = Closing(NO_TAKE, "this take was closed")
SERVER_ENDING = Closing(GOING_AWAY, "the server is ending")
