"""Candidates for strategies of recall, made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longtake.memory.chunk import ChunkInfo
from longtake.strategies.base import Candidates


def chunks(
    count: int, every_s: float = 2.0, lasts_s: float = 1.0, first: int = 0
) -> list[ChunkInfo]:
    return [
        ChunkInfo(first + i, i * every_s, i * every_s + lasts_s, tokens=10) for i in range(count)
    ]


def candidates(
    infos: Sequence[ChunkInfo],
    question: str = "what was seen?",
    top_k: int = 4,
    picture: Callable[[int], bytes | None] = lambda number: None,
) -> Candidates:
    return Candidates(question, infos, top_k, infos[-1].end_s if infos else 0.0, picture)
