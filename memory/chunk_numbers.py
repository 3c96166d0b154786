"""The numbers of the chunks in an index, and which of them a search may find.

A chunk's *place* is its row in the index: places have no gaps, numbers may have many.

N chunks that may be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Places = NDArray[np.int64]

_FIRST_ROOM = 64


@dataclass(frozen=True, slots=True)
class Pick:
    """Places that a search may find: those of ``[low, high)``, or of these only ``at``, rising."""

    low: int
    high: int
    at: Places | None = None

    def __len__(self) -> int:
        return self.high - self.low if self.at is None else len(self.at)

    def places(self, of: Tensor) -> Tensor:
        """The places of the ``of``-th ones, int64 of the same shape, on the CPU."""
        if self.at is None:
            return of.cpu() + self.low
        return torch.from_numpy(self.at)[of.cpu()]


class ChunkNumbers:
    """Strictly increasing numbers; where each stands is its chunk's place."""

    def __init__(self) -> None:
        self._all: Places = np.empty(_FIRST_ROOM, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def check(self, numbers: Sequence[int]) -> None:
        """Raises ValueError if these may not come next."""
        newest = int(self._all[self._count - 1]) if self._count else -1
        for number in numbers:
            if number <= newest:
                raise ValueError(f"chunk {number} after {newest}: numbers must increase")
            newest = number

    def extend(self, numbers: Sequence[int]) -> None:
        count = self._count + len(numbers)
        if count > len(self._all):
            larger = np.empty(max(count, 2 * len(self._all)), np.int64)
            larger[: self._count] = self._all[: self._count]
            self._all = larger
        self._all[self._count : count] = numbers
        self._count = count

    def places_of(self, numbers: Sequence[int]) -> Places:
        """Where these are, rising; those that are not here have no place."""
        wanted = np.asarray(list(numbers), np.int64)
        return np.flatnonzero(np.isin(self._all[: self._count], wanted))

    def remove(self, places: Places) -> None:
        kept = np.delete(self._all[: self._count], places)
        self._all[: len(kept)] = kept
        self._count = len(kept)

    def clear(self) -> None:
        self._count = 0

    def pick(self, first: int, last: int | None, only: Tensor | None) -> Pick:
        """The chunks with first <= number < last that are among ``only``, int64 and rising.

        Raises:
            ValueError: if ``only`` is anything else.
        """
        known = self._all[: self._count]
        low = int(known.searchsorted(first))
        high = self._count if last is None else int(known.searchsorted(last))
        high = max(low, high)
        if only is None:
            return Pick(low, high)
        wanted = _checked(only)
        at = low + known[low:high].searchsorted(wanted)
        is_here = at < high
        is_here[is_here] = known[at[is_here]] == wanted[is_here]
        return Pick(low, high, at[is_here])

    def picked(self, pick: Pick) -> Tensor:
        """int64 ``[N]``, a copy."""
        chosen = self._all[pick.low : pick.high] if pick.at is None else self._all[pick.at]
        return torch.from_numpy(chosen.copy())

    def at(self, places: Tensor) -> Tensor:
        """The numbers at some places, int64 of the same shape, on the CPU."""
        return torch.from_numpy(self._all[places.cpu().numpy()])


def _checked(only: Tensor) -> Places:
    if only.dtype != torch.int64 or only.dim() != 1:
        kind = str(only.dtype).removeprefix("torch.")
        raise ValueError(f"only: {kind} {list(only.shape)}; must be int64 [n], chunk numbers")
    wanted: Places = only.cpu().numpy()
    if len(wanted) > 1 and not (wanted[1:] > wanted[:-1]).all():
        raise ValueError("only: chunk numbers must increase; sort them, each once")
    return wanted
