"""The exact search: one batched product in torch, on any device; the specification.

Also what every index shares: numbers that only rise, the order of results, and checks.

L layers, N chunks, W = H*D width of a search vector.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from longtake.kernels.dispatch import score_chunks

_FIRST_CAPACITY = 64


class ExactIndex:
    """One ``[L, capacity, W]`` float32 tensor that doubles when it is full.

    Args:
        layers: L.
        width: W.
        device: where vectors lie and results are.
    """

    def __init__(self, layers: int, width: int, device: torch.device | str = "cpu") -> None:
        check_sizes(layers, width)
        self._vectors = torch.empty(layers, 0, width, device=device)
        self._numbers = Numbers()

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        layers, capacity, width = self._vectors.shape
        return f"ExactIndex({len(self)} of {capacity}, [{layers}, {width}])"

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor, with the room to grow."""
        return self._vectors.nbytes

    @property
    def vectors(self) -> Tensor:
        """float32 ``[L, N, W]``: a view, valid until the next change."""
        return self._vectors[:, : len(self)]

    def add(self, number: int, vectors: Tensor) -> None:
        """Take in a chunk's ``[L, W]``.  Raises ValueError on a number or shape that is wrong."""
        self.extend([number], vectors.unsqueeze(1))

    def extend(self, numbers: Sequence[int], vectors: Tensor) -> None:
        """Take in many at once, ``[L, n, W]``.  Raises ValueError; all or none."""
        layers, _, width = self._vectors.shape
        check_vectors(numbers, vectors, layers, width)
        self._numbers.check(numbers)
        begin, end = len(self), len(self) + len(numbers)
        self._reserve(end)
        self._vectors[:, begin:end] = vectors
        self._numbers.extend(numbers)

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget chunks, O(N); numbers that are not here are ignored."""
        gone = self._numbers.places_of(numbers)
        kept = torch.from_numpy(np.delete(np.arange(len(self)), gone)).to(self._vectors.device)
        self._vectors[:, : len(kept)] = self._vectors[:, kept]
        self._numbers.remove(gone)

    def numbers(self, first: int = 0, last: int | None = None) -> Tensor:
        """int64 ``[N]``: the chunks with first <= number < last, oldest first."""
        low, high = self._numbers.span(first, last)
        return self._numbers.between(low, high)

    def scores(self, query: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """float32 ``[L, N]`` for a query ``[L, W]``, in the order of `numbers`."""
        layers, _, width = self._vectors.shape
        check_query(query, layers, width)
        low, high = self._numbers.span(first, last)
        query = query.to(self._vectors)
        return score_chunks(query, self._vectors[:, low:high])

    def layer_scores(
        self, layer: int, query: Tensor, first: int = 0, last: int | None = None
    ) -> Tensor:
        """float32 ``[N]`` of one layer for its query ``[W]``, in the order of `numbers`."""
        low, high = self._numbers.span(first, last)
        return self._vectors[layer, low:high] @ query.to(self._vectors)

    def search(
        self, query: Tensor, k: int, first: int = 0, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k best of each layer, best first, equal ones oldest first: ``[L, k']`` twice."""
        scores = self.scores(query, first, last)
        best = best_of(scores, k)
        low, _ = self._numbers.span(first, last)
        return self._numbers.at(best + low), scores.gather(1, best)

    def _reserve(self, count: int) -> None:
        layers, capacity, width = self._vectors.shape
        if count > capacity:
            larger = max(count, 2 * capacity, _FIRST_CAPACITY)
            with torch.inference_mode(False):  # it is written to inside and outside of that mode
                vectors = self._vectors.new_empty(layers, larger, width)
            vectors[:, : len(self)] = self.vectors
            self._vectors = vectors


def best_of(scores: Tensor, k: int) -> Tensor:
    """Places of the k best of each row, best first, equal ones leftmost first.

    Args:
        scores: ``[L, N]``; one that is not a number counts as the worst.
        k: how many; all N if there are fewer.

    Returns:
        int64 ``[L, k']``, k' = min(k, N).

    `torch.topk` leaves open which of equal scores it takes.  That only matters where the last
    one taken has an equal that is not, which one more score shows; then whole rows are looked at.
    """
    k = check_k(k, scores.shape[1])
    if k == 0:
        return torch.empty(scores.shape[0], 0, dtype=torch.int64, device=scores.device)
    top, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    is_plain = ~top.isnan().any() & (k == top.shape[1] or (top[:, k - 1] > top[:, -1]).all())
    if is_plain:
        return _inorder_of(places[:, :k], top[:, :k])
    scores = torch.where(scores.isnan(), -torch.inf, scores)
    worst = scores.topk(k, dim=1).values[:, -1:]
    above, equal = scores > worst, scores == worst
    places_left = k - above.sum(dim=1, keepdim=True)
    taken = above | (equal & (equal.cumsum(dim=1) <= places_left))
    places = taken.nonzero()[:, 1].view(-1, k)
    return _inorder_of(places, scores.gather(1, places))


class Numbers:
    """Strictly increasing chunk numbers; the place of each is its place in the index."""

    def __init__(self) -> None:
        self._all = np.empty(_FIRST_CAPACITY, np.int64)
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

    def places_of(self, numbers: Sequence[int]) -> np.ndarray:
        """Where these are; those that are not here have no place."""
        return np.flatnonzero(np.isin(self._all[: self._count], list(numbers)))

    def remove(self, places: np.ndarray) -> None:
        kept = np.delete(self._all[: self._count], places)
        self._all[: len(kept)] = kept
        self._count = len(kept)

    def span(self, first: int, last: int | None) -> tuple[int, int]:
        """Places [low, high) of the chunks with first <= number < last."""
        known = self._all[: self._count]
        low = int(known.searchsorted(first))
        high = self._count if last is None else int(known.searchsorted(last))
        return low, max(low, high)

    def between(self, low: int, high: int) -> Tensor:
        """int64 ``[high - low]``, a copy."""
        return torch.from_numpy(self._all[low:high].copy())

    def at(self, places: Tensor) -> Tensor:
        """The numbers at some places, int64 of the same shape, on the CPU."""
        return torch.from_numpy(self._all[places.cpu().numpy()])


def _inorder_of(places: Tensor, scores: Tensor) -> Tensor:
    """Places ``[L, k]``, those of higher scores first, of equal ones the leftmost first."""
    return places.gather(1, order_of(places, scores))


def order_of(places: Tensor, scores: Tensor) -> Tensor:
    """How to gather ``[L, k]`` so that the best comes first, of equal ones the leftmost."""
    by_place = places.argsort(dim=1)
    by_score = scores.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
    return by_place.gather(1, by_score)


def check_sizes(layers: int, width: int) -> None:
    if layers < 1 or width < 1:
        raise ValueError(f"layers={layers}, width={width}: both must be positive")


def check_k(k: int, count: int) -> int:
    if k < 0:
        raise ValueError(f"k={k}: must be 0 or more")
    return min(k, count)


def check_vectors(numbers: Sequence[int], vectors: Tensor, layers: int, width: int) -> None:
    if tuple(vectors.shape) != (layers, len(numbers), width):
        raise ValueError(
            f"search vectors {list(vectors.shape)} for {len(numbers)} chunks, "
            f"expected [{layers}, {len(numbers)}, {width}]"
        )


def check_query(query: Tensor, layers: int, width: int) -> None:
    if tuple(query.shape) != (layers, width):
        raise ValueError(f"query {list(query.shape)}, expected [{layers}, {width}]")
