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
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

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
from longtake.memory.fetching import Fetch
from longtake.memory.folder import MemoryFolder
from longtake.memory.forgetting import Forgotten
from longtake.memory.ladder import RUNGS, Ladder, base_of
from longtake.memory.marks import Gap, Missing, Span
from longtake.memory.queued import Queued, QueuedChunk, QueuedGap, QueuedNote
from longtake.memory.reading import ReadPool
from longtake.memory.record import ChunkCorrupt, identity_of
from longtake.memory.staging import Staged, Staging
from longtake.memory.writer import Writer

_log = logging.getLogger(__name__)
T = TypeVar("T")


class ChunkMissing(LookupError):
    """The memory holds no chunk of this number, or only its picture."""


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
    rungs: dict[str, int] = field(default_factory=dict)  # chunks by codec, or "picture"


class Store:
    """The memory of one take.  Made by `Store.open`; any thread may call.

    One process writes to a folder; others may open it read-only and see what is durable.
    """

    def __init__(
        self, folder: MemoryFolder, config: MemoryConfig, clock: Callable[[], float]
    ) -> None:
        self._folder, self._config = folder, config
        self._catalog, self._segments = folder.catalog, folder.segments
        identity = identity_of(folder.catalog.fingerprint)
        self._archive = Archive(folder.segments, identity)
        self._encoder = Encoder(identity, folder.key_bias)
        self._cache = RamCache(config.ram_bytes)
        self._staging = Staging()
        self._reads = ReadPool()
        self._lock = threading.RLock()  # of the cache, the counts and what follows
        self._putting = threading.Lock()  # one chunk at a time comes in
        self._queued: dict[int, QueuedChunk] = {}  # until they are durable, oldest first
        self._notes: dict[str, str] = {}  # until they are written
        self._infos: list[ChunkInfo] = []  # as far as they were asked for
        self._seen = folder.catalog.generation  # to which `_infos` belongs
        self._corrupt = self._refused = self._degraded = 0
        self._is_closed = False
        self._desk = Desk(
            folder, self._archive, self._encoder, config, clock, self._settle, self._moved
        )
        self._writer = Writer(self._desk, config.queue_bytes, "longtake-writer")
        self._desk.on_retreat(self._writer.take_back)

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
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder.path

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
            ValueError: if the chunk does not fit.
            After any of these the chunk is not in the store, and all earlier ones are.
        """
        with self._putting:
            with self._writing():
                newest = self._last()
                if newest is not None and self._is_here(chunk.info, newest):
                    return True
                _check_geometry(chunk, vectors, newest)
            entry = self._admit(chunk, vectors)
            if isinstance(entry, QueuedChunk):
                with self._lock:
                    self._queued[entry.info.number] = entry
            try:
                self._writer.put(entry)
            except BaseException:
                with self._lock:
                    self._queued.pop(chunk.info.number, None)
                    self._infos.clear()
                raise
            return isinstance(entry, QueuedChunk)

    def read(self, number: int) -> Chunk:
        """A whole chunk on the CPU, from RAM or disk.  Its tensors are not to be changed.

        Raises:
            ChunkMissing: if there is none of that number, or only its picture is left.
            ChunkCorrupt: if its bytes on disk have changed.
        """
        found = self.find(number)
        if isinstance(found, Chunk):
            return found
        chunk = self._from_disk(found, OpenRecord.chunk)
        with self._lock:
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
        rows = [row for row in self._rows(first, last) if row.codec in _WITH_KEYS]
        if not rows:
            return torch.empty(0, dtype=torch.int64), torch.empty(0, 0, 0)
        layers, heads, dim = rows[0].geometry
        vectors = torch.empty(layers, len(rows), heads * dim)
        numbers: list[int] = []
        refused: list[ChunkCorrupt] = []
        for row in rows:
            try:
                vectors[:, len(numbers)] = self.vectors(row.info.number)
            except ChunkCorrupt as error:
                refused.append(error)
            except ChunkMissing:  # gone meanwhile
                continue
            else:
                numbers.append(row.info.number)
        if refused:
            _log.warning(
                "%d of %d chunks are left out of the index, the first because %s",
                *(len(refused), len(rows), refused[0]),
            )
        return torch.tensor(numbers, dtype=torch.int64), vectors[:, : len(numbers)]

    # ---------------------------------------------------------------- what is known

    def info(self, number: int) -> ChunkInfo:
        """What is known about a chunk, also where only its picture is left.

        Raises ChunkMissing.
        """
        return self._known(number).info

    def infos(self, first: int = 0, last: int | None = None) -> list[ChunkInfo]:
        """Chunks with first <= number < last, oldest first.

        Asked again, it reads only what is new: some 200 bytes of RAM a chunk are kept for that.
        """
        with self._reading():
            known = self._infos
            behind = known[-1].number + 1 if known else 0
            known.extend(row.info for row in self._rows(behind))
            low = bisect_left(known, first, key=_number)
            high = len(known) if last is None else bisect_left(known, last, key=_number)
            return known[low:high]

    def has_keys(self, number: int) -> bool:
        """True if a chunk can be recalled; False where only its picture is left, or nothing."""
        try:
            return self._known(number).codec in _WITH_KEYS
        except ChunkMissing:
            return False

    def keyed(self, first: int = 0, last: int | None = None) -> list[int]:
        """Numbers of the chunks with keys, first <= number < last, rising."""
        return [row.info.number for row in self._rows(first, last) if row.codec in _WITH_KEYS]

    def span(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Numbers [first, last) of the chunks that touch this time; (0, 0) if none does."""
        infos = [i for i in self.infos() if i.end_s >= start_s and i.start_s <= end_s]
        return (infos[0].number, infos[-1].number + 1) if infos else (0, 0)

    @property
    def next_number(self) -> int:
        """What the next new chunk is called; no number is used twice."""
        with self._reading():
            queued = next(reversed(self._queued), -1)
            return max(self._catalog.next_number, queued + 1)

    @property
    def generation(self) -> int:
        """Changes when chunks were removed, or lost their keys."""
        with self._reading():
            return self._catalog.generation

    def rungs(self) -> dict[str, int]:
        """Chunks by codec, from the top of the ladder down; "picture": without keys."""
        found: dict[str, int] = {}
        for row in self._catalog.rungs().items():
            found[base_of(row[0])] = found.get(base_of(row[0]), 0) + row[1]
        with self._reading():
            for queued in self._queued.values():
                if queued.place is None:
                    name = base_of(queued.codec)
                    found[name] = found.get(name, 0) + 1
        return {name: found[name] for name in RUNGS if name in found}

    def gaps(self) -> list[Gap]:
        """Stretches of time that were seen and are not held, in time order."""
        with self._reading():
            return self._catalog.marks.gaps()

    def refresh(self) -> bool:
        """For a reader: True if its writer has made more durable, or changed something."""
        with self._reading():
            known, generation = len(self._infos), self._catalog.generation
            if generation != self._seen:
                self._infos.clear()
                self._seen = generation
                self._cache.clear()
                return True
            self.infos()
            return len(self._infos) > known

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
                    self._notes.pop(key)
                    if before is not None:
                        self._notes[key] = before
                raise

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        with self._reading():
            text = self._notes.get(key)
        return self._catalog.noted(key, default) if text is None else json.loads(text)

    def keep(self, start_s: float, end_s: float) -> int:
        """From now on chunks that touch this time never age; how many there are.

        Raises:
            ValueError: if the times are not in order.
        """
        span = Span(start_s, end_s)
        with self._writing():
            pass
        self._writer.run(lambda: self._desk.mark(lambda: self._catalog.marks.keep(span)))
        first, last = self.span(start_s, end_s)
        return len(self.infos(first, last)) if last else 0

    def release(self, start_s: float, end_s: float) -> None:
        """Chunks of this time may age again.  Raises ValueError as `keep`."""
        span = Span(start_s, end_s)
        with self._writing():
            pass
        self._writer.run(lambda: self._desk.mark(lambda: self._catalog.marks.release(span)))

    def kept(self) -> list[Span]:
        """Stretches of time that never age, in order."""
        with self._reading():
            return self._catalog.marks.kept()

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
        with self._putting:
            with self._writing():
                pass
            self._writer.drain()
            try:
                return self._writer.run(lambda: self._desk.forget(span, camera, unstored))
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
                refused=self._refused,
                degraded=self._degraded,
                aged=self._desk.ager.aged,
                rungs=self.rungs(),
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

    def __len__(self) -> int:
        with self._reading():
            waiting = sum(one.place is None for one in self._queued.values())
            return len(self._catalog) + waiting

    def __contains__(self, number: int) -> bool:
        try:
            self._known(number)
        except ChunkMissing:
            return False
        return True

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
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise ValueError(f"{self.folder}: this memory is closed")
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            if self._folder.read_only:
                raise io.UnsupportedOperation(f"{self.folder}: this memory is open read-only")
            yield

    def _known(self, number: int) -> Row:
        """Of a chunk wherever it is.  Raises ChunkMissing."""
        with self._reading():
            queued = self._queued.get(number)
        row = self._catalog.row(number) if queued is None else queued.row
        if row is None:
            raise ChunkMissing(f"{self.folder}: no chunk {number} among {len(self)}")
        return row

    def _row(self, number: int) -> Row:
        """Of a chunk with keys."""
        row = self._known(number)
        if row.codec not in _WITH_KEYS:
            raise ChunkMissing(f"{self.folder}: of chunk {number} only the picture is left")
        return row

    def _rows(self, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """Of all chunks in range, oldest first, those on their way too."""
        with self._reading():
            queued = [one for n, one in self._queued.items() if n >= first]
        before = queued[0].info.number if queued else last
        if last is not None and before is not None:
            before = min(before, last)
        yield from self._catalog.rows(first, before)
        for one in queued:
            if last is None or one.info.number < last:
                yield one.row

    def _last(self) -> Row | None:
        queued = next(reversed(self._queued.values()), None)
        return self._catalog.last() if queued is None else queued.row

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
        """True if this very chunk was put before.  Raises ValueError if it came out of order."""
        if info.number > newest.info.number:
            if info.number < self._catalog.next_number:
                raise ValueError(f"cannot put {info}: that number was another chunk's, now gone")
            if info.start_s < newest.info.start_s:
                raise ValueError(
                    f"cannot put {info}: it begins before chunk {newest.info.number}, at "
                    f"{newest.info.start_s:g} s; session time only goes forward"
                )
            return False
        try:
            row = self._known(info.number)
        except ChunkMissing:
            row = None
        if row is not None and row.info == info:
            return True
        found = f"that number is {row.info}" if row else f"the newest is {newest.info.number}"
        raise ValueError(f"cannot put {info}: {found}, and a chunk is never changed or inserted")

    def _admit(self, chunk: Chunk, vectors: Tensor) -> Queued:
        """The entry for a new chunk, as back-pressure has it."""
        codec = self._encoder.name(self._config.codec)
        geometry = (chunk.layers, chunk.heads, chunk.dim)
        share = 0.5 if self._config.back_pressure == "degrade" else 1.0
        policy = self._config.back_pressure if self._config.queue_bytes else "block"
        if policy == "block" or self._writer.has_room(chunk.nbytes, share):
            staged = self._staging.copy(chunk, vectors)
            return QueuedChunk(chunk.info, geometry, codec, staged=staged)
        info = chunk.info
        if policy == "drop":
            with self._lock:
                self._refused += 1
            missing = (info.number, info.number, info.start_s, info.end_s, 1, "dropped")
            return QueuedGap(Missing(*missing))
        return self._degrade(self._staging.copy(chunk, vectors), chunk.info, geometry)

    def _degrade(
        self, staged: Staged, info: ChunkInfo, geometry: tuple[int, int, int]
    ) -> QueuedChunk:
        """A chunk encoded at once, in the first codec below the usual one that fits the queue."""
        names = RUNGS[RUNGS.index(self._config.codec) + 1 :]
        lower = [name for name in names if name in _CODECS] or [self._config.codec]
        for i, name in enumerate(lower):
            record = self._encoder.encode(staged.chunk, staged.vectors, name)
            share = 1 - 0.5 ** (i + 2)  # 3/4, 7/8: each rung leaves room for the next
            if self._writer.has_room(len(record), share):
                break
        with self._lock:
            self._degraded += 1
        return QueuedChunk(info, geometry, self._encoder.name(name), record=record)

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

    def _moved(self, numbers: Sequence[int]) -> None:
        """From the desk: what RAM has of these is not what the disk has any more."""
        with self._lock:
            for number in numbers:
                self._cache.drop(number)
            self._infos.clear()
            self._seen = self._catalog.generation


_CODECS = ("raw", "int8", "kivi4", "kivi2")
_WITH_KEYS = {*_CODECS, *(f"unbiased-{name}" for name in _CODECS)}


def _check_geometry(chunk: Chunk, vectors: Tensor, newest: Row | None) -> None:
    geometry = (chunk.layers, chunk.heads, chunk.dim)
    if newest is not None and newest.geometry != geometry:
        raise ValueError(
            f"{chunk}: {geometry} layers, heads and dimension; "
            f"this memory holds chunks of {newest.geometry}"
        )
    if vectors.shape != (chunk.layers, chunk.heads * chunk.dim):
        raise ValueError(
            f"{chunk}: search vectors {list(vectors.shape)}, "
            f"expected [{chunk.layers}, {chunk.heads * chunk.dim}]"
        )


def _number(info: ChunkInfo) -> int:
    return info.number
