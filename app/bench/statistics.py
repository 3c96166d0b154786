"""How sure a counted share is, and a difference of two.  Knows nothing of what was counted."""

from __future__ import annotations

import math

Z95 = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


def wilson(right: float, asked: float) -> tuple[float, float]:
    """95 % interval of a share, never beyond 0 and 1.

    Args:
        right: of ``asked``; fractions are understood, as shares that were balanced have them.

    Raises:
        ValueError: if nothing was asked, or more was right than asked.

    Source: Wilson, "Probable inference ...", JASA 22 (1927).
    """
    if not 0 <= right <= asked or not asked > 0:
        raise ValueError(f"{right:g} of {asked:g}: a share needs 0 <= right <= asked, asked > 0")
    share, weight = right / asked, Z95 * Z95 / asked
    half = Z95 * math.sqrt(share * (1 - share) / asked + weight / (4 * asked))
    middle = share + weight / 2
    low, high = (middle - half) / (1 + weight), (middle + half) / (1 + weight)
    return max(0.0, low), min(1.0, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of the exact test that two ways to answer the same questions are as often right.

    Args:
        only_first: questions that the first alone got right.
        only_second: that the second alone got right.

    Questions that both got right, or none, say nothing.  Under the hypothesis each of the others
    is a toss of a coin: p is twice the smaller tail of Binomial(n, 1/2), at most 1.

    Source: McNemar, "Note on the sampling error ...", Psychometrika 12 (1947), in its exact form.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"{only_first} and {only_second}: counts are 0 or more")
    tosses = only_first + only_second
    tail = sum(math.comb(tosses, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << tosses))
