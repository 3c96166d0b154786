"""The RAM tier: the chunks used last, within a number of bytes.

Everything in it lies on disk too, so that dropping is free.  Disk is not known here.
"""

from collections import OrderedDict

from longtake.memory.chunk import Chunk


class RamCache:
    """Least recently used goes first: the caller lets one thread in at a time.

    Args:
        capacity_bytes: of all tensors in it; 0: it stays empty.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._chunks: OrderedDict[int, Chunk] = OrderedDict()
        self.nbytes = 0  # of all tensors in it now
        self.hits = 0
        self.misses = 0

    def get(self, number: int) -> Chunk | None:
        """The chunk of that number, which becomes the newest; counts a hit or a miss."""
        chunk = self._chunks.get(number)
        if chunk is None:
            self.misses += 1
            return None
        self.hits += 1
        self._chunks.move_to_end(number)
        return chunk

    def put(self, chunk: Chunk) -> None:
        """Keep a chunk, dropping the oldest for it; one larger than all room is not kept."""
        self.drop(chunk.info.number)
        if chunk.nbytes > self._capacity_bytes:
            return
        while self.nbytes + chunk.nbytes > self._capacity_bytes:
            _, oldest = self._chunks.popitem(last=False)
            self.nbytes -= oldest.nbytes
        self._chunks[chunk.info.number] = chunk
        self.nbytes += chunk.nbytes

    def numbers(self) -> list[int]:
        """Of the chunks that are here, in no order."""
        return list(self._chunks)

    def clear(self) -> None:
        """Forget all chunks."""
        self._chunks.clear()
        self.nbytes = 0

    def drop(self, number: int) -> None:
        """Forget a chunk, if it is here."""
        chunk = self._chunks.pop(number, None)
        if chunk is not None:
            self.nbytes -= chunk.nbytes
