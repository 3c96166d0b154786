"""What becomes of a chunk that is put: whether it may come, and in what form it waits.

Back-pressure is here: where the queue is full a chunk waits, is made smaller, or is not taken.

L layers, W width of a search vector.
"""

from __future__ import annotations

import torch
from torch import Tensor

from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.config import CODEC_NAMES, MemoryConfig
from longtake.memory.encoding import Encoder
from longtake.memory.marks import Missing
from longtake.memory.queued import QueuedChunk, QueuedGap
from longtake.memory.staging import Staged, Staging
from longtake.memory.writer import Writer

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MOST_NAME_BYTES = 65_535


class Intake:
    """Makes entries of chunks, one at a time.

    Args:
        config: its codec and back-pressure.
        encoder: makes records where a chunk is made smaller.
        writer: whose queue it is.
    """

    def __init__(self, config: MemoryConfig, encoder: Encoder, writer: Writer) -> None:
        self._codec, self._encoder, self._writer = config.codec, encoder, writer
        self._policy = config.back_pressure if config.queue_bytes else "block"
        self._staging = Staging()
        self.refused = 0  # chunks that were not taken
        self.degraded = 0  # chunks that were made smaller

    def admit(self, chunk: Chunk, vectors: Tensor) -> QueuedChunk | QueuedGap:
        """The entry for a new chunk; a gap where it is not taken."""
        info, geometry = chunk.info, (chunk.layers, chunk.heads, chunk.dim)
        share = 0.5 if self._policy == "degrade" else 1.0  # the other half is for smaller ones
        if self._policy == "block" or self._writer.has_room(chunk.nbytes, share):
            staged = self._staging.copy(chunk, vectors)
            return QueuedChunk(info, geometry, self._encoder.name(self._codec), staged=staged)
        if self._policy == "drop":
            self.refused += 1
            return QueuedGap(
                Missing(info.number, info.number, info.start_s, info.end_s, 1, "dropped")
            )
        return self._degrade(self._staging.copy(chunk, vectors), info, geometry)

    def _degrade(
        self, staged: Staged, info: ChunkInfo, geometry: tuple[int, int, int]
    ) -> QueuedChunk:
        """A chunk encoded at once, in the first codec below the usual one that fits the queue."""
        lower = CODEC_NAMES[CODEC_NAMES.index(self._codec) + 1 :]
        if not lower:
            return QueuedChunk(info, geometry, self._encoder.name(self._codec), staged=staged)
        for i, name in enumerate(lower):
            record = self._encoder.encode(staged.chunk, staged.vectors, name)
            if self._writer.has_room(len(record), 1 - 0.5 ** (i + 2)):  # 3/4, 7/8, 15/16
                break
        self.degraded += 1
        return QueuedChunk(info, geometry, self._encoder.name(name), record=record)


def check_order(info: ChunkInfo, newest: Row | None, next_number: int) -> None:
    """Raises ValueError if a chunk of this name may not come now."""
    if info.number < next_number:
        raise ValueError(f"cannot put {info}: that number was another chunk's, now gone")
    if newest is not None and info.end_s < newest.info.end_s:
        raise ValueError(
            f"cannot put {info}: it ends before chunk {newest.info.number}, at "
            f"{newest.info.end_s:g} s; session time only goes forward"
        )


def check_camera(name: str) -> None:
    """Raises ValueError if a camera's name cannot be kept."""
    if len(name.encode()) > MOST_NAME_BYTES:
        raise ValueError(
            f"the camera's name has more than {MOST_NAME_BYTES} bytes; give it a shorter one"
        )


def check_chunk(chunk: Chunk, vectors: Tensor, newest: Row | None, key_bias: Tensor | None) -> None:
    """Raises ValueError if a chunk is not of the others' layers, heads and dimension, or cannot
    be written in any codec."""
    if chunk.keys.dtype not in _DTYPES:
        raise ValueError(f"{chunk}: chunks are kept as {', '.join(map(str, _DTYPES))}")
    check_camera(chunk.info.camera)
    width = (chunk.layers, chunk.heads * chunk.dim)
    if key_bias is not None and tuple(key_bias.shape) != width:
        raise ValueError(f"{chunk}: the keys' bias is {list(key_bias.shape)}, not {list(width)}")
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
