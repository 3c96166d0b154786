"""What OpenAI calls an error, by its HTTP status: one table for the door and for the routes."""

from __future__ import annotations

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def kind_of(status: int) -> str:
    """The `type` of an error's body."""
    return "server_error" if status >= 500 else _KINDS.get(status, "invalid_request_error")
