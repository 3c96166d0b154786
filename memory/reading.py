"""The threads that read, and the memory that they read into: one set a store.

Threads start with the first work and end with `ReadPool.close`.  Memory is lent and comes back,
so that reading allocates nothing once it has run for a while, and little is kept idle.  What is
read is not known here.

H key/value heads, T tokens, D head dimension.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch

from longtake.memory.codecs import LayerShape

THREADS = 8
SPARE_BYTES = 64 << 20  # of blocks that nobody uses


class Block:
    """Memory for one layer of a chunk: ``[H, T, D]`` keys, then as many values."""

    __slots__ = ("data", "keys", "nbytes", "shape", "values")

    def __init__(self, shape: LayerShape) -> None:
        words = torch.empty((2, *shape.size), dtype=shape.dtype)
        self.shape, self.nbytes = shape, words.nbytes
        self.keys, self.values = words[0], words[1]
        self.data: memoryview = words.view(torch.uint8).view(-1).numpy().data


class Blocks:
    """Blocks, lent and taken back.  Any thread may call.

    Args:
        spare_bytes: kept while nobody uses them; what goes beyond is freed, of the shapes that
            were used longest ago first.
    """

    def __init__(self, spare_bytes: int = SPARE_BYTES) -> None:
        self._most = spare_bytes
        self._spare: OrderedDict[LayerShape, list[Block]] = OrderedDict()
        self._lock = threading.Lock()
        self.spare_nbytes = 0
        self.lent_nbytes = 0

    def take(self, shape: LayerShape) -> Block:
        """A block of that shape; of any content."""
        with self._lock:
            spare = self._spare.get(shape)
            block = spare.pop() if spare else None
            if block is not None:
                self.spare_nbytes -= block.nbytes
            self.lent_nbytes += shape.nbytes
        return block or Block(shape)

    def give_back(self, block: Block) -> None:
        """What `take` gave; the caller does not use it any more."""
        with self._lock:
            self.lent_nbytes -= block.nbytes
            self._spare.setdefault(block.shape, []).append(block)
            self._spare.move_to_end(block.shape)
            self.spare_nbytes += block.nbytes
            while self.spare_nbytes > self._most:
                self._drop_oldest()

    def clear(self) -> None:
        """Free what nobody uses."""
        with self._lock:
            self._spare.clear()
            self.spare_nbytes = 0

    def _drop_oldest(self) -> None:
        shape, spare = next(iter(self._spare.items()))
        if spare:
            self.spare_nbytes -= spare.pop().nbytes
        if not spare:
            del self._spare[shape]


class Work(Protocol):
    """Something that wants threads for a while."""

    def close(self) -> None:
        """End: what runs in the pool for it returns soon, whoever waits for it is told."""
        ...


class ReadPool:
    """Threads for reads, at most so many, and their memory.  Any thread may call."""

    def __init__(self, threads: int = THREADS) -> None:
        self.threads = threads
        self.blocks = Blocks()
        self._scratch = threading.local()
        self._executor: ThreadPoolExecutor | None = None
        self._works: set[Work] = set()
        self._is_closed = False
        self._lock = threading.Lock()

    def enter(self, work: Work) -> None:
        """From now on `close` ends it.  Raises ValueError if the pool is closed."""
        with self._lock:
            self._check_open()
            self._works.add(work)

    def leave(self, work: Work) -> None:
        """It has ended; twice is harmless."""
        with self._lock:
            self._works.discard(work)

    def run(self, job: Callable[[], None]) -> None:
        """Have a thread do it as soon as one is free.  `job` must not raise.

        Raises:
            ValueError: if the pool is closed.
        """
        with self._lock:
            self._check_open()
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.threads, "longtake-read")
            self._executor.submit(job)

    def scratch(self, nbytes: int) -> memoryview:
        """Memory of the calling thread, at least so long; valid until it asks again."""
        data = getattr(self._scratch, "data", None)
        if data is None or len(data) < nbytes:
            data = self._scratch.data = memoryview(bytearray(nbytes))
        return data

    def clear(self) -> None:
        """Free the memory that nobody uses: it may hold what was read before."""
        self.blocks.clear()
        self._scratch = threading.local()

    def close(self) -> None:
        """End all work, and the threads when their last reads return.  Twice is harmless."""
        with self._lock:
            self._is_closed = True
            works, executor = tuple(self._works), self._executor
            self._executor = None
        for work in works:
            work.close()
        if executor is not None:
            executor.shutdown()
        self.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this memory is closed: nothing more can be read from it")
