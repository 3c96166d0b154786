"""What is offered to strategies of recall, made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from longtake.memory.chunk import ChunkInfo
from longtake.strategies.base import Offered


def chunks(
    count: int, every_s: float = 2.0, lasts_s: float = 1.0, first: int = 0
) -> list[ChunkInfo]:
    return [
        ChunkInfo(first + i, i * every_s, i * every_s + lasts_s, tokens=10) for i in range(count)
    ]


class Lazy(Sequence[ChunkInfo]):
    """Infos that are read when they are asked for, one by one; remembers which were."""

    def __init__(self, infos: Sequence[ChunkInfo]) -> None:
        self._infos = infos
        self.read: list[int] = []  # places

    def __len__(self) -> int:
        return len(self._infos)

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, int) or place < 0:
            raise TypeError(f"infos[{place!r}]: only places from 0 on can be read")
        info = self._infos[place]
        self.read.append(place)
        return info


def candidates(
    infos: Sequence[ChunkInfo],
    question: str = "what was seen?",
    top_k: int = 4,
    picture: Callable[[int], bytes | None] = lambda number: None,
    is_over: Callable[[], bool] = lambda: False,
) -> Offered:
    as_of_s = infos[-1].end_s if infos else 0.0
    return Offered(question, infos, top_k, as_of_s, picture, is_over)
