"""What an alert tells: that its condition came true, when, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from longtake.answer import Moment

SCHEMA = "longtake.event/1"


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One time at which a condition came true.  Times are session seconds."""

    number: int  # in the memory's log; rising
    name: str  # of the alert
    condition: str
    at_s: float  # newest frame of the first judgement that found it true
    fired_s: float  # of the judgement that confirmed it
    wall_s: float | None  # Unix seconds at `at_s`, where known
    probability: float  # of yes, when it was confirmed
    camera: str = ""  # that the best evidence was seen by
    evidence: tuple[Moment, ...] = ()  # of the confirming judgement, best first

    @property
    def begin_s(self) -> float:
        """Of the earliest that it tells of, evidence included."""
        return min([self.at_s, *(moment.start_s for moment in self.evidence)])

    def touches(self, start_s: float, end_s: float) -> bool:
        """Whether it tells of something within a span."""
        return self.begin_s <= end_s and start_s <= self.fired_s

    def as_json(self) -> dict[str, Any]:
        """Of schema ``longtake.event/1``; pictures are left out."""
        return {
            "schema": SCHEMA,
            "number": self.number,
            "name": self.name,
            "condition": self.condition,
            "at_s": self.at_s,
            "fired_s": self.fired_s,
            "wall_s": self.wall_s,
            "probability": self.probability,
            "camera": self.camera,
            "evidence": [
                {
                    "start_s": moment.start_s,
                    "end_s": moment.end_s,
                    "wall_s": moment.wall_s,
                    "score": moment.score,
                    "camera": moment.camera,
                    "number": moment.number,
                }
                for moment in self.evidence
            ],
        }
