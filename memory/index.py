"""Which chunks answer a query best: numbers, rows, and the search that a name stands for.

Scores are inner products of a query with each chunk's search vector, for every layer apart;
the k best win, and among equal ones the oldest.  All searches give the same answers.  The vectors
are kept elsewhere too (in the store): an index is a cache, and `realign` makes it what the store
says.

L layers, N chunks, W = H*D width of a search vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from longtake.memory.auto_search import AutoSearch
from longtake.memory.base import Index
from longtake.memory.blocks import Blocks
from longtake.memory.chunk_numbers import ChunkNumbers, Pick
from longtake.memory.config import INDEX_NAMES
from longtake.memory.exact_search import ExactSearch
from longtake.memory.faiss_search import FaissSearch
from longtake.memory.ranking import best_of, check_k
from longtake.memory.staged_search import StagedSearch

__all__ = ["ChunkIndex", "Search", "best_of", "make_index", "realign"]


class Search(Protocol):
    """How the best rows are found."""

    @property
    def name(self) -> str: ...

    @property
    def is_staged(self) -> bool:
        """Whether it is much cheaper than scoring all."""
        ...

    def prepare(self, blocks: Blocks) -> None:
        """Rows have come or gone."""
        ...

    def best(
        self, blocks: Blocks, layers: slice, query: Tensor, k: int, pick: Pick
    ) -> tuple[Tensor, Tensor]:
        """Places int64 ``[l, k]`` on the CPU, best first, equal ones oldest first; their scores.

        Args:
            query: ``[l, W]``, of these layers.
            k: at most ``len(pick)``.
        """
        ...


class ChunkIndex:
    """See `Index` for what each call promises.

    Args:
        search: how the best are found; all else is the same for every index.
        layers: L.
        width: W.
        device: where vectors lie; what is found is on the CPU.
        device_bytes: of that device; with more they move to the CPU.  None: no bound.  What a
            question takes while it is answered, ``[L, N]`` scores, is not counted.
    """

    def __init__(
        self,
        search: Search,
        layers: int,
        width: int,
        device: torch.device | str = "cpu",
        device_bytes: int | None = None,
    ) -> None:
        self._search, self._numbers = search, ChunkNumbers()
        self._blocks = Blocks(layers, width, device, device_bytes)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        blocks = self._blocks
        rows = f"{len(self)} of {blocks.capacity}, [{blocks.layers}, {blocks.width}]"
        return f"ChunkIndex({self._search.name}, {rows}, {blocks.device})"

    @property
    def nbytes(self) -> int:
        """Bytes of vectors, of the room to grow, and of what the search keeps beside them."""
        return self._blocks.nbytes

    @property
    def is_staged(self) -> bool:
        return self._search.is_staged

    def add(self, number: int, vectors: Tensor) -> None:
        self.extend([number], vectors.unsqueeze(1))

    def extend(self, numbers: Sequence[int], vectors: Tensor) -> None:
        layers, width = self._blocks.layers, self._blocks.width
        if tuple(vectors.shape) != (layers, len(numbers), width):
            raise ValueError(
                f"search vectors {list(vectors.shape)} for {len(numbers)} chunks, "
                f"expected [{layers}, {len(numbers)}, {width}]"
            )
        self._numbers.check(numbers)
        self._blocks.append(vectors.detach())
        self._numbers.extend(numbers)
        self._search.prepare(self._blocks)

    def remove(self, numbers: Sequence[int]) -> None:
        places = self._numbers.places_of(numbers)
        if len(places):
            self._blocks.remove(places)
            self._numbers.remove(places)
            self._search.prepare(self._blocks)

    def clear(self) -> None:
        self._blocks.clear()
        self._numbers.clear()
        self._search.prepare(self._blocks)

    def numbers(
        self, first: int = 0, last: int | None = None, only: Tensor | None = None
    ) -> Tensor:
        return self._numbers.picked(self._numbers.pick(first, last, only))

    def scores(
        self, query: Tensor, first: int = 0, last: int | None = None, only: Tensor | None = None
    ) -> Tensor:
        self._check_query(query)
        pick = self._numbers.pick(first, last, only)
        return self._blocks.scores(slice(None), query, pick).cpu()

    def layer_scores(
        self,
        layer: int,
        query: Tensor,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> Tensor:
        asked, pick = self._one(layer, query), self._numbers.pick(first, last, only)
        return self._blocks.scores(asked, query[None], pick)[0].cpu()

    def search(
        self,
        query: Tensor,
        k: int,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        self._check_query(query)
        return self._best(slice(None), query, k, self._numbers.pick(first, last, only))

    def layer_search(
        self,
        layer: int,
        query: Tensor,
        k: int,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        asked, pick = self._one(layer, query), self._numbers.pick(first, last, only)
        numbers, scores = self._best(asked, query[None], k, pick)
        return numbers[0], scores[0]

    def _best(self, layers: slice, query: Tensor, k: int, pick: Pick) -> tuple[Tensor, Tensor]:
        k = check_k(k, len(pick))
        if k == 0:
            shape = (len(query), 0)
            return torch.empty(shape, dtype=torch.int64), torch.empty(shape)
        places, scores = self._search.best(self._blocks, layers, query, k, pick)
        return self._numbers.at(places), scores.cpu()

    def _one(self, layer: int, query: Tensor) -> slice:
        layers, width = self._blocks.layers, self._blocks.width
        if not 0 <= layer < layers:
            raise ValueError(f"layer={layer}: there are {layers}, from 0 on")
        if tuple(query.shape) != (width,):
            raise ValueError(f"query {list(query.shape)}, expected [{width}]")
        return slice(layer, layer + 1)

    def _check_query(self, query: Tensor) -> None:
        layers, width = self._blocks.layers, self._blocks.width
        if tuple(query.shape) != (layers, width):
            raise ValueError(f"query {list(query.shape)}, expected [{layers}, {width}]")


_SEARCHES: dict[str, Callable[[], Search]] = {
    "auto": AutoSearch,
    "exact": ExactSearch,
    "faiss": FaissSearch,
    "staged": StagedSearch,
}


def make_index(
    name: str,
    layers: int,
    width: int,
    device: torch.device | str = "cpu",
    device_bytes: int = 0,
) -> Index:
    """The index of that name, empty.

    Args:
        device: where "auto" and "exact" keep vectors while they fit into ``device_bytes``; beyond,
            and for the others, it is the CPU.

    Raises:
        ValueError: if there is none; the message lists those there are.
        ImportError: if it needs FAISS, which is not installed.
    """
    if name not in _SEARCHES:
        raise ValueError(f"index {name!r} is not known; there is {', '.join(INDEX_NAMES)}")
    search = _SEARCHES[name]()
    if torch.device(device).type == "cpu" or not device_bytes or name not in ("auto", "exact"):
        return ChunkIndex(search, layers, width)
    return ChunkIndex(search, layers, width, device, device_bytes)


def realign(
    index: Index,
    numbers: Sequence[int],
    read: Callable[[int, int | None], tuple[Tensor, Tensor]],
) -> bool:
    """Make an index hold the chunks that the records say, and no others.

    What is too much is removed, what is newer is read and added; where something in between is
    missing all are read anew.

    Args:
        numbers: of all chunks that have search vectors, rising.
        read: numbers int64 ``[n]`` and vectors ``[L, n, W]`` of those with first <= number < last,
            as `Store.all_vectors`.

    Returns:
        Whether anything was changed.
    """
    wanted, held = set(numbers), index.numbers().tolist()
    surplus = [number for number in held if number not in wanted]
    kept = len(held) - len(surplus)
    is_begun = list(numbers[:kept]) == [number for number in held if number in wanted]
    if not is_begun:
        index.clear()
        kept = 0
    elif surplus:
        index.remove(surplus)
    if kept < len(numbers):
        found, vectors = read(numbers[kept], None)
        index.extend(found.tolist(), vectors)
    return bool(surplus) or not is_begun or kept < len(numbers)
