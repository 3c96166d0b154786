"""Chunks in the log: tensors to record bytes, and back, every byte verified.

Knows the record format and the codecs.  Which chunks exist, what is kept in RAM and when
something is durable is not known here.

L layers, H key/value heads, T tokens, D head dimension, A position axes, W = H*D.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk
from longtake.memory.codecs import CODECS, Codec, make_codec
from longtake.memory.record import (
    PEEK,
    ChunkCorrupt,
    Header,
    MemoryFromFuture,
    Part,
    decode_positions,
    decode_vectors,
    decode_weights,
    header_nbytes_of,
    parse_header,
)
from longtake.memory.segments import SegmentLog


class Archive:
    """Reads chunks from a log that holds the records of one take.

    Args:
        log: where the records are.
        identity: 16 bytes that every record of this take carries.
    """

    def __init__(self, log: SegmentLog, identity: bytes) -> None:
        self._log = log
        self._identity = identity

    def chunk(self, row: Row) -> Chunk:
        """A whole chunk on the CPU, bit for bit as it was put if its codec is lossless.

        Raises:
            ChunkCorrupt: if a byte of it is missing or changed.
            MemoryFromFuture: if a newer longtake wrote it in a form that this one does not know.
        """
        with self._named(row):
            record = self._log.read(row.place)
            header = self._verified(parse_header(record), row)
            codec = _codec_of(header)
            keys, values = _empty(header, header.layers), _empty(header, header.layers)
            for layer, part in enumerate(header.payloads):
                data = part.of(record, f"layer {layer}")
                codec.decode(data, header.layer_shape, keys[layer], values[layer])
            positions = decode_positions(header, header.positions.of(record, "positions"))
            weights = (
                None
                if header.weights is None
                else decode_weights(header.weights.of(record, "weights"))
            )
            return Chunk(header.info, keys, values, positions, weights)

    def layer(self, row: Row, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``[H, T, D]`` of one layer; no other layer is read.

        Raises:
            IndexError: if there is no such layer.
            ChunkCorrupt, MemoryFromFuture: as for `chunk`.
        """
        with self._named(row):
            start, header = self._header(row)
            if not 0 <= index < header.layers:
                raise IndexError(f"layer {index}: chunk {row.info.number} has {header.layers}")
            data = self._part(row, start, header.payloads[index], f"layer {index}")
            keys, values = _empty(header, 2)
            _codec_of(header).decode(data, header.layer_shape, keys, values)
            return keys, values

    def positions(self, row: Row) -> tuple[Tensor, Tensor | None]:
        """Positions int32 ``[A, T]`` and weights float32 ``[T]`` or None.  Raises like `chunk`."""
        with self._named(row):
            start, header = self._header(row)
            positions = self._part(row, start, header.positions, "positions")
            if header.weights is None:
                return decode_positions(header, positions), None
            weights = self._part(row, start, header.weights, "weights")
            return decode_positions(header, positions), decode_weights(weights)

    def vectors(self, row: Row) -> Tensor:
        """Search vectors float32 ``[L, W]``.  Raises like `chunk`."""
        with self._named(row):
            start, header = self._header(row)
            return decode_vectors(header, self._part(row, start, header.vectors, "vectors"))

    def _header(self, row: Row) -> tuple[bytearray, Header]:
        """The first bytes of a record, at least its header."""
        start = self._log.read(row.place, 0, PEEK)
        if header_nbytes_of(start) > len(start):
            start = self._log.read(row.place, 0, header_nbytes_of(start))
        return start, self._verified(parse_header(start), row)

    def _part(self, row: Row, start: bytearray, part: Part, what: str) -> memoryview:
        """A part's verified bytes, from those at hand or from the disk."""
        if part.offset + part.nbytes <= len(start):
            return part.of(start, what)
        return part.checked(self._log.read(row.place, part.offset, part.nbytes), what)

    def _verified(self, header: Header, row: Row) -> Header:
        """A record may be whole and yet not the one that was asked for."""
        if header.identity != self._identity:
            raise ChunkCorrupt("the record belongs to another model's memory")
        if header.info != row.info or header.record_nbytes != row.place.nbytes:
            raise ChunkCorrupt(f"the record found there is {header.info}, expected {row.info}")
        return header

    @contextmanager
    def _named(self, row: Row) -> Iterator[None]:
        """Which chunk it was, in front of what is wrong with it."""
        try:
            yield
        except ChunkCorrupt as error:
            path = self._log.path(row.place.segment)
            raise ChunkCorrupt(
                f"chunk {row.info.number} ({row.info.start_s:g}..{row.info.end_s:g} s) at byte "
                f"{row.place.offset} of {path} is damaged: {error}. Other chunks are not touched"
            ) from error


def _codec_of(header: Header) -> Codec:
    """The codec that reads what this record's codec wrote."""
    if header.codec in CODECS:
        codec = make_codec(header.codec)
        if header.codec_version <= codec.version:
            return codec
    raise MemoryFromFuture(
        f"chunk {header.info.number} is written by codec {header.codec!r} version "
        f"{header.codec_version}; this longtake reads {', '.join(CODECS)}. Upgrade longtake"
    )


def _empty(header: Header, count: int) -> Tensor:
    return torch.empty((count, *header.layer_shape.size), dtype=header.dtype)
