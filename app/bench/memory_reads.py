"""How fast chunks are written through and read back cold, beside plain reads and other stores.

Chunks of the shape that Qwen2.5-VL-7B leaves: 28 layers, 128 tokens, 4 key heads of 128, 16 bits:
256 KiB a layer, 7.3 MB a chunk.  Before each read the kernel is told to drop the files from its
cache (`posix_fadvise`, DONTNEED), which it may do only in part.

Beside the store: plain `pread`s of as many bytes at as many random places, by as many threads;
safetensors, a file a chunk; SQLite, a row a layer.  All sync each chunk; the store is measured
once more as it is used, with a commit a second.  When the clock stops all is on the device.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from longtake.bench.frame import Row, Say, compared, interleave, median, timed
from longtake.memory import files
from longtake.memory.chunk import Chunk, ChunkInfo, summarize
from longtake.memory.config import MemoryConfig
from longtake.memory.reading import THREADS
from longtake.memory.store import Store

SEED = 0
NEEDED_MB_S = 14.7  # Qwen2.5-VL-7B: 2 frames a second, 128 tokens each, 57,344 bytes a token


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Of what is written and read."""

    chunks: int = 64
    layers: int = 28
    heads: int = 4
    tokens: int = 128
    dim: int = 128

    @property
    def layer_nbytes(self) -> int:
        """Keys and values of 16 bits."""
        return 2 * 2 * self.heads * self.tokens * self.dim

    @property
    def nbytes(self) -> int:
        """All there is."""
        return self.chunks * self.layers * self.layer_nbytes


def rows(
    repeats: int, say: Say, folder: Path | None = None, sizes: Sizes | None = None
) -> list[Row]:
    """Measure on one file system, each in turn; medians of MB/s.

    Args:
        repeats: counted runs of each.
        folder: where to write, some 5 times the chunks' bytes; a temporary one by default.
    """
    sizes = sizes or Sizes()
    with TemporaryDirectory(prefix="longtake-bench-", dir=folder) as home:
        say(f"chunks in {home}, on {file_system(Path(home))}")
        chunks = _chunks(sizes)
        kinds: list[Kind] = [
            Segments(Path(home) / "segments", sizes),
            Segments(Path(home) / "grouped", sizes, commit_s=1.0),
            Files(Path(home) / "files", sizes),
            Blobs(Path(home) / "blobs", sizes),
        ]
        writes = {kind.write_name: _writing(kind, chunks, sizes) for kind in kinds}
        written = interleave(writes, repeats, say)
        chunks.clear()
        plain = f"plain random preads, {THREADS} threads"
        reads = {plain: _plainly(Path(home) / "segments", sizes)}
        reads |= {kind.read_name: _reading(kind, sizes) for kind in kinds if kind.read_name}
        read = interleave(reads, repeats, say)
    needed = Row("made by Qwen2.5-VL-7B at 2 frames/s", NEEDED_MB_S, "MB/s")
    reference = Row(plain, median(read.pop(plain)), "MB/s")
    return [
        *(compared(name, median(found), "MB/s", needed) for name, found in written.items()),
        needed,
        *(compared(name, median(found), "MB/s", reference) for name, found in read.items()),
        reference,
    ]


class Kind(Protocol):
    """A way to keep chunks in a folder.  What has no name is not measured."""

    folder: Path
    write_name: str
    read_name: str

    def write(self, chunks: Iterable[Chunk]) -> None:
        """All of them, durably, in a new folder."""
        ...

    def opened(self) -> AbstractContextManager[Callable[[], int]]:
        """Reads every layer of every chunk, layers in the decoder's order; bytes that came."""
        ...


class Segments:
    """Our store."""

    def __init__(self, folder: Path, sizes: Sizes, commit_s: float = 0.0) -> None:
        self.folder, self._sizes = folder, sizes
        self._config = MemoryConfig(ram_bytes=0, commit_s=commit_s)
        self._is_grouped = bool(commit_s)
        synced = f"commits each {commit_s:g} s" if self._is_grouped else "synced each chunk"
        self.write_name = f"write: store, {synced}"
        self.read_name = "" if self._is_grouped else f"read cold: store, {THREADS} threads"

    def write(self, chunks: Iterable[Chunk]) -> None:
        with self._open() as store:
            for chunk in chunks:
                store.put(chunk, summarize(chunk.keys))
                if not self._is_grouped:
                    store.sync()
            store.sync()

    @contextmanager
    def opened(self) -> Iterator[Callable[[], int]]:
        with self._open() as store:
            yield lambda: self._read(store)

    def _read(self, store: Store) -> int:
        nbytes, layers = 0, range(self._sizes.layers)
        with store.fetch([range(self._sizes.chunks)] * len(layers)) as fetch:
            for layer in layers:
                found = fetch.layer(layer)
                nbytes += sum(s.keys.nbytes + s.values.nbytes for s in found if s is not None)
        return nbytes

    def _open(self) -> Store:
        return Store.open(self.folder, model="bench", fingerprint="bench", config=self._config)


class Files:
    """safetensors, a file a chunk, a tensor a layer."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self._sizes = folder, sizes
        self.write_name = "write: safetensors, a file a chunk, synced"
        self.read_name = f"read cold: safetensors, a file a chunk, {THREADS} threads"

    def write(self, chunks: Iterable[Chunk]) -> None:
        self.folder.mkdir()
        for chunk in chunks:
            pairs = torch.stack((chunk.keys, chunk.values), 1)
            path = self._path(chunk.info.number)
            save_file({str(layer): pair for layer, pair in enumerate(pairs)}, path)
            _sync(path)
            files.sync_folder(self.folder)

    @contextmanager
    def opened(self) -> Iterator[Callable[[], int]]:
        yield self._read

    def _read(self) -> int:
        opened = [safe_open(self._path(n), "pt") for n in range(self._sizes.chunks)]

        def one(place: tuple[int, int]) -> int:
            layer, number = place
            tensor: Tensor = opened[number].get_tensor(str(layer))  # type: ignore[no-untyped-call]
            return tensor.clone().nbytes  # only mapped so far

        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(one, _places(self._sizes)))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"


class Blobs:
    """SQLite, a row a layer, a transaction a chunk."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self._sizes = folder, sizes
        self.write_name = "write: SQLite, a row a layer, synced each chunk"
        self.read_name = f"read cold: SQLite, a row a layer, {THREADS} threads"

    def write(self, chunks: Iterable[Chunk]) -> None:
        self.folder.mkdir()
        with closing(self._connect()) as database:
            database.execute("PRAGMA page_size = 65536")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("CREATE TABLE layers (place INTEGER PRIMARY KEY, data BLOB)")
            for chunk in chunks:
                pairs = torch.stack((chunk.keys, chunk.values), 1)
                first = chunk.info.number * self._sizes.layers
                database.execute("BEGIN")
                database.executemany(
                    "INSERT INTO layers VALUES (?, ?)",
                    [(first + i, _bytes(pair)) for i, pair in enumerate(pairs)],
                )
                database.execute("COMMIT")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def opened(self) -> Iterator[Callable[[], int]]:
        yield self._read

    def _read(self) -> int:
        own = threading.local()
        opened: list[sqlite3.Connection] = []

        def one(place: tuple[int, int]) -> int:
            if not hasattr(own, "database"):
                own.database = self._connect()
                opened.append(own.database)
            layer, number = place
            (data,) = own.database.execute(
                "SELECT data FROM layers WHERE place = ?", (number * self._sizes.layers + layer,)
            ).fetchone()
            return len(data)

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                return sum(pool.map(one, _places(self._sizes)))
        finally:
            for database in opened:
                database.close()

    def _connect(self) -> sqlite3.Connection:
        path = self.folder / "layers.sqlite"
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _writing(kind: Kind, chunks: Sequence[Chunk], sizes: Sizes) -> Callable[[], float]:
    def write() -> float:
        rmtree(kind.folder, ignore_errors=True)
        return sizes.nbytes / 1e6 / timed(lambda: kind.write(chunks))

    return write


def _reading(kind: Kind, sizes: Sizes) -> Callable[[], float]:
    def read() -> float:
        came: list[int] = []
        with kind.opened() as read_all:
            _drop_cached(kind.folder)
            took_s = timed(lambda: came.append(read_all()))
        if came != [sizes.nbytes]:
            raise RuntimeError(f"{kind.read_name}: {came[0]} of {sizes.nbytes} bytes came back")
        return sizes.nbytes / 1e6 / took_s

    return read


def _plainly(folder: Path, sizes: Sizes) -> Callable[[], float]:
    """Reads of a layer's size at random pages of the store's own segments, none twice."""
    rng = random.Random(SEED)

    def read() -> float:
        _drop_cached(folder)
        paths = sorted(folder.rglob("*.kvseg"))
        each = sizes.layer_nbytes
        spots = [(i, at) for i, p in enumerate(paths) for at in range(0, _size(p) - each, each)]
        spots = rng.sample(spots, min(len(spots), sizes.chunks * sizes.layers))
        opened = [files.open_to_read(path) for path in paths]
        own = threading.local()

        def one(spot: tuple[int, int]) -> None:
            if not hasattr(own, "data"):
                own.data = memoryview(bytearray(each))
            files.read_into(opened[spot[0]], own.data, spot[1])

        def some(first: int) -> None:
            for spot in spots[first::THREADS]:
                one(spot)

        def run() -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(some, range(THREADS)))

        try:
            return len(spots) * each / 1e6 / timed(run)
        finally:
            for fd in opened:
                os.close(fd)

    return read


def _places(sizes: Sizes) -> Iterable[tuple[int, int]]:
    """Layer and chunk, in the decoder's order."""
    return product(range(sizes.layers), range(sizes.chunks))


def _chunks(sizes: Sizes) -> list[Chunk]:
    generator = torch.Generator().manual_seed(SEED)
    size = (2, sizes.layers, sizes.heads, sizes.tokens, sizes.dim)
    positions = torch.arange(sizes.tokens, dtype=torch.int32)[None]
    made = []
    for number in range(sizes.chunks):
        keys, values = torch.randn(size, generator=generator).to(torch.bfloat16)
        info = ChunkInfo(number, number / 2, number / 2, tokens=sizes.tokens)
        made.append(Chunk(info, keys, values, positions))
    return made


def _bytes(tensor: Tensor) -> memoryview:
    data: memoryview = tensor.contiguous().view(torch.uint8).numpy().data
    return data


def _size(path: Path) -> int:
    return path.stat().st_size


def _sync(path: Path) -> None:
    fd = files.open_to_append(path)
    try:
        files.sync_data(fd)
    finally:
        os.close(fd)


def _drop_cached(folder: Path) -> None:
    """Have the kernel forget what it keeps of these files, as far as it does."""
    for path in folder.rglob("*"):
        if path.is_file():
            fd = files.open_to_read(path)
            try:
                os.fsync(fd)
                if hasattr(os, "posix_fadvise"):  # not on macOS
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def file_system(folder: Path) -> str:
    """Its type and device, where the system tells."""
    best = ("", "an unknown file system")
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return best[1]
    at = folder.resolve()
    for device, mount, kind, *_ in map(str.split, lines):
        if at.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, f"{kind} ({device})")
    return best[1]
