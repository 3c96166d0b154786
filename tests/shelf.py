"""A source of chunks for `Fetch` without a store: records in a log, faults put into reads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from longtake.memory.archive import Archive
from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk
from longtake.memory.codecs import make_codec
from longtake.memory.fetching import Opened
from longtake.memory.record import ChunkCorrupt, encode_record
from longtake.memory.segments import SegmentLog
from tests.chunks import make_chunk, vectors_of

IDENTITY = b"sixteen bytes !!"
Fault = Callable[[int, int], None]  # a chunk's number and a layer; raises, or waits


class Watched:
    """An open record whose layers are read through the shelf's fault."""

    def __init__(self, shelf: Shelf, number: int, opened: Opened) -> None:
        self._shelf, self._number, self._opened = shelf, number, opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    def layer_into(self, layer: int, decoded: memoryview, scratch: memoryview) -> None:
        self._shelf.reads.append((layer, self._number))
        self._shelf.threads.add(threading.get_ident())
        self._shelf.fault(self._number, layer)
        self._opened.layer_into(layer, decoded, scratch)


class Shelf:
    """Chunks on disk, and some in RAM.  `reads` are the layer reads in their order."""

    def __init__(self, folder: Path, segment_bytes: int = 1 << 20) -> None:
        self.log = SegmentLog(folder, segment_bytes=segment_bytes)
        self.archive = Archive(self.log, IDENTITY)
        self.rows: dict[int, Row] = {}
        self.ram: dict[int, Chunk] = {}
        self.reads: list[tuple[int, int]] = []
        self.opened: list[int] = []
        self.threads: set[int] = set()
        self.refusals: list[ChunkCorrupt] = []
        self.fault: Fault = lambda number, layer: None

    def put(self, *numbers: int, codec: str = "raw", **shape: Any) -> list[Chunk]:
        """Chunks written and synced; put again, a chunk lies elsewhere from then on."""
        chunks = [make_chunk(number, **shape) for number in numbers]
        self.write(chunks, codec)
        return chunks

    def write(self, chunks: list[Chunk], codec: str = "raw") -> None:
        """Those given."""
        for chunk in chunks:
            codecs = [make_codec(codec)] * chunk.layers
            record = encode_record(chunk, vectors_of(chunk), codecs, IDENTITY)
            if not self.log.has_room(len(record)):
                self.log.roll()
            geometry = (chunk.layers, chunk.heads, chunk.dim)
            self.rows[chunk.info.number] = Row(chunk.info, geometry, self.log.append(record))
        self.log.sync()

    def find(self, number: int) -> Chunk | Row:
        return self.ram[number] if number in self.ram else self.rows[number]

    def open_record(self, row: Row) -> Opened:
        self.opened.append(row.info.number)
        return Watched(self, row.info.number, self.archive.open(row))

    def refused(self, error: ChunkCorrupt) -> None:
        self.refusals.append(error)

    def close(self) -> None:
        self.log.close()
