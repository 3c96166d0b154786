"""Search in two stages: 8-bit codes say who may be among the best, float32 says who is.

Exact all the same.  A block's codes know how far off their scores can be (`Scout.error`).  So:

1. each block's best by their codes;
2. the best of those scored exactly: the k-th best exact score is a floor;
3. whoever could reach the floor, its score by the codes and their error taken together, is scored
   exactly too.  Where a block's first look ended before that, it is looked through again.

Nothing is left out that could be among the k best, whatever the vectors are like; where they lie
so close that codes cannot tell them apart it takes longer.  An inverted file is not used: mean keys
do not fall into clusters, and it must be made anew as the stream changes.  Scales belong to a
block, so nothing is ever made anew here but a block whose rows outgrow it.

l layers asked, k chunks wanted, n rows, W = H*D width of a search vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longtake.memory.blocks import Block, Blocks, Cut
from longtake.memory.chunk_numbers import Pick, Places
from longtake.memory.exact_search import ExactSearch
from longtake.memory.faiss_search import floats, import_faiss, one_thread
from longtake.memory.scout import Scout

LEAST_ROWS = 256  # so many rows that have no codes yet are scored as they are
_SPARE = 48  # a first look at a block gives 2 k rows and so many more
_SPARSE = 8  # a choice of less than one row of so many is scored as it is

Floats = NDArray[Any]  # float32, or float64 while they are guesses


class StagedSearch:
    """Exact, from a quarter of the bytes.  On the CPU; rows on a device: see `ExactSearch`.

    Scores may differ from its in the last bits, and so may the order of chunks whose scores differ
    by no more than that.

    Raises:
        ImportError: if FAISS is not installed; the message names the extra.
    """

    name = "staged"
    is_staged = True

    def __init__(self) -> None:
        self._faiss = import_faiss("staged")
        self._exact = ExactSearch()

    def prepare(self, blocks: Blocks) -> None:
        """Codes for rows that have none, once they are enough."""
        if blocks.device.type != "cpu":
            return
        for block in blocks.all:
            _cover(block)

    def best(
        self, blocks: Blocks, layers: slice, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """See `ExactSearch.best`."""
        rows = floats(query)
        is_few = pick.at is not None and _SPARSE * len(pick) < pick.high - pick.low
        if is_few or not k or blocks.device.type != "cpu" or not bool(rows.isfinite().all()):
            return self._exact.best(blocks, layers, query, k, pick)
        parts = [part for cut in blocks.cuts(pick) for part in _parts(cut, layers, rows)]
        with one_thread(self._faiss):
            found = [_best(parts, i, row, k) for i, row in enumerate(rows)]
        places = torch.from_numpy(np.stack([places for places, _ in found]))
        return places, torch.from_numpy(np.stack([scores for _, scores in found]))


def _cover(block: Block) -> None:
    """Bring a block's codes up to its rows, `LEAST_ROWS` at a time."""
    scout = block.sketch
    if isinstance(scout, Scout) and scout.count:
        new = block.rows[:, scout.count : block.count]
        is_due = new.shape[1] >= LEAST_ROWS or (new.shape[1] and not block.room)
        if not is_due:
            return
        if bool(new.isfinite().all()):
            scout.add(new)
            if not scout.is_outgrown:
                return
    elif block.count < min(LEAST_ROWS, block.rows.shape[1]):
        return
    rows = block.rows[:, : block.count]
    block.sketch = Scout(rows) if bool(rows.isfinite().all()) else None


class _Part:
    """Picked rows of one block that all have codes, or all have none.

    Args:
        scout: the codes; None: there are none.
        query: ``[l, W]``, of these layers.
    """

    def __init__(self, cut: Cut, scout: Scout | None, layers: slice, query: Tensor) -> None:
        self.cut, self._vectors = cut, cut.block.rows[layers]
        self.aim = None if scout is None else scout.aim(layers, query)
        self.rows = np.arange(cut.low, cut.high) if cut.at is None else cut.at  # of the block
        self.exact = None if self.aim else cut.scores(layers, query).numpy()  # of all, [l, n]

    def score(self, i: int, rows: Places, query: Tensor) -> Floats:
        """float32's scores of some rows in the i-th layer asked, for its query ``[W]``."""
        # Not a product: its rounding depends on where a row stands, and equal rows must stay equal.
        found: Floats = (self._vectors[i][torch.from_numpy(rows)] * query).sum(1).numpy()
        return found


def _parts(cut: Cut, layers: slice, query: Tensor) -> list[_Part]:
    scout = cut.block.sketch
    if not isinstance(scout, Scout) or scout.count <= cut.low:
        return [_Part(cut, None, layers, query)]
    if scout.count >= cut.high:
        return [_Part(cut, scout, layers, query)]
    return [
        _Part(cut.between(cut.low, scout.count), scout, layers, query),
        _Part(cut.between(scout.count, cut.high), None, layers, query),
    ]


def _best(parts: list[_Part], i: int, query: Tensor, k: int) -> tuple[Places, Floats]:
    """The k best of the i-th layer asked for its query ``[W]``, best first."""
    looks = [_Look(part, i, query, 2 * k + _SPARE) for part in parts]
    guesses = np.concatenate([look.guesses for look in looks])
    floor = -np.inf
    if len(guesses) > k:
        hope = np.partition(guesses, -k)[-k]
        for look in looks:
            look.score_from(hope)
        floor = np.partition(np.concatenate([look.known for look in looks]), -k)[-k]
    for look in looks:
        look.score_all_that_reach(float(floor))
    places = np.concatenate([look.places for look in looks])
    scores = np.concatenate([look.scores for look in looks])
    order = np.lexsort((places, -_worst_if_nan(scores)))[:k]
    return places[order], scores[order]


class _Look:
    """One layer's scores of one part, as far as they are known.

    Args:
        i: the i-th layer asked.
        query: ``[W]``, its.
        most: rows that the first look gives, where there are codes.
    """

    def __init__(self, part: _Part, i: int, query: Tensor, most: int) -> None:
        self._part, self._i, self._query = part, i, query
        if part.aim is None:
            assert part.exact is not None
            self._settle(part.rows, part.exact[i])
        elif not np.isfinite(part.aim.errors[i]):
            self._settle(part.rows, part.score(i, part.rows, query))
        else:
            cut, most = part.cut, min(most, len(part.rows))
            self._rows, self.guesses = part.aim.best(i, most, cut.low, cut.high, cut.at)
            self._scores = np.zeros(len(self._rows), np.float32)
            self._is_known = np.zeros(len(self._rows), np.bool_)

    @property
    def scores(self) -> Floats:
        """Those that are exact."""
        return self._scores[self._is_known]

    @property
    def known(self) -> Floats:
        """The same; what is not a number is the worst."""
        return _worst_if_nan(self.scores)

    @property
    def places(self) -> Places:
        """Where their rows stand in the index."""
        return self._rows[self._is_known] + self._part.cut.begin

    def score_from(self, guess: float) -> None:
        """Score exactly what the first look guessed to be as good as that, or better."""
        chosen = ~self._is_known & (self.guesses >= guess)
        if chosen.any():
            self._scores[chosen] = self._part.score(self._i, self._rows[chosen], self._query)
            self._is_known |= chosen

    def score_all_that_reach(self, floor: float) -> None:
        """Score exactly every row of the part that may be as good as that."""
        part, aim = self._part, self._part.aim
        if aim is None or (self._is_known.all() and len(self._rows) == len(part.rows)):
            return
        least = floor - aim.errors[self._i]
        self.score_from(least)
        is_whole = len(self._rows) == len(part.rows)
        if is_whole or (len(self.guesses) and self.guesses.min() < least):
            return
        cut = part.cut
        rows = aim.above(self._i, least, cut.low, cut.high, cut.at)
        new = np.setdiff1d(rows, self._rows, assume_unique=True)
        self._settle(
            np.concatenate((self._rows, new)),
            np.concatenate((self._scores, part.score(self._i, new, self._query))),
        )

    def _settle(self, rows: Places, scores: Floats) -> None:
        """These are all that matter, and their scores are exact."""
        self._rows, self._scores = rows, scores
        self._is_known = np.ones(len(rows), np.bool_)
        self.guesses = _worst_if_nan(scores)


def _worst_if_nan(scores: Floats) -> Floats:
    return np.where(np.isnan(scores), -np.inf, scores)
