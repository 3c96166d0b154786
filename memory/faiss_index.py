"""The same search in FAISS: one flat inner-product index a layer, on the CPU.

FAISS is imported with the first index that is made.

L layers, N chunks, W = H*D width of a search vector.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from longtake.memory.exact_index import (
    Numbers,
    check_k,
    check_query,
    check_sizes,
    check_vectors,
    order_of,
)


class FaissIndex:
    """One flat inner-product index a layer, on the CPU; a range is a selector.

    Scores may differ from `ExactIndex` in the last bits, and so may the order of chunks whose
    scores differ by no more than that.

    Raises:
        ImportError: if FAISS is not installed; the message names the extra.
    """

    def __init__(self, layers: int, width: int) -> None:
        check_sizes(layers, width)
        self._faiss = _import_faiss()
        self._layers = [self._faiss.IndexFlatIP(width) for _ in range(layers)]
        self._width = width
        self._numbers = Numbers()

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"FaissIndex({len(self)}, [{len(self._layers)}, {self._width}])"

    @property
    def nbytes(self) -> int:
        """Bytes of all vectors."""
        return 4 * len(self._layers) * len(self) * self._width

    def add(self, number: int, vectors: Tensor) -> None:
        """Take in a chunk's ``[L, W]``.  Raises ValueError on a number or shape that is wrong."""
        self.extend([number], vectors.unsqueeze(1))

    def extend(self, numbers: Sequence[int], vectors: Tensor) -> None:
        """Take in many at once, ``[L, n, W]``.  Raises ValueError; all or none."""
        check_vectors(numbers, vectors, len(self._layers), self._width)
        self._numbers.check(numbers)
        for index, layer in zip(self._layers, _floats(vectors), strict=True):
            index.add(layer.numpy())
        self._numbers.extend(numbers)

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget chunks, O(N); numbers that are not here are ignored."""
        places = self._numbers.places_of(numbers)
        for index in self._layers:
            index.remove_ids(self._faiss.IDSelectorBatch(places))  # those behind move up, in order
        self._numbers.remove(places)

    def numbers(self, first: int = 0, last: int | None = None) -> Tensor:
        """int64 ``[N]``: the chunks with first <= number < last, oldest first."""
        low, high = self._numbers.span(first, last)
        return self._numbers.between(low, high)

    def scores(self, query: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """float32 ``[L, N]`` for a query ``[L, W]``, in the order of `numbers`; on the CPU."""
        check_query(query, len(self._layers), self._width)
        low, high = self._numbers.span(first, last)
        if low == high:
            return torch.empty(len(self._layers), 0)
        layers = zip(self._layers, _floats(query), strict=True)
        return torch.stack([self._stored(index)[low:high] @ vector for index, vector in layers])

    def layer_scores(
        self, layer: int, query: Tensor, first: int = 0, last: int | None = None
    ) -> Tensor:
        """float32 ``[N]`` of one layer for its query ``[W]``, in the order of `numbers`."""
        low, high = self._numbers.span(first, last)
        if low == high:
            return torch.empty(0)
        return self._stored(self._layers[layer])[low:high] @ _floats(query)

    def search(
        self, query: Tensor, k: int, first: int = 0, last: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k best of each layer, best first, equal ones oldest first: ``[L, k']`` twice."""
        check_query(query, len(self._layers), self._width)
        low, high = self._numbers.span(first, last)
        k = check_k(k, high - low)
        if k == 0:
            shape = (len(self._layers), 0)
            return torch.empty(shape, dtype=torch.int64), torch.empty(shape)
        only = self._faiss.SearchParameters(sel=self._faiss.IDSelectorRange(low, high))
        scores, places = [], []
        with self._one_thread():
            for index, vector in zip(self._layers, _floats(query), strict=True):
                of_layer, at_layer = index.search(vector.unsqueeze(0).numpy(), k, params=only)
                scores.append(torch.from_numpy(of_layer[0]))
                places.append(torch.from_numpy(at_layer[0]))
        found, at = torch.stack(scores), torch.stack(places)
        order = order_of(at, found)
        return self._numbers.at(at.gather(1, order)), found.gather(1, order)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """A single query is bound by memory: threads only wait for each other (28 layers of 10,000
        chunks on two busy cores: 0.4 s with two threads, 0.05 s with one)."""
        threads = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(threads)

    def _stored(self, index: Any) -> Tensor:
        """``[N, W]``: FAISS's own memory, not a copy."""
        count = index.ntotal * self._width
        flat = self._faiss.rev_swig_ptr(index.get_xb(), count)
        return torch.from_numpy(flat).view(index.ntotal, self._width)


def _import_faiss() -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise ImportError(
            "the index 'faiss' needs FAISS: pip install 'longtake[cpu]'; "
            "or choose the index 'exact', which gives the same answers"
        ) from error


def _floats(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()
