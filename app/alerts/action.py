"""What actions of alerts share: what they take, and how one says that it failed.

Any callable that takes an event may be an action; see `webhook` and `command` for ours.
"""

from __future__ import annotations

import math
from typing import Any, Protocol


class ActionFailed(RuntimeError):
    """An alert could not be passed on.  The message holds no credentials."""


class HasJson(Protocol):
    """An event, as far as an action needs to know it."""

    def as_json(self) -> dict[str, Any]:
        """What is passed on; with `name` and `number`."""
        ...


def check_seconds(**seconds: float) -> None:
    """Raises ValueError naming the first that is not finite and above 0."""
    for name, value in seconds.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value:g}: needs seconds above 0")
