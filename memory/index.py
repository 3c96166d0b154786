"""Which chunks answer a query best: the searchers by name, and the one that chooses.

Scores are inner products of a query with each chunk's search vector, for every layer apart;
the k best win, and among equal ones the oldest.  All searchers give the same answers.  The
vectors are kept elsewhere too (in the store): an index is a cache.

L layers, N chunks, W = H*D width of a search vector.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from longtake.memory.base import Index
from longtake.memory.config import INDEX_NAMES
from longtake.memory.exact_index import ExactIndex, best_of
from longtake.memory.faiss_index import FaissIndex

__all__ = ["CROSSOVER_CHUNKS", "AutoIndex", "ExactIndex", "FaissIndex", "best_of", "make_index"]

# From here on FAISS is faster on the CPU.  Search of 8, median ms, exact with one matrix-vector
# product a layer / FAISS with one thread, on 2 busy cores (torch 2.13, faiss 1.15):
#   4 layers x 64:   1,000 chunks 0.31 / 0.32,  5,000 0.73 / 0.51,  50,000 47.5 / 8.3
#   28 layers x 512: 1,000 chunks 5.9 / 5.0,    5,000 27.9 / 23.0,  50,000 241 / 187
CROSSOVER_CHUNKS = 5000


class AutoIndex:
    """Exact while that is as fast; on the CPU it moves to FAISS, once, where that is installed.

    Args:
        layers: L.
        width: W.
        device: where it searches; anywhere but on the CPU it stays exact.
        crossover_chunks: with more chunks than this it moves.
    """

    def __init__(
        self,
        layers: int,
        width: int,
        device: torch.device | str = "cpu",
        crossover_chunks: int = CROSSOVER_CHUNKS,
    ) -> None:
        exact = ExactIndex(layers, width, device)
        self._exact: ExactIndex | None = exact
        self._index: Index = exact
        self._shape = (layers, width)
        self._crossover_chunks = crossover_chunks
        self._may_move = torch.device(device).type == "cpu" and find_spec("faiss") is not None

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"AutoIndex({self._index!r})"

    @property
    def nbytes(self) -> int:
        """Bytes of all vectors."""
        return self._index.nbytes

    def add(self, number: int, vectors: Tensor) -> None:
        """Take in a chunk's ``[L, W]``.  Raises ValueError on a number or shape that is wrong."""
        self._index.add(number, vectors)
        self._move_if_large()

    def extend(self, numbers: Sequence[int], vectors: Tensor) -> None:
        """Take in many at once, ``[L, n, W]``.  Raises ValueError; all or none."""
        self._index.extend(numbers, vectors)
        self._move_if_large()

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget chunks; numbers that are not here are ignored."""
        self._index.remove(numbers)

    def numbers(self, first: int = 0, last: int | None = None) -> Tensor:
        """int64 ``[N]``: the chunks with first <= number < last, oldest first."""
        return self._index.numbers(first, last)

    def scores(self, query: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """float32 ``[L, N]`` for a query ``[L, W]``, in the order of `numbers`."""
        return self._index.scores(query, first, last)

    def layer_scores(
        self, layer: int, query: Tensor, first: int = 0, last: int | None = None
    ) -> Tensor:
        """float32 ``[N]`` of one layer for its query ``[W]``, in the order of `numbers`."""
        return self._index.layer_scores(layer, query, first, last)

    def search(
        self, query: Tensor, k: int, first: int = 0, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k best of each layer, best first, equal ones oldest first: ``[L, k']`` twice."""
        return self._index.search(query, k, first, last)

    def _move_if_large(self) -> None:
        if self._exact is None or not self._may_move or len(self) <= self._crossover_chunks:
            return
        faiss = FaissIndex(*self._shape)
        faiss.extend(self._exact.numbers().tolist(), self._exact.vectors)
        self._index, self._exact = faiss, None


def make_index(name: str, layers: int, width: int, device: torch.device | str = "cpu") -> Index:
    """The index of that name: "exact", "faiss" (on the CPU), or "auto".

    Raises:
        ValueError: if there is none; the message lists those there are.
        ImportError: if it needs FAISS, which is not installed.
    """
    if name == "auto":
        return AutoIndex(layers, width, device)
    if name == "exact":
        return ExactIndex(layers, width, device)
    if name == "faiss":
        return FaissIndex(layers, width)
    raise ValueError(f"index {name!r} is not known; there is {', '.join(INDEX_NAMES)}")
