"""What others may rely on: a place where chunks are kept, and one where they are searched.

L layers, H key/value heads, T tokens, D head dimension, W = H*D, N chunks in range.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from longtake.memory.chunk import Chunk, ChunkInfo


class ChunkStore(Protocol):
    """Where evicted chunks go and recalled ones come from.  See `Store` for the promises."""

    def put(self, chunk: Chunk, vectors: Tensor) -> bool:
        """Keep a chunk and its search vectors ``[L, W]``; False where it was not taken."""
        ...

    def read(self, number: int) -> Chunk:
        """A whole chunk on the CPU.  Not to be changed: it may be the only copy in RAM."""
        ...

    def layer(self, number: int, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``[H, T, D]`` of one layer on the CPU.  Not to be changed."""
        ...

    def positions(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Positions int32 ``[A, T]``, and weights float32 ``[T]`` or None."""
        ...

    def info(self, number: int) -> ChunkInfo:
        """What is known about a chunk."""
        ...

    def note(self, key: str, value: object) -> None:
        """Keep a JSON value under a name, durable together with the chunks put before."""
        ...

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        ...

    def sync(self) -> None:
        """Return when everything put and noted survives a crash."""
        ...

    def close(self) -> None:
        """Sync, and give everything back."""
        ...


class Index(Protocol):
    """Chunks by how well their keys answer a query: the inner product, for each layer apart.

    A call looks at the chunks with ``first <= number < last``, None: to the newest.  Numbers are
    strictly increasing, so that bounds time as well.  Where ``only`` is given, int64 chunk numbers
    that increase, it looks at no others; those that are not here are ignored.  N is how many are
    left.  What is returned is on the CPU.  A wrong ``only`` or shape, or a negative k, is a
    ValueError.
    """

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes it holds, room to grow included."""
        ...

    @property
    def is_staged(self) -> bool:
        """Whether `search` is much cheaper than `scores`."""
        ...

    def add(self, number: int, vectors: Tensor) -> None:
        """Take in a chunk's search vectors ``[L, W]``.

        Raises:
            ValueError: if the number is not above all before, or the shape is another.
        """
        ...

    def extend(self, numbers: Sequence[int], vectors: Tensor) -> None:
        """Take in many at once, ``[L, n, W]``.  Raises like `add`; all or none."""
        ...

    def remove(self, numbers: Sequence[int]) -> None:
        """Forget chunks; numbers that are not here are ignored."""
        ...

    def clear(self) -> None:
        """Forget all; numbers may begin anywhere again."""
        ...

    def numbers(
        self, first: int = 0, last: int | None = None, only: Tensor | None = None
    ) -> Tensor:
        """int64 ``[N]``: the chunks looked at, oldest first."""
        ...

    def scores(
        self, query: Tensor, first: int = 0, last: int | None = None, only: Tensor | None = None
    ) -> Tensor:
        """float32 ``[L, N]`` for a query ``[L, W]``, in the order of `numbers`."""
        ...

    def layer_scores(
        self,
        layer: int,
        query: Tensor,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> Tensor:
        """float32 ``[N]`` of one layer for its query ``[W]``, in the order of `numbers`."""
        ...

    def search(
        self,
        query: Tensor,
        k: int,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The k best of each layer, best first, equal ones oldest first.

        Returns:
            Numbers int64 ``[L, k']``, and scores float32 ``[L, k']``; k' = min(k, N).
        """
        ...

    def layer_search(
        self,
        layer: int,
        query: Tensor,
        k: int,
        first: int = 0,
        last: int | None = None,
        only: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The k best of one layer for its query ``[W]``: ``[k']`` twice, as in `search`."""
        ...
