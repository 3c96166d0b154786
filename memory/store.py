"""Everything a take has seen and no longer holds in its window: RAM over disk, nothing lost.

A chunk is written through: `put` queues a copy, one thread writes it to the log, and it survives
a crash when the next commit has passed (`commit_s` after it was written at most, or `sync`).  The
order is payload, fdatasync, row: a row never names bytes that may be missing.  Until it is durable
a chunk is read from the queue, later from RAM or disk.  Searching is not known here; the vectors
for it are kept.

L layers, H key/value heads, T tokens, D head dimension, A position axes, W = H*D, N chunks.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor

from longtake.memory.album import Album
from longtake.memory.archive import Archive, OpenRecord
from longtake.memory.cache import RamCache
from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.config import MemoryConfig
from longtake.memory.desk import Desk
from longtake.memory.encoding import Encoder
from longtake.memory.events import Event
from longtake.memory.fetching import Fetch
from longtake.memory.folder import MemoryFolder
from longtake.memory.forgetting import Forgotten
from longtake.memory.intake import Intake, check_camera, check_chunk, check_order
from longtake.memory.known import WITH_KEYS, ChunkMissing, Known
from longtake.memory.ladder import level_of
from longtake.memory.marks import OFFLINE, Span, unseen
from longtake.memory.places import RAM, Places
from longtake.memory.queued import Queued, QueuedChunk, QueuedEvent, QueuedGap, QueuedNote
from longtake.memory.reading import ReadPool
from longtake.memory.record import ChunkCorrupt, MemoryFromFuture, identity_of
from longtake.memory.writer import Writer

_log = logging.getLogger(__name__)
_MOST_UNSEEN = 1000  # outages on their way; earlier ones are not told before they are durable
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreStats:
    """A store at one moment."""

    chunks: int  # known now, those of which only the picture is left too
    durable: int  # of these, how many survive a crash
    queued: int  # chunks that are not durable yet
    queued_bytes: int  # of these, what they hold in RAM
    ram_bytes: int  # tensors in the cache
    disk_bytes: int  # segments, catalog and album
    hits: int  # reads served from RAM
    misses: int  # reads served from disk
    corrupt: int  # reads refused because bytes had changed
    dropped: int  # chunks whose bytes were gone when it was opened
    refused: int  # chunks that back-pressure dropped
    degraded: int  # chunks that back-pressure made smaller
    aged: int  # chunks that went down the ladder


class Store(Known):
    """The memory of one take.  Made by `Store.open`; any thread may call.

    One process writes to a folder; others may open it read-only and see what is durable.
    """

    def __init__(
        self, folder: MemoryFolder, config: MemoryConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(folder)
        identity = identity_of(folder.catalog.fingerprint)
        self._archive = Archive(folder.segments, identity)
        self._encoder = Encoder(identity, folder.key_bias)
        self._cache = RamCache(config.ram_bytes)  # under the lock, as the counts are
        self._corrupt = 0
        self._moves = 0  # rises when chunks are gone, or lie elsewhere
        self._reads = ReadPool()
        self._desk = Desk(
            folder, self._archive, self._encoder, config, clock, self._settle, self._moved
        )
        self._writer = Writer(self._desk, config.queue_bytes, "longtake-writer")
        self._desk.on_retreat(self._writer.take_back)
        self._intake = Intake(config, self._encoder, self._writer)
        self._putting = threading.Lock()  # one chunk at a time comes in

    @classmethod
    def open(
        cls,
        folder: Path | None,
        *,
        model: str,
        fingerprint: str,
        config: MemoryConfig | None = None,
        read_only: bool = False,
        key_bias: Tensor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Open a memory, or begin one.

        What a crash left behind the last durable chunk is cut; the newest chunks whose bytes are
        cut off are dropped, counted in `stats().dropped` and logged.

        Args:
            folder: where it lies; made where there is none.  None: a private folder among the
                system's temporary files, deleted at `close`.
            model: name of the model whose chunks these are.
            fingerprint: tells its weights and settings from others of the same name.
            config: budgets; the defaults if None.
            read_only: read along with a writer, in this or another process.
            key_bias: float32 ``[L, W]``, what the model's key projections add to every key;
                lossy codecs take it off first.
            clock: seconds that only ever grow; decides when a group of chunks is committed.

        Raises:
            MemoryInUse: if another writer has it open.
            WrongModel: if another model wrote it.
            MemoryFromFuture: if a newer longtake wrote it.
            MemoryDamaged: if its files do not belong together.
            MemoryMissing: if it is to be read and is not there.
            PermissionError: if the folder belongs to another user.
            MemoryUnlockable: if the file system has no locks.
        """
        settled = config or MemoryConfig()
        files = MemoryFolder(
            None if folder is None else Path(folder),
            model=model,
            fingerprint=fingerprint,
            config=settled,
            read_only=read_only,
            key_bias=None if key_bias is None else key_bias.detach().to("cpu", torch.float32),
        )
        return cls(files, settled, clock)

    @classmethod
    def open_as_found(
        cls, folder: Path, config: MemoryConfig | None = None, *, read_only: bool = False
    ) -> Self:
        """Open a memory whatever model made it, to look after it.  Raises as `open`."""
        settled = config or MemoryConfig()
        files = MemoryFolder(
            Path(folder), model=None, fingerprint=None, config=settled, read_only=read_only
        )
        return cls(files, settled, time.monotonic)

    @property
    def read_only(self) -> bool:
        """Whether it was opened to be read."""
        return self._folder.read_only

    @property
    def model(self) -> str:
        """Name of the model whose chunks these are."""
        return self._catalog.model

    @property
    def fingerprint(self) -> str:
        """Of that model."""
        return self._catalog.fingerprint

    @property
    def key_bias(self) -> Tensor | None:
        """Float32 ``[L, W]`` that lossy codecs take off the keys."""
        return self._folder.key_bias

    @property
    def album(self) -> Album:
        """The pictures of its chunks; they become durable with the chunks."""
        return self._folder.album

    # ---------------------------------------------------------------- chunks come in

    def put(self, chunk: Chunk, vectors: Tensor) -> bool:
        """Keep a chunk and its search vectors; the caller's tensors are copied.

        It can be read at once, and is on its way to the disk.  Where `queue_bytes` are on their
        way already, `back_pressure` speaks: wait, keep it in fewer bits, or drop it.

        Args:
            chunk: newer than all before, of the same layers, heads and dimension.  One that is
                here already, with the same info, is left as it is.
            vectors: ``[L, W]``, what `summarize` gives.

        Returns:
            False if it was dropped; then it is a gap.

        Raises:
            MemoryFull: if the disk or `disk_bytes` has no room, for this chunk or an earlier one
                that still waits.
            OSError: if the disk fails.
            ValueError: if the chunk does not fit, or is of a kind that cannot be kept.
            After any of these the chunk is not in the store, and all earlier ones are.
        """
        with self._putting:
            with self._writing():
                newest = self._last()
                if newest is not None and self._is_here(chunk.info, newest):
                    return True
                check_order(chunk.info, newest, self._catalog.next_number)
                check_chunk(chunk, vectors, newest, self.key_bias)
            entry = self._intake.admit(chunk, vectors)
            with self._lock:
                before, self._next = self._next, chunk.info.number + 1
                if isinstance(entry, QueuedChunk):
                    self._queued[entry.info.number] = entry
            try:
                self._writer.put(entry)
            except BaseException:
                with self._lock:
                    self._queued.pop(chunk.info.number, None)
                    self._infos.clear()
                    self._next = before
                raise
            if isinstance(entry, QueuedChunk):
                return True
            self.album.discard(chunk.info.number)
            return False

    def read(self, number: int) -> Chunk:
        """A whole chunk on the CPU, from RAM or disk.  Its tensors are not to be changed.

        Raises:
            ChunkMissing: if there is none of that number, or only its picture is left.
            ChunkCorrupt: if its bytes on disk have changed.
        """
        with self._lock:
            moves = self._moves
        found = self.find(number)
        if isinstance(found, Chunk):
            return found
        chunk = self._from_disk(found, OpenRecord.chunk)
        with self._lock:
            if moves == self._moves:  # otherwise it may be gone, or stand on another rung
                self._cache.put(chunk)
        return chunk

    def layer(self, number: int, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``[H, T, D]`` of one layer; from disk, no other layer is read.

        Raises:
            IndexError: if there is no such layer.
            ChunkMissing, ChunkCorrupt: as for `read`.
        """
        found = self.find(number)
        if not isinstance(found, Chunk):
            return self._from_disk(found, lambda record: record.layer(index))
        if not 0 <= index < found.layers:
            raise IndexError(f"layer {index}: chunk {number} has {found.layers}")
        return found.keys[index], found.values[index]

    def positions(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Positions int32 ``[A, T]``, and weights float32 ``[T]`` or None.  Raises like `read`."""
        found = self.find(number)
        if isinstance(found, Chunk):
            return found.positions, found.weights
        return self._from_disk(found, OpenRecord.positions)

    def vectors(self, number: int) -> Tensor:
        """Search vectors float32 ``[L, W]`` of a chunk, from disk.  Raises like `read`."""
        with self._reading():
            queued = self._queued.get(number)
        if queued is not None:
            return queued.vectors(self._encoder)
        return self._from_disk(self._row(number), OpenRecord.vectors)

    def fetch(
        self,
        by_layer: Sequence[Sequence[int]] | None = None,
        *,
        patience_s: float | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Fetch:
        """Reads for one question, ahead of the decoder; see `Fetch`.  To be closed."""
        with self._reading():
            return Fetch(self, self._reads, by_layer, patience_s=patience_s, is_over=is_over)

    def find(self, number: int) -> Chunk | Row:
        """A chunk that is in RAM, or where it lies.  Raises ChunkMissing; see `read`."""
        with self._reading():
            queued = self._queued.get(number)
            chunk = self._cache.get(number) if queued is None else None
            self._cache.hits += queued is not None
        if queued is not None:
            return queued.chunk(self._encoder)
        return self._row(number) if chunk is None else chunk

    def open_record(self, row: Row) -> OpenRecord:
        """A record on disk.  Raises ChunkCorrupt."""
        return self._archive.open(row)

    def refused(self, error: ChunkCorrupt) -> None:
        """A reader was refused changed bytes."""
        with self._lock:
            self._corrupt += 1

    def all_vectors(self, first: int = 0, last: int | None = None) -> tuple[Tensor, Tensor]:
        """What an index is built from: first <= number < last, oldest first.

        Returns:
            Numbers int64 ``[N]`` and vectors float32 ``[L, N, W]``.  Chunks without keys are left
            out; so are damaged ones, counted in `stats().corrupt` and logged, in one line.
        """
        rows = [row for row in self._rows(first, last) if row.codec in WITH_KEYS]
        if not rows:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, 0, 0)
        layers, heads, dim = rows[0].geometry
        vectors = torch.empty(layers, len(rows), heads * dim)
        numbers: list[int] = []
        refused: list[Exception] = []
        for row in rows:
            try:
                vectors[:, len(numbers)] = self.vectors(row.info.number)
            except ChunkMissing:  # gone meanwhile
                continue
            except (OSError, MemoryFromFuture) as error:
                refused.append(error)
            else:
                numbers.append(row.info.number)
        if refused:
            _log.warning(
                "%d of %d chunks are left out of the index, the first because %s",
                *(len(refused), len(rows), refused[0]),
            )
        return torch.tensor(numbers, dtype=torch.int64), vectors[:, : len(numbers)]

    def places(self) -> Places:
        """Where each chunk lies now: in RAM, if it could be read from there, or on disk alone.

        The first time reads all rows, some 0.15 s of 100,000 chunks, which 30 bytes of RAM each are
        kept for; from then on it takes milliseconds, and the store's lock for a part of one.
        """
        with self._reading():
            queued, cached = list(self._queued.values()), self._cache.numbers()
        levels = [level_of(one.codec) for one in queued]
        known = self._catalog.places().in_ram(cached)
        return known.put_on(RAM, [one.info for one in queued], levels)

    # ---------------------------------------------------------------- notes, kept moments

    def note(self, key: str, value: object) -> None:
        """Keep a JSON value under a name.  It becomes durable together with the chunks put
        before it, at the next commit.  Raises TypeError if it is no JSON.
        """
        text = json.dumps(value)
        with self._putting:
            with self._writing():
                before = self._notes.get(key)
                self._notes[key] = text
            try:
                self._writer.put(QueuedNote(key, text))
            except BaseException:
                with self._lock:
                    self._notes.pop(key, None)
                    if before is not None:
                        self._notes[key] = before
                raise

    def miss_span(
        self, start_s: float, end_s: float, camera: str = "", reason: str = OFFLINE
    ) -> None:
        """Remember that a camera showed nothing in this time.  It waits for no disk.

        A gap at once, durable with the next commit.  One that touches another of the same
        camera becomes one with it, so that an outage may be told while it lasts, again and
        again.  It is no chunk: `forget` of that time leaves it.

        Raises:
            ValueError: if the times are not in order, the reason is none of `marks.UNSEEN`, or
                the camera's name is too long.
            OSError: as `put`; then it is not remembered.
        """
        check_camera(camera)
        missing = unseen(start_s, end_s, camera, reason)
        with self._writing():
            self._unseen = [*self._unseen[-_MOST_UNSEEN:], missing]
        try:
            self._writer.put(QueuedGap(missing))
        except BaseException:
            with self._lock:
                self._unseen = [one for one in self._unseen if one is not missing]
            raise

    def log(self, event: Event) -> Event:
        """Keep an event of the stream; returns it with its number.

        Found by `events` at once; durable with the next commit, `commit_s` later at most.  Where
        the disk takes nothing it waits in RAM.  `forget` of its time and camera takes it away.
        The newest `events.MOST_EVENTS` are kept.
        """
        with self._writing():
            logged = self.album.events.log(event)
        with suppress(OSError):  # told to whoever puts a chunk
            self._writer.put(QueuedEvent())
        return logged

    def keep(self, start_s: float, end_s: float) -> int:
        """From now on chunks that touch this time never age; how many there are.

        Raises:
            ValueError: if the times are not in order.
        """
        span = Span(start_s, end_s)
        with self._writing():
            pass
        self._writer.run(lambda: self._desk.mark(lambda: self._catalog.marks.keep(span)))
        return sum(span.touches(info.start_s, info.end_s) for info in self.infos())

    def release(self, start_s: float, end_s: float) -> None:
        """Chunks of this time may age again.  Raises ValueError as `keep`."""
        span = Span(start_s, end_s)
        with self._writing():
            pass
        self._writer.run(lambda: self._desk.mark(lambda: self._catalog.marks.release(span)))

    def forget(
        self,
        start_s: float,
        end_s: float,
        camera: str | None = None,
        *,
        unstored: Sequence[ChunkInfo] = (),
    ) -> Forgotten:
        """Remove the chunks that touch this time from RAM and disk, for good, kept ones too.

        When it returns no file of the folder holds a byte of them, of their pictures or of
        captions of that time.

        Args:
            camera: of this one alone; None: of all.
            unstored: chunks of that time that were seen and never put; their numbers, pictures
                and time are treated alike.

        Raises:
            ValueError: if the times are not in order.
            OSError: if the disk fails, or a reader keeps a log in use; call it again.
        """
        span = Span(start_s, end_s)
        with self._writing():
            self._moves += 1
        try:
            return self._writer.run(
                lambda: self._desk.forget(span, camera, unstored, self._writer.take_out)
            )
        finally:
            self._reads.clear()

    # ---------------------------------------------------------------- durability

    def drain(self) -> None:
        """Return when everything put and noted is written, if not durable yet.

        Raises:
            OSError: as `put`.
        """
        with self._writing():
            pass
        self._writer.drain()

    def sync(self) -> None:
        """Return when everything put and noted survives a crash.

        Raises:
            MemoryFull: if there is no room; everything stays readable, and the next `put` or
                `sync` tries again.
            OSError: if the disk failed; likewise.
        """
        with self._writing():
            pass
        with self._putting:
            self._writer.drain()
            self._writer.run(self._desk.commit)

    def tidy(self) -> int:
        """Let age what is due, and give free room in the databases back to the disk.

        Returns:
            How many chunks went down the ladder.
        """
        with self._writing():
            before = self._desk.ager.aged
        self._writer.drain()
        self._writer.run(self._desk.close_segment)
        while self._writer.run(self._desk.tend):
            pass
        self._writer.run(self._desk.compact)
        return self._desk.ager.aged - before

    def stats(self) -> StoreStats:
        """Counts and bytes of this moment."""
        with self._reading():
            waiting = [one for one in self._queued.values() if one.place is None]
            return StoreStats(
                chunks=len(self._catalog) + len(waiting),
                durable=self._catalog.durable,
                queued=len(self._queued),
                queued_bytes=sum(one.nbytes for one in self._queued.values()),
                ram_bytes=self._cache.nbytes,
                disk_bytes=self._folder.nbytes,
                hits=self._cache.hits,
                misses=self._cache.misses,
                corrupt=self._corrupt,
                dropped=self._folder.dropped,
                refused=self._intake.refused,
                degraded=self._intake.degraded,
                aged=self._desk.ager.aged,
            )

    def close(self) -> None:
        """Sync and give everything back; a temporary memory is deleted.  Twice is harmless.

        Raises:
            OSError: if the last chunks did not become durable.  It is closed nevertheless.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._reads.close()
        with closing(self._folder):
            left = self._writer.close()
            if not (self._folder.read_only or self._folder.is_temporary):
                self._desk.end(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- within

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            if self._folder.read_only:
                raise io.UnsupportedOperation(f"{self.folder}: this memory is open read-only")
            yield

    def _from_disk(self, row: Row, read: Callable[[OpenRecord], T]) -> T:
        """Read a record; once more where it was moved meanwhile.  Damage is counted."""
        while True:
            try:
                return read(self._archive.open(row))
            except ChunkCorrupt as error:
                found = self._row(row.info.number)
                if found.place == row.place:
                    self.refused(error)
                    raise
                row = found

    def _is_here(self, info: ChunkInfo, newest: Row) -> bool:
        """True if this very chunk was put before.

        Raises:
            ValueError: if another one was, or it comes too late.
        """
        if info.number > newest.info.number:
            return False
        try:
            row = self._known(info.number)
        except ChunkMissing:
            row = None
        if row is not None and row.info == info:
            return True
        found = f"that number is {row.info}" if row else f"the newest is {newest.info.number}"
        raise ValueError(f"cannot put {info}: {found}, and a chunk is never changed or inserted")

    def _settle(self, done: Sequence[Queued]) -> None:
        """From the desk: these are durable, or will never be kept."""
        for one in done:
            if isinstance(one, QueuedChunk):
                whole = one.whole if one.place is not None else None
                with self._lock:
                    if whole is not None:
                        self._cache.put(whole)
                    self._queued.pop(one.info.number, None)
            elif isinstance(one, QueuedNote):
                with self._lock:
                    if self._notes.get(one.key) == one.text:
                        del self._notes[one.key]
            elif isinstance(one, QueuedGap):
                gap = one.missing
                with self._lock:
                    self._unseen = [m for m in self._unseen if not m.lies_in(gap)]

    def _moved(self, numbers: Sequence[int]) -> None:
        """From the desk: what RAM has of these is not what the disk has any more."""
        with self._lock:
            self._moves += 1
            for number in numbers:
                self._cache.drop(number)
            self._infos.clear()
            self._seen = self._catalog.generation
