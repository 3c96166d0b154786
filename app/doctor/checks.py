"""What a check finds: a state, a value, and what to do about it.

Each part of a checkup looks by itself.  One that fails becomes a problem that says why, and
keeps no other from looking.  What there is to look at is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from longtake.wording import one_line

State = Literal["ok", "note", "problem"]
Area = Literal[
    "settings", "parts", "machine", "device", "kernels", "memory", "media", "cameras", "model"
]
OF_THE_MODEL: frozenset[Area] = frozenset({"device", "kernels", "model"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a checkup."""

    area: Area
    name: str
    state: State
    value: str
    advice: str = ""  # what to do; a problem has one

    def __post_init__(self) -> None:
        if self.state == "problem" and not self.advice:
            raise ValueError(f"{self.name}: a problem must say what to do")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What one part of a checkup found."""

    facts: T | None  # None: it could not look
    checks: tuple[Check, ...]


def look(
    area: Area, advice: str, find: Callable[[], T], judge: Callable[[T], Iterable[Check]]
) -> Found[T]:
    """Find facts, and judge them.

    Args:
        advice: what to do where this fails.
    """
    facts: T | None = None
    checks: list[Check] = []
    try:
        facts = find()
        checks += judge(facts)
    except Exception as error:  # becomes a line that people see
        checks.append(Check(area, area, "problem", one_line(error), advice))
    return Found(facts, tuple(checks))
