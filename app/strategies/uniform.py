"""Candidates evenly spread over the past, whatever the question: an overview.

Sampling frames uniformly is what most Video-LLMs do with a long video, and a baseline of ReKV
(arXiv 2503.00540).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from longtake.strategies.base import Offered, check_count


@dataclass(frozen=True, slots=True)
class Uniform:
    """`count` candidates evenly spread by place, ends included; the same ones each time.

    The ends are ranked first, then always the middle of the widest part that is left, so what a
    small budget takes of them is spread over the past too.
    """

    count: int | None = None  # None: the question's top_k

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def name(self) -> str:
        return "uniform"

    def rank(self, offered: Offered) -> Sequence[int]:
        places = spread(len(offered.infos), offered.most(self.count))
        return [offered.infos[places[i]].number for i in widest_first(len(places))]


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the places 0 to `count` - 1, evenly spread, rising; one alone: the middle.

    >>> spread(10, 4)
    [0, 3, 6, 9]
    """
    if most >= count:
        return list(range(count))
    if most < 2:
        return [count // 2] * most
    return [(2 * i * (count - 1) + most - 1) // (2 * (most - 1)) for i in range(most)]


def widest_first(count: int) -> list[int]:
    """The places 0 to `count` - 1: first the ends, then middles of halves, quarters ...

    >>> widest_first(6)
    [0, 5, 2, 1, 3, 4]
    """
    order = [0, count - 1][: min(count, 2)]
    parts = deque([(0, count - 1)])
    while parts:
        low, high = parts.popleft()
        middle = (low + high) // 2
        if low < middle:
            order.append(middle)
            parts += [(low, middle), (middle, high)]
    return order
