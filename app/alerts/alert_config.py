"""What is wanted of an alert, checked.

A condition is a question that is answered with yes or no.  One that ends with a question mark is
asked as it stands; any other is put into `WRAPPED`.  Knows no model and no stream.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

WRAPPED = "Is this true of what is seen now: {condition}? Answer yes or no."
LEAST_EVERY_S = 0.001  # shorter than any frame is shown
MOST_NAME = 64  # letters of a name


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertConfig:
    """One alert's settings.  Seconds are of the stream."""

    condition: str
    every_s: float = 1.0  # from one judgement to the next
    cooldown_s: float = 30.0  # after an event no other one for so long
    confirm: int = 2  # judgements in a row that begin an event, and that end one
    threshold: float = 0.5  # of the probability of yes
    name: str | None = None  # None: made from the condition
    stays: bool = False  # when the take's sources have ended: others may come

    def __post_init__(self) -> None:
        if not self.condition.strip(" \t\r\n?."):
            raise ValueError("the condition is empty: say what to watch for")
        if any("\ud800" <= letter <= "\udfff" for letter in self.condition):
            raise ValueError("the condition holds bytes that are no UTF-8: type it as text")
        if not (math.isfinite(self.every_s) and self.every_s >= LEAST_EVERY_S):
            raise ValueError(
                f"every_s={self.every_s}: must be at least {LEAST_EVERY_S} seconds; for a "
                "judgement at every step of frames that is small enough"
            )
        if not (math.isfinite(self.cooldown_s) and self.cooldown_s >= 0):
            raise ValueError(f"cooldown_s={self.cooldown_s}: must be 0 s or more")
        if self.confirm < 1:
            raise ValueError(f"confirm={self.confirm}: needs at least one judgement")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold={self.threshold}: must be between 0 and 1")
        if self.name is not None:
            _check_name(self.name)

    @property
    def question(self) -> str:
        """The condition as it is asked."""
        condition = " ".join(self.condition.split())
        if condition.endswith("?"):
            return condition
        return WRAPPED.format(condition=condition.rstrip(" ."))

    @property
    def plain_name(self) -> str:
        """The name, or one of the condition's letters and digits: ``is-there-a-red-ring``."""
        if self.name is not None:
            return self.name
        words = re.findall(r"[^\W_]+", self.condition.casefold())
        return "-".join(words)[:MOST_NAME].strip("-") or "alert"


def _check_name(name: str) -> None:
    if not 0 < len(name.strip()) <= len(name) <= MOST_NAME or not name.isprintable():
        raise ValueError(f"name={name!r}: must be 1 to {MOST_NAME} letters that can be shown")
