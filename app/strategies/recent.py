"""The newest candidates: what happened just before the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.strategies.base import Candidates, check_count


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest `count` candidates, newest first."""

    count: int | None = None  # None: the question's top_k

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def name(self) -> str:
        return "recent"

    def rank(self, candidates: Candidates) -> Sequence[int]:
        most = candidates.most(self.count)
        newest = candidates.infos[max(0, len(candidates.infos) - most) :]
        return [info.number for info in reversed(newest)]
