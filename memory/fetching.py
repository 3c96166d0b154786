"""Bring chunks back, layer by layer, ahead of the decoder.

A fetch knows which chunks each layer wants, all of them at once or one layer at a time.  What
RAM has is handed out as it is.  The rest is read from disk, a layer's slice of a chunk each,
by several threads; while the decoder works on a layer the next ones are read already, as far as
`AHEAD` and `AHEAD_BYTES` allow.  A chunk that cannot be read, or does not come within the
caller's patience, is left out, and that alone.  How chunks are stored is not known here.

H key/value heads, T tokens, D head dimension, A position axes.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from torch import Tensor

from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk
from longtake.memory.codecs import LayerShape
from longtake.memory.layout import Segment
from longtake.memory.reading import Block, ReadPool
from longtake.memory.record import ChunkCorrupt, MemoryFromFuture
from longtake.memory.segments import Place

AHEAD = 2  # layers beyond the one that the decoder works on
AHEAD_BYTES = 128 << 20  # of them, in RAM; the decoder's own layer is always read
LOOK_S = 0.05  # how often a wait looks whether the question is over
_OPENED = 256  # records whose headers a fetch remembers

_log = logging.getLogger(__name__)


class Opened(Protocol):
    """A record whose header is read and verified.  Any thread may read from it."""

    @property
    def shape(self) -> LayerShape:
        """Of one layer, decoded."""
        ...

    def positions(self) -> tuple[Tensor, Tensor | None]:
        """int32 ``[A, T]``, and weights float32 ``[T]`` or None."""
        ...

    def scratch_nbytes(self, layer: int) -> int:
        """What `layer_into` needs beside the result.  Raises IndexError: no such layer."""
        ...

    def layer_into(self, layer: int, decoded: memoryview, scratch: memoryview) -> None:
        """Fill `decoded` with a layer's keys and then its values, ``[H, T, D]`` each.

        Raises:
            ChunkCorrupt, OSError: if its bytes are not those that were written, or do not come.
        """
        ...


class Source(Protocol):
    """What a fetch reads from.  Any thread may call."""

    def find(self, number: int) -> Chunk | Row:
        """A chunk that is in RAM, or where else it is; quick.  Raises LookupError: nowhere."""
        ...

    def open_record(self, row: Row) -> Opened:
        """Read a record's header.  Raises ChunkCorrupt, MemoryFromFuture, OSError."""
        ...

    def refused(self, error: ChunkCorrupt) -> None:
        """Is told of damaged bytes."""
        ...


class _Layer:
    """One layer on its way."""

    def __init__(self, count: int) -> None:
        self.found: list[Segment | None] = [None] * count
        self.blocks: list[Block] = []
        self.missing = 0  # reads that are not done
        self.is_wanted = True


class _Job(NamedTuple):
    state: _Layer
    layer: int
    place: int  # among the layer's chunks
    row: Row


class Fetch:
    """One question's reads.  Made by `Store.fetch`; one thread asks, and closes it.

    Args:
        source: where chunks are.
        pool: who reads.
        by_layer: chunk numbers that each layer wants, where that is known; otherwise `layer`
            is told.
        patience_s: how long the caller waits for the disk, in all; None: as long as it takes.
        is_over: looked at while waiting; once true nothing is waited for.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        source: Source,
        pool: ReadPool,
        by_layer: Sequence[Sequence[int]] | None = None,
        *,
        patience_s: float | None = None,
        is_over: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._pool, self._blocks = source, pool, pool.blocks
        self._by_layer = by_layer
        self.patience_s = patience_s  # what is left of it
        self._is_over, self._clock = is_over, clock
        self._places: dict[int, Chunk | Row | None] = {}  # by number, for this fetch
        self._opened: OrderedDict[Place | None, tuple[Opened, Tensor]] = OrderedDict()
        self._changed = threading.Condition()
        self._layers: dict[int, _Layer] = {}
        self._jobs: deque[_Job] = deque()  # in the order in which they are needed
        self._current = -1
        self._workers = 0
        self._ahead_nbytes = 0  # of layers beyond the current one
        self._is_closed = False
        self._error: BaseException | None = None  # a mistake of ours, not of the disk
        self._first_refusal: Exception | None = None
        self.refused = 0  # reads that failed
        self.late = 0  # reads that did not come in time
        pool.enter(self)

    def layer(self, layer: int, numbers: Sequence[int] | None = None) -> list[Segment | None]:
        """Chunks of a layer, ``[H, T, D]`` on the CPU, in the order of their numbers.

        None stands for a chunk that is gone, damaged or late.  The tensors are not to be
        changed, and are valid until the next call: their memory is used again.

        Args:
            layer: later than those before.
            numbers: of the chunks, where `by_layer` did not say them.

        Raises:
            ValueError: if the fetch, or the memory, is closed.
        """
        if numbers is None:
            assert self._by_layer is not None, "neither by_layer nor numbers"
            numbers = self._by_layer[layer]
        self._move_to(layer)
        wanted = self._plan(layer, numbers)
        for coming in range(layer + 1, min(layer + 1 + AHEAD, len(self._by_layer or ()))):
            self._plan(coming, (self._by_layer or ())[coming])
        self._start()
        return self._wait(wanted)

    def close(self) -> None:
        """Drop what was not read yet; a read under way ends by itself.  Twice is harmless."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._jobs.clear()
            for state in self._layers.values():
                self._release(state)
            self._layers.clear()
            self._places.clear()
            self._opened.clear()
            self._changed.notify_all()
        self._pool.leave(self)
        if self._first_refusal is not None:
            _log.warning("%d reads failed, the first because %s", self.refused, self._first_refusal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- the caller's side

    def _move_to(self, layer: int) -> None:
        """The decoder is there: what lies before is not needed any more."""
        with self._changed:
            self._check_open()
            self._current = layer
            for past in [n for n in self._layers if n < layer]:
                self._release(self._layers.pop(past))
            self._ahead_nbytes = sum(
                sum(block.nbytes for block in state.blocks)
                for n, state in self._layers.items()
                if n > layer
            )

    def _plan(self, layer: int, numbers: Sequence[int]) -> _Layer:
        """Hand out what RAM has, and note what is to be read."""
        known = self._layers.get(layer)
        if known is not None:
            return known
        state, jobs = _Layer(len(numbers)), []
        for place, number in enumerate(numbers):
            found = self._find(number)
            if isinstance(found, Chunk):
                state.found[place] = _segment_of(found, layer)
            elif found is not None:
                jobs.append(_Job(state, layer, place, found))
        state.missing = len(jobs)
        with self._changed:
            self._check_open()
            self._layers[layer] = state
            self._jobs.extend(jobs)
        return state

    def _find(self, number: int) -> Chunk | Row | None:
        """Looked up once a fetch."""
        if number not in self._places:
            try:
                self._places[number] = self._source.find(number)
            except LookupError as error:
                self._places[number] = None
                self._refuse(error)
        return self._places[number]

    def _start(self) -> None:
        """As many threads as there is work for, and no more than the pool has."""
        with self._changed:
            count = min(self._pool.threads - self._workers, len(self._jobs))
            self._workers += count
        for _ in range(count):
            self._pool.run(self._work)

    def _wait(self, state: _Layer) -> list[Segment | None]:
        """What came of a layer before patience ended; late reads are nobody's from then on."""
        with self._changed:
            while state.missing and not self._is_closed and self._error is None:
                wait_s = LOOK_S if self.patience_s is None else min(LOOK_S, self.patience_s)
                if wait_s <= 0 or self._is_over():
                    break
                begun = self._clock()
                self._changed.wait(wait_s)
                if self.patience_s is not None:
                    self.patience_s -= self._clock() - begun
            if self._error is not None:
                raise self._error
            self._check_open()
            self.late += state.missing
            state.is_wanted = False
            if state.missing:
                self._jobs = deque(job for job in self._jobs if job.layer != self._current)
            return state.found

    # ---------------------------------------------------------------- the pool's side

    def _work(self) -> None:
        """Read what is needed first, until there is nothing that may be read now."""
        job = self._next()
        while job is not None:
            segment, block = self._try(job)
            with self._changed:
                self._deliver(job, segment, block)
                job = self._next()

    def _next(self) -> _Job | None:
        with self._changed:
            if self._jobs and not self._is_closed:
                layer = self._jobs[0].layer
                if layer <= self._current or self._ahead_nbytes < AHEAD_BYTES:
                    return self._jobs.popleft()
            self._workers -= 1
            return None

    def _try(self, job: _Job) -> tuple[Segment | None, Block | None]:
        """Whatever goes wrong here loses this one chunk; our own mistakes go to the caller."""
        try:
            return self._read_wherever(job)
        except ChunkCorrupt as error:
            self._source.refused(error)
            self._refuse(error)
        except (LookupError, OSError, MemoryFromFuture) as error:
            self._refuse(error)
        except BaseException as error:
            with self._changed:
                self._error = error
        return None, None

    def _read_wherever(self, job: _Job) -> tuple[Segment | None, Block | None]:
        """A chunk may have been written anew elsewhere, and its old record be gone."""
        row = job.row
        while True:
            try:
                return self._read(job.layer, row)
            except OSError:
                now = self._source.find(row.info.number)
                if now == row:
                    raise
            self._places[row.info.number] = now
            if isinstance(now, Chunk):
                return _segment_of(now, job.layer), None
            row = now

    def _read(self, layer: int, row: Row) -> tuple[Segment, Block]:
        opened, positions = self._open(row)
        scratch = self._pool.scratch(opened.scratch_nbytes(layer))
        block = self._blocks.take(opened.shape)
        try:
            opened.layer_into(layer, block.data, scratch)
        except BaseException:
            self._blocks.give_back(block)
            raise
        return Segment(block.keys, block.values, positions), block

    def _open(self, row: Row) -> tuple[Opened, Tensor]:
        """A record with its positions; some are remembered."""
        known = self._opened.get(row.place)
        if known is None:
            opened = self._source.open_record(row)
            known = (opened, opened.positions()[0])
            with self._changed:
                self._opened[row.place] = known
                if len(self._opened) > _OPENED:
                    self._opened.popitem(last=False)
        return known

    def _deliver(self, job: _Job, segment: Segment | None, block: Block | None) -> None:
        """Under the lock."""
        state = job.state
        state.missing -= 1
        if state.is_wanted:
            state.found[job.place] = segment
        if block is not None and state.is_wanted:
            state.blocks.append(block)
            self._ahead_nbytes += block.nbytes if job.layer > self._current else 0
        elif block is not None:
            self._blocks.give_back(block)
        if not state.missing or self._error is not None:
            self._changed.notify_all()

    # ---------------------------------------------------------------- both

    def _refuse(self, error: Exception) -> None:
        with self._changed:
            self.refused += 1
            self._first_refusal = self._first_refusal or error

    def _release(self, state: _Layer) -> None:
        """Under the lock: its memory may be used again."""
        state.is_wanted = False
        for block in state.blocks:
            self._blocks.give_back(block)
        state.blocks.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this fetch is closed")


def _segment_of(chunk: Chunk, layer: int) -> Segment | None:
    if not 0 <= layer < chunk.layers:
        return None
    return Segment(chunk.keys[layer], chunk.values[layer], chunk.positions)
