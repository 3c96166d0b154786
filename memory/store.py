"""Everything a take has seen and no longer holds in its window: RAM over disk, nothing lost.

A chunk is written through: it is in the log and in RAM when `put` returns, and survives a
crash when the next commit has passed (`commit_s` later at most while chunks come, or at
`sync`).  The order is payload, fdatasync, row: a row never names bytes that may be missing.
Searching is not known here; the vectors for it are kept.

L layers, H key/value heads, T tokens, D head dimension, A position axes, W = H*D, N chunks.
"""

import io
import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from longtake.memory.album import Album
from longtake.memory.archive import Archive
from longtake.memory.cache import RamCache
from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.codecs import make_codec
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryFull
from longtake.memory.folder import MemoryFolder
from longtake.memory.record import ChunkCorrupt, encode_record, identity_of

_log = logging.getLogger(__name__)


class ChunkMissing(LookupError):
    """The memory holds no chunk of this number."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """A store at one moment."""

    chunks: int  # readable now
    durable: int  # of these, how many survive a crash
    ram_bytes: int  # tensors in the cache
    disk_bytes: int  # segments, catalog and album
    hits: int  # reads served from RAM
    misses: int  # reads served from disk
    corrupt: int  # reads refused because bytes had changed
    dropped: int  # chunks whose bytes were gone when it was opened


class Store:
    """The memory of one take.  Made by `Store.open`; any thread may call, one is served at a time.

    One process writes to a folder; others may open it read-only and see what is durable.
    """

    def __init__(
        self,
        folder: MemoryFolder,
        config: MemoryConfig,
        identity: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._catalog = folder.catalog
        self._segments = folder.segments
        self._archive = Archive(folder.segments, identity)
        self._codec = make_codec("raw")
        self._identity = identity
        self._config = config
        self._cache = RamCache(config.ram_bytes)
        self._infos: list[ChunkInfo] = []  # as far as they were asked for
        self._corrupt = 0
        self._clock = clock
        self._committed_s = clock()
        self._is_closed = False
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        folder: Path | None,
        *,
        model: str,
        fingerprint: str,
        config: MemoryConfig | None = None,
        read_only: bool = False,
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
            clock: seconds that only ever grow; decides when a group of chunks is committed.

        Raises:
            MemoryInUse: if another writer has it open.
            WrongModel: if another model wrote it.
            MemoryFromFuture: if a newer longtake wrote it.
            MemoryDamaged: if its files do not belong together.
            MemoryMissing: if it is to be read and is not there.
        """
        config = config or MemoryConfig()
        files = MemoryFolder(
            None if folder is None else Path(folder),
            model=model,
            fingerprint=fingerprint,
            config=config,
            read_only=read_only,
        )
        return cls(files, config, identity_of(fingerprint), clock)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder.path

    @property
    def read_only(self) -> bool:
        """Whether it was opened to be read."""
        return self._folder.read_only

    @property
    def album(self) -> Album:
        """The pictures of its chunks; they become durable with the chunks."""
        return self._folder.album

    def put(self, chunk: Chunk, vectors: Tensor) -> None:
        """Keep a chunk and its search vectors; the caller's tensors are copied.

        Args:
            chunk: newer than all before, of the same layers, heads and dimension.  One that is
                here already, with the same info, is left as it is.
            vectors: ``[L, W]``, what `summarize` gives.

        Raises:
            MemoryFull: if the disk or `disk_bytes` has no room.
            OSError: if the disk fails.
            ValueError: if the chunk does not fit.
            After any of these the chunk is not in the store, and all earlier ones are.
        """
        with self._writing():
            newest = self._catalog.last()
            if newest is not None and self._is_here(chunk.info, newest):
                return
            _check_geometry(chunk, vectors, newest)
            own = _on_cpu(chunk)
            record = encode_record(
                own, vectors.detach().to("cpu", torch.float32), self._codec, self._identity
            )
            self._make_room(len(record))
            place = self._segments.append(record)
            geometry = (own.layers, own.heads, own.dim)
            self._catalog.add(Row(own.info, geometry, place))
            if self._clock() - self._committed_s >= self._config.commit_s:
                try:
                    self._commit()
                except OSError:
                    self._catalog.withdraw(own.info.number)
                    self._segments.cut(place.offset)
                    raise
            self._cache.put(own)

    def read(self, number: int) -> Chunk:
        """A whole chunk on the CPU, from RAM or disk.  Its tensors are not to be changed.

        Raises:
            ChunkMissing: if there is none of that number.
            ChunkCorrupt: if its bytes on disk have changed.
        """
        with self._reading():
            chunk = self._cache.get(number)
            if chunk is None:
                chunk = self._archive.chunk(self._row(number))
                self._cache.put(chunk)
            return chunk

    def layer(self, number: int, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``[H, T, D]`` of one layer; from disk, no other layer is read.

        Raises:
            IndexError: if there is no such layer.
            ChunkMissing, ChunkCorrupt: as for `read`.
        """
        with self._reading():
            chunk = self._cache.get(number)
            if chunk is None:
                return self._archive.layer(self._row(number), index)
            if not 0 <= index < chunk.layers:
                raise IndexError(f"layer {index}: chunk {number} has {chunk.layers}")
            return chunk.keys[index], chunk.values[index]

    def positions(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Positions int32 ``[A, T]``, and weights float32 ``[T]`` or None.  Raises like `read`."""
        with self._reading():
            chunk = self._cache.get(number)
            if chunk is None:
                return self._archive.positions(self._row(number))
            return chunk.positions, chunk.weights

    def vectors(self, number: int) -> Tensor:
        """Search vectors float32 ``[L, W]`` of a chunk, from disk.  Raises like `read`."""
        with self._reading():
            return self._archive.vectors(self._row(number))

    def all_vectors(self, first: int = 0, last: int | None = None) -> tuple[Tensor, Tensor]:
        """What an index is built from: first <= number < last, oldest first.

        Returns:
            Numbers int64 ``[N]`` and vectors float32 ``[L, N, W]``.  Damaged chunks are left
            out, counted in `stats().corrupt` and logged, in one line.
        """
        with self._reading():
            rows = list(self._catalog.rows(first, last))
            if not rows:
                return torch.empty(0, dtype=torch.int64), torch.empty(0, 0, 0)
            layers, heads, dim = rows[0].geometry
            vectors = torch.empty(layers, len(rows), heads * dim)
            numbers: list[int] = []
            refused: list[ChunkCorrupt] = []
            for row in rows:
                try:
                    vectors[:, len(numbers)] = self._archive.vectors(row)
                except ChunkCorrupt as error:
                    refused.append(error)
                else:
                    numbers.append(row.info.number)
            if refused:
                self._corrupt += len(refused)
                _log.warning(
                    "%d of %d chunks are left out of the index, the first because %s",
                    *(len(refused), len(rows), refused[0]),
                )
            return torch.tensor(numbers, dtype=torch.int64), vectors[:, : len(numbers)]

    def info(self, number: int) -> ChunkInfo:
        """What is known about a chunk.  Raises ChunkMissing."""
        with self._reading():
            return self._row(number).info

    def infos(self, first: int = 0, last: int | None = None) -> list[ChunkInfo]:
        """Chunks with first <= number < last, oldest first.

        Asked again, it reads only what is new: some 200 bytes of RAM a chunk are kept for that.
        """
        with self._reading():
            known = self._infos
            behind = known[-1].number + 1 if known else 0
            known.extend(row.info for row in self._catalog.rows(behind))
            low = bisect_left(known, first, key=_number)
            high = len(known) if last is None else bisect_left(known, last, key=_number)
            return known[low:high]

    def span(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Numbers [first, last) of the chunks that touch this time; (0, 0) if none does."""
        with self._reading():
            return self._catalog.span(start_s, end_s)

    def note(self, key: str, value: object) -> None:
        """Keep a JSON value under a name.  It becomes durable together with the chunks put
        before it, at the next commit.  Raises TypeError if it is no JSON.
        """
        with self._writing():
            self._catalog.note(key, value)

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        with self._reading():
            return self._catalog.noted(key, default)

    def sync(self) -> None:
        """Return when everything put and noted survives a crash.

        Raises:
            MemoryFull: if there is no room for the catalog; everything stays readable, and the
                next `sync` tries again.
            OSError: if the disk failed; nothing more is taken in, see the message.
        """
        with self._writing():
            self._commit()

    def stats(self) -> StoreStats:
        """Counts and bytes of this moment."""
        with self._reading():
            return StoreStats(
                chunks=len(self._catalog),
                durable=self._catalog.durable,
                ram_bytes=self._cache.nbytes,
                disk_bytes=self._folder.nbytes,
                hits=self._cache.hits,
                misses=self._cache.misses,
                corrupt=self._corrupt,
                dropped=self._folder.dropped,
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
            with closing(self._folder):
                if self._folder.failure is not None:
                    lost = len(self._catalog) - self._catalog.durable
                    _log.error("%s: %d chunks never reached the disk", self.folder, lost)
                elif not (self._folder.read_only or self._folder.is_temporary):
                    self._commit_what_fits()

    def __len__(self) -> int:
        with self._reading():
            return len(self._catalog)

    def __contains__(self, number: int) -> bool:
        with self._reading():
            return self._catalog.row(number) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._is_closed:
                raise ValueError(f"{self.folder}: this memory is closed")
            try:
                yield
            except ChunkCorrupt:
                self._corrupt += 1
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            if self._folder.read_only:
                raise io.UnsupportedOperation(f"{self.folder}: this memory is open read-only")
            failure = self._folder.failure
            if failure is not None:
                raise OSError(failure.errno, failure.strerror, failure.filename) from failure
            yield

    def _row(self, number: int) -> Row:
        row = self._catalog.row(number)
        if row is None:
            raise ChunkMissing(f"{self.folder}: no chunk {number} among {len(self._catalog)}")
        return row

    def _is_here(self, info: ChunkInfo, newest: Row) -> bool:
        """True if this very chunk was put before.  Raises ValueError if it came out of order."""
        if info.number > newest.info.number:
            return False
        row = self._catalog.row(info.number)
        if row is not None and row.info == info:
            return True
        found = f"that number is {row.info}" if row else f"the newest is {newest.info.number}"
        raise ValueError(f"cannot put {info}: {found}, and a chunk is never changed or inserted")

    def _make_room(self, nbytes: int) -> None:
        """Begin a new segment where the last one is full.  Raises MemoryFull at `disk_bytes`."""
        limit = self._config.disk_bytes
        if limit is not None and self._folder.nbytes + nbytes > limit:
            raise MemoryFull(
                f"{self.folder}: {self._folder.nbytes} bytes, no room for {nbytes} more within "
                f"disk_bytes={limit}; raise it (--disk-bytes), or go on in another folder. "
                "Earlier chunks are kept"
            )
        if not self._segments.has_room(nbytes):
            self._commit()  # only the last segment ever holds what is not durable
            self._segments.roll()

    def _commit(self) -> None:
        self._folder.commit()
        self._committed_s = self._clock()

    def _commit_what_fits(self) -> None:
        """The last chance: on a full disk the newest chunks make room for the rows of the others.

        Raises:
            MemoryFull: if it came to that; says how many chunks it cost.
        """
        given_up = 0
        while True:
            try:
                self._commit()
                break
            except MemoryFull:
                newest = self._catalog.last()
                if newest is None or len(self._catalog) == self._catalog.durable:
                    raise
                self._catalog.withdraw(newest.info.number)
                self._segments.cut(newest.place.offset)
                given_up += 1
        if given_up:
            raise MemoryFull(
                f"{self.folder}: the disk is full; the newest {given_up} chunks could not be kept, "
                f"the first {self._catalog.durable} are. Free some space, or choose a memory "
                "folder on a larger disk"
            )


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


def _on_cpu(chunk: Chunk) -> Chunk:
    """A private, contiguous copy."""
    return Chunk(
        chunk.info,
        _copy(chunk.keys),
        _copy(chunk.values),
        _copy(chunk.positions),
        None if chunk.weights is None else _copy(chunk.weights),
    )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
