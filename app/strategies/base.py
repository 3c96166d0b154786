"""What a strategy is given for one question, and what it gives back.

The model's own recall goes by the name `MODEL`.  It chooses for each layer apart, from search
vectors that a strategy never sees, so it is no `Strategy`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from longtake.memory.chunk import ChunkInfo

MODEL = "model"


@dataclass(frozen=True, slots=True)
class Offered:
    """What may be recalled for one question.

    `infos` may be read lazily: of it only `len`, places from 0 on and iteration are used, and a
    strategy that can do without some of them does not read those.

    Raises:
        ValueError: if `top_k` is negative, or `as_of_s` is not finite.
    """

    question: str
    infos: Sequence[ChunkInfo]  # oldest first
    top_k: int  # chunks that a strategy gives which was not told how many
    as_of_s: float  # session time of "now" for this question
    picture: Callable[[int], bytes | None]  # JPEG thumbnail of a chunk by its number
    is_over: Callable[[], bool] = lambda: False  # cancelled, or its time is up: rank what you have

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise ValueError(f"top_k={self.top_k}: must be 0 or more")
        if not math.isfinite(self.as_of_s):
            raise ValueError(f"as_of_s={self.as_of_s}: must be a time in session seconds")

    def most(self, count: int | None) -> int:
        """How many chunks a strategy may give that was told `count`."""
        return self.top_k if count is None else count


class Strategy(Protocol):
    """One way to choose.  Ranking changes nothing that the next question would notice."""

    @property
    def name(self) -> str: ...

    @property
    def count(self) -> int | None:
        """Chunks that it gives at most; None: the question's top_k."""
        ...

    def rank(self, offered: Offered) -> Sequence[int]:
        """Numbers of chunks that were offered, best first, none twice; may be empty."""
        ...


def check_count(count: int | None) -> None:
    """Raises ValueError for a count that is not positive."""
    if count is not None and count < 1:
        raise ValueError(f"count={count}: must be at least 1, or None for top_k")
