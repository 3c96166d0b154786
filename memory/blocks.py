"""Where an index's search vectors lie: blocks that never move, so that growing copies nothing.

A block holds rows of all layers side by side; each new one is as large as all before, up to
`MOST_ROWS`.  So there is room for at most as many rows again, or one block, and a bound on the
bytes is kept at every moment: nothing is ever there twice.

L layers, N rows picked, W = H*D width of a search vector.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from longtake.kernels.dispatch import score_chunks
from longtake.memory.chunk_numbers import Pick, Places

FIRST_ROWS, MOST_ROWS = 64, 4096
_SPARSE = 4  # where less than one row of so many is wanted, rows are copied out to be scored

_log = logging.getLogger(__name__)


class Sketch(Protocol):
    """Something made of a block's first rows, which must follow when rows go (`scout.Scout`)."""

    @property
    def nbytes(self) -> int: ...

    def remove(self, places: Places) -> None:
        """Rows of the block, rising; those behind move up."""
        ...


class Block:
    """Rows ``[L, capacity, W]`` of which the first `count` are in use."""

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.count = rows, 0
        self.sketch: Sketch | None = None

    @property
    def room(self) -> int:
        return self.rows.shape[1] - self.count

    def remove(self, places: Places) -> None:
        """Those behind move up; what is no longer in use is overwritten."""
        kept = np.delete(np.arange(self.count), places)
        moved = torch.from_numpy(kept[kept >= places[0]]).to(self.rows.device)
        begin = len(kept) - len(moved)
        for layer in range(len(self.rows)):  # one at a time: the copy is small
            self.rows[layer, begin : len(kept)] = self.rows[layer, moved]
        self.rows[:, len(kept) : self.count] = 0
        self.count = len(kept)
        if self.sketch is not None:
            self.sketch.remove(places)

    def absorb(self, other: Block) -> None:
        """Take another one's rows behind these; there must be room.  The sketch stays that of the
        first rows."""
        self.rows[:, self.count : self.count + other.count] = other.rows[:, : other.count]
        self.count += other.count


@dataclass(frozen=True, slots=True)
class Cut:
    """What is picked of one block: its rows ``[low, high)``, or of these only ``at``."""

    block: Block
    begin: int  # place of the block's first row in the index
    low: int
    high: int
    at: Places | None

    def between(self, low: int, high: int) -> Cut:
        """Of these, the block's rows ``[low, high)``."""
        at = self.at
        if at is not None:
            at = at[(at >= low) & (at < high)]
        return Cut(self.block, self.begin, low, high, at)

    def scores(self, layers: slice, query: Tensor) -> Tensor:
        """float32 ``[l, n]`` for the queries ``[l, W]`` of some layers."""
        rows = self.block.rows[layers]
        if self.at is None:
            return score_chunks(query, rows[:, self.low : self.high])
        if not len(self.at):
            return query.new_empty(len(query), 0)
        if _SPARSE * len(self.at) < self.high - self.low:
            return score_chunks(query, rows[:, torch.from_numpy(self.at).to(rows.device)])
        at = torch.from_numpy(self.at - self.low).to(rows.device)
        return score_chunks(query, rows[:, self.low : self.high])[:, at]


class Blocks:
    """All rows of an index, in order.

    Args:
        layers: L.
        width: W.
        device: where they lie.
        most_bytes: they never take more there; with the first row beyond, all move to the CPU for
            good, block by block.  None: no bound.
    """

    def __init__(
        self,
        layers: int,
        width: int,
        device: torch.device | str = "cpu",
        most_bytes: int | None = None,
    ) -> None:
        if layers < 1 or width < 1:
            raise ValueError(f"layers={layers}, width={width}: both must be positive")
        self.layers, self.width = layers, width
        self.device, self._most_bytes = torch.device(device), most_bytes
        self.all: list[Block] = []

    def __len__(self) -> int:
        return sum(block.count for block in self.all)

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return sum(block.rows.shape[1] for block in self.all)

    @property
    def used_bytes(self) -> int:
        """Bytes of the rows in use."""
        return 4 * self.layers * len(self) * self.width

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks with the room to grow, and of their sketches."""
        return sum(
            block.rows.nbytes + (0 if block.sketch is None else block.sketch.nbytes)
            for block in self.all
        )

    def append(self, vectors: Tensor) -> None:
        """Take in ``[L, n, W]``; all or none."""
        count = vectors.shape[1]
        self._reserve(count)
        done = 0
        for block in self._open():
            taken = min(block.room, count - done)
            block.rows[:, block.count : block.count + taken] = vectors[:, done : done + taken]
            block.count += taken
            done += taken

    def remove(self, places: Places) -> None:
        """O(rows of the blocks that hold them).  Neighbours that fit into one become one."""
        begin = 0
        for block in self.all:
            count = block.count
            here = places[(places >= begin) & (places < begin + count)] - begin
            if len(here):
                block.remove(here)
            begin += count
        if len(places):
            self._join()

    def clear(self) -> None:
        self.all = []

    def forget_sketches(self) -> None:
        for block in self.all:
            block.sketch = None

    def cuts(self, pick: Pick) -> Iterator[Cut]:
        """What is picked, block by block in order; never an empty range."""
        begin = 0
        for block in self.all:
            low, high = max(pick.low - begin, 0), min(pick.high - begin, block.count)
            if low < high:
                at = pick.at
                if at is not None:
                    first, last = at.searchsorted((begin + low, begin + high))
                    at = at[first:last] - begin
                yield Cut(block, begin, low, high, at)
            begin += block.count

    def scores(self, layers: slice, query: Tensor, pick: Pick) -> Tensor:
        """float32 ``[l, N]`` for the queries ``[l, W]`` of some layers."""
        query = query.to(self.device, torch.float32)
        found = [cut.scores(layers, query) for cut in self.cuts(pick)]
        return torch.cat(found, 1) if found else query.new_empty(len(query), 0)

    # ---------------------------------------------------------------- growing

    def _open(self) -> Iterator[Block]:
        """Those that the next rows go to: the last one in use, and empty ones behind it."""
        last = max((i for i, block in enumerate(self.all) if block.count), default=0)
        yield from self.all[last:]

    def _reserve(self, count: int) -> None:
        missing = count - sum(block.room for block in self._open())
        while missing > 0:
            rows = max(min(max(self.capacity, missing), MOST_ROWS), FIRST_ROWS)
            if self._most_bytes is not None:
                here = self._most_bytes - sum(block.rows.nbytes for block in self.all)
                rows = min(rows, here // (4 * self.layers * self.width))
                if rows < min(missing, MOST_ROWS):
                    self._leave_device()
                    continue
            with torch.inference_mode(False):  # it is written to inside and outside of that mode
                block = Block(torch.empty(self.layers, rows, self.width, device=self.device))
            self.all.append(block)
            missing -= rows

    def _leave_device(self) -> None:
        _log.info(
            "the index does not fit into index_device_bytes=%d on %s with %d chunks: "
            "it is in RAM from now on",
            self._most_bytes,
            self.device,
            len(self),
        )
        self.device, self._most_bytes = torch.device("cpu"), None
        with torch.inference_mode(False):
            for block in self.all:
                block.rows = block.rows.cpu()

    def _join(self) -> None:
        joined: list[Block] = []
        for block in self.all:
            if not block.count:
                continue
            if joined and block.count <= joined[-1].room:
                joined[-1].absorb(block)
            else:
                joined.append(block)
        self.all = joined
