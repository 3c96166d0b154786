"""What is wanted of a narration, checked; what is left open comes from the take's mode."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from longtake.models.decode import Decoding
from longtake.narration.rules import RATIO, RULES, THRESHOLD, Rule, make_rule

LEAST_EVERY_S = 0.001  # shorter than any frame is shown
REQUEST = "Describe what is happening, as it happens."


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """One narration's settings."""

    request: str = REQUEST
    every_s: float = 1.0  # seconds of stream from one moment to the next
    rule: str | None = None  # one of RULES; None: the mode's
    ratio: float = RATIO  # of rule livestar
    threshold: float = THRESHOLD  # of rule silence
    decoding: Decoding | None = None  # None: the mode's

    def __post_init__(self) -> None:
        if not self.request.strip():
            raise ValueError("the request is empty: say what the lines are to be about")
        if any("\ud800" <= letter <= "\udfff" for letter in self.request):
            raise ValueError("the request holds bytes that are no UTF-8: type it as text")
        if not (math.isfinite(self.every_s) and self.every_s >= LEAST_EVERY_S):
            raise ValueError(
                f"every_s={self.every_s}: must be at least {LEAST_EVERY_S} seconds; for a moment "
                "at every step of frames that is small enough"
            )
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r}: known are {', '.join(RULES)}")
        if not (math.isfinite(self.ratio) and self.ratio > 0):
            raise ValueError(f"ratio={self.ratio}: must be a positive number")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold}: must be a probability, 0 to 1")

    def settle(self, rule: str, decoding: Decoding) -> Telling:
        """With a mode's own rule and decoding where they are open."""
        return replace(self, rule=self.rule or rule, decoding=self.decoding or decoding)

    def make_rule(self) -> Rule:
        """At the beginning of the narration; of one that is settled."""
        assert self.rule is not None and self.decoding is not None
        return make_rule(self.rule, self.decoding, ratio=self.ratio, threshold=self.threshold)
