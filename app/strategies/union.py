"""What several strategies chose becomes one selection, within a budget of tokens.

The lists take turns, so none of them is starved by one before it, and the best of each comes
before the second best of any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def fill(
    ranked: Sequence[Sequence[int]], tokens: Callable[[int], int], budget: int | None
) -> list[int]:
    """Take turns over the lists while the budget lasts.

    In its turn a list gives its best chunk that no list gave before.  One that does not fit into
    what is left is skipped, and the same list gives its next: a smaller one may fit.

    Args:
        ranked: chunk numbers, best first, one sequence a strategy; the first begins.
        tokens: of a chunk by its number.
        budget: of tokens; None: all chunks are taken.

    Returns:
        Chunk numbers in time order.

    Raises:
        ValueError: if the budget is negative.
    """
    if budget is not None and budget < 0:
        raise ValueError(f"recall tokens: {budget} is negative; 0 recalls nothing")
    left = budget

    def fits(number: int) -> bool:
        nonlocal left
        if left is None:
            return True
        size = tokens(number)
        if size > left:
            return False
        left -= size
        return True

    return sorted(take_turns(ranked, fits))


def take_turns(
    ranked: Sequence[Sequence[int]], fits: Callable[[int], bool] = lambda number: True
) -> Iterator[int]:
    """Numbers in the order of turns, none twice; each is asked once whether it fits."""
    seen: set[int] = set()
    lists = [iter(numbers) for numbers in ranked]
    while lists:
        going = []
        for numbers in lists:
            for number in numbers:
                if number in seen:
                    continue
                seen.add(number)
                if fits(number):
                    yield number
                    going.append(numbers)
                    break
        lists = going
