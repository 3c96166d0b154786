"""The newest candidates: what happened just before the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.strategies.base import Offered, check_count


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest `count` candidates, newest first."""

    count: int | None = None  # None: the question's top_k

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def name(self) -> str:
        return "recent"

    def rank(self, offered: Offered) -> Sequence[int]:
        newest = len(offered.infos) - 1
        most = min(offered.most(self.count), newest + 1)
        return [offered.infos[newest - i].number for i in range(most)]
