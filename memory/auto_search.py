"""Which search is fastest for as many bytes of rows as there are.

Exact first; on the CPU, where FAISS is installed, FAISS over the same rows, then in two stages.
Rows stay where they are; only the last step keeps something beside them, a quarter of their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from torch import Tensor

from longtake.memory.blocks import Blocks
from longtake.memory.chunk_numbers import Pick
from longtake.memory.exact_search import ExactSearch
from longtake.memory.faiss_search import FaissSearch
from longtake.memory.staged_search import StagedSearch


@dataclass(frozen=True, slots=True)
class Crossovers:
    """With more bytes of rows than so many the next search is faster."""

    faiss_bytes: int = 32 << 20
    staged_bytes: int = 256 << 20


# CPU time of a search of 8, ms, exact / FAISS / in two stages; AMD EPYC with AVX-512, one thread of
# two busy cores, the least of 25 (torch 2.13, faiss 1.15).  Bytes decide, not chunks: rows that
# stay in the processor's cache are best multiplied at once.
#   4 layers x 64:    2,000 chunks    2 MB   0.30 /  0.32 /  0.74
#                    20,000 chunks   20 MB   1.7  /  1.9  /  2.6
#   28 layers x 512:    300 chunks   17 MB   2.0  /  2.3  /  4.4
#                     1,000 chunks   57 MB   6.2  /  4.3  /  5.4
#                     5,000 chunks  287 MB    28  /   15  /   11
#                    10,000 chunks  573 MB    55  /   32  /   18
# Exact shares its layers out between threads, the others take one: with two idle cores exact ends
# as soon as FAISS, for twice the work.  Two stages could begin at half of this; they take RAM.
MEASURED = Crossovers()


class AutoSearch:
    """Goes up with the bytes of rows, and back where they fall below half of what made it go up.

    Args:
        crossovers: where it goes up.
    """

    def __init__(self, crossovers: Crossovers = MEASURED) -> None:
        self._crossovers = crossovers
        self._has_faiss = find_spec("faiss") is not None
        self._search: ExactSearch | FaissSearch | StagedSearch = ExactSearch()

    @property
    def name(self) -> str:
        return f"auto: {self._search.name}"

    @property
    def is_staged(self) -> bool:
        return self._search.is_staged

    def prepare(self, blocks: Blocks) -> None:
        """Choose again, rows having come or gone."""
        wanted = self._wanted(blocks)
        if not isinstance(self._search, wanted):
            self._search = wanted()
            if not self._search.is_staged:
                blocks.forget_sketches()
        self._search.prepare(blocks)

    def _wanted(self, blocks: Blocks) -> type[ExactSearch | FaissSearch | StagedSearch]:
        if not self._has_faiss or blocks.device.type != "cpu":
            return ExactSearch
        nbytes, least = blocks.used_bytes, self._crossovers
        is_up = isinstance(self._search, StagedSearch)
        if nbytes > (least.staged_bytes // 2 if is_up else least.staged_bytes):
            return StagedSearch
        is_up = not isinstance(self._search, ExactSearch)
        is_large = nbytes > (least.faiss_bytes // 2 if is_up else least.faiss_bytes)
        return FaissSearch if is_large else ExactSearch

    def best(
        self, blocks: Blocks, layers: slice, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """See `ExactSearch.best`."""
        return self._search.best(blocks, layers, query, k, pick)
