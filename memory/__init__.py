"""Keep what the stream has shown, and find it again: chunks, codecs, tiers, index, recall.

    chunk.py, window.py, layout.py, turn.py     what is on the device
    store.py, cache.py, album.py, events.py     RAM over disk, what is known, pictures, a log
    staging.py, queued.py, writer.py, desk.py   off the device, and to the disk in groups
    ladder.py, ageing.py, forgetting.py         what becomes of old chunks; what goes for good
    fetching.py, reading.py                     back from the disk, ahead of the decoder
    archive.py, encoding.py, record.py, codecs/ tensors to bytes and back, verified
    folder.py, segments.py, catalog.py, marks.py, database.py, intent.py   the log, its rows
    files.py, descriptors.py                    the seam to the operating system
    scan.py, verify.py, rebuild.py, exporting.py, importing.py, survey.py  for people
    index.py, blocks.py, *_search.py, scout.py  which chunks answer a query best
    recall.py                                   from a question to such a query

The public names are imported on first use, so that importing the room stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longtake.memory.album import Album as Album
    from longtake.memory.base import ChunkStore as ChunkStore
    from longtake.memory.base import Index as Index
    from longtake.memory.chunk import Chunk as Chunk
    from longtake.memory.chunk import ChunkInfo as ChunkInfo
    from longtake.memory.chunk import summarize as summarize
    from longtake.memory.config import MemoryConfig as MemoryConfig
    from longtake.memory.events import Event as Event
    from longtake.memory.files import MemoryDamaged as MemoryDamaged
    from longtake.memory.files import MemoryFull as MemoryFull
    from longtake.memory.files import MemoryInUse as MemoryInUse
    from longtake.memory.files import MemoryMissing as MemoryMissing
    from longtake.memory.files import MemoryUnlockable as MemoryUnlockable
    from longtake.memory.forgetting import Forgotten as Forgotten
    from longtake.memory.index import make_index as make_index
    from longtake.memory.known import ChunkMissing as ChunkMissing
    from longtake.memory.ladder import Ladder as Ladder
    from longtake.memory.marks import Gap as Gap
    from longtake.memory.marks import Span as Span
    from longtake.memory.record import ChunkCorrupt as ChunkCorrupt
    from longtake.memory.record import MemoryFromFuture as MemoryFromFuture
    from longtake.memory.signature import WrongModel as WrongModel
    from longtake.memory.store import Store as Store
    from longtake.memory.store import StoreStats as StoreStats

_HOMES = {
    "Album": "album",
    "Span": "marks",
    "Event": "events",
    "MemoryUnlockable": "files",
    "Ladder": "ladder",
    "Gap": "marks",
    "Forgotten": "forgetting",
    "Chunk": "chunk",
    "ChunkCorrupt": "record",
    "ChunkInfo": "chunk",
    "ChunkMissing": "known",
    "ChunkStore": "base",
    "Index": "base",
    "MemoryConfig": "config",
    "MemoryDamaged": "files",
    "MemoryFromFuture": "record",
    "MemoryFull": "files",
    "MemoryInUse": "files",
    "MemoryMissing": "files",
    "Store": "store",
    "StoreStats": "store",
    "WrongModel": "signature",
    "make_index": "index",
    "summarize": "chunk",
}

__all__ = [
    "Album",
    "Chunk",
    "ChunkCorrupt",
    "ChunkInfo",
    "ChunkMissing",
    "ChunkStore",
    "Event",
    "Forgotten",
    "Gap",
    "Index",
    "Ladder",
    "MemoryConfig",
    "MemoryDamaged",
    "MemoryFromFuture",
    "MemoryFull",
    "MemoryInUse",
    "MemoryMissing",
    "MemoryUnlockable",
    "Span",
    "Store",
    "StoreStats",
    "WrongModel",
    "make_index",
    "summarize",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
