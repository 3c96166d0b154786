"""Chunks in the log: tensors to record bytes, and back, every byte verified.

A record is opened once, its header read and verified; then its parts are read in any order, by
any thread, and nothing here changes.  Knows the record format and the codecs.  Which chunks
exist, what is kept in RAM and when something is durable is not known here.

L layers, H key/value heads, T tokens, D head dimension, A position axes, W = H*D.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.memory.catalog import Row
from longtake.memory.chunk import Chunk
from longtake.memory.codecs import CODECS, Codec, LayerShape, make_codec
from longtake.memory.codecs.unbiased import PREFIX
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
from longtake.memory.segments import Place, SegmentLog

WHOLE = 64 << 10  # a record up to this size is read at once: one read instead of one a part


@dataclass(frozen=True, slots=True, eq=False)
class OpenRecord:
    """One chunk's record; made by `Archive.open`.  Its header is verified, any thread may read.

    Every method raises ChunkCorrupt if a byte that it needs is missing or changed.
    """

    header: Header
    _log: SegmentLog
    _row: Row
    _place: Place
    _start: bytearray  # of the record, at least its header
    _shape: LayerShape

    @property
    def shape(self) -> LayerShape:
        """Of one layer, decoded."""
        return self._shape

    def chunk(self) -> Chunk:
        """All of it on the CPU; its bytes are read at once."""
        with self._named():
            header, record = self.header, self._start
            if len(record) < self._place.nbytes:
                record = self._log.read(self._place)
            size = (header.layers, *self.shape.size)
            keys, values = (torch.empty(size, dtype=header.dtype) for _ in range(2))
            for layer, part in enumerate(header.payloads):
                data = part.of(record, f"layer {layer}")
                self._codec(layer).decode(data, self.shape, keys[layer], values[layer])
            weights = header.weights
            return Chunk(
                header.info,
                keys,
                values,
                decode_positions(header, header.positions.of(record, "positions")),
                None if weights is None else decode_weights(weights.of(record, "weights")),
            )

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values ``[H, T, D]``.  Raises IndexError if there is no such layer."""
        decoded, scratch = bytearray(self.shape.nbytes), bytearray(self.scratch_nbytes(index))
        self.layer_into(index, memoryview(decoded), memoryview(scratch))
        keys, values = _tensors(memoryview(decoded), self.shape)
        return keys, values

    def scratch_nbytes(self, index: int) -> int:
        """What `layer_into` needs beside the result.  Raises IndexError if there is no layer."""
        part = self._payload(index)
        return 0 if self._is_plain or self._is_at_hand(part) else part.nbytes

    def layer_into(self, index: int, decoded: memoryview, scratch: memoryview) -> None:
        """Read a layer into the caller's memory; no other layer is read.

        Args:
            decoded: is filled with its keys and then its values, ``[H, T, D]`` each.
            scratch: at least `scratch_nbytes` long.

        Raises:
            IndexError: if there is no such layer.
        """
        with self._named():
            part, what = self._payload(index), f"layer {index}"
            if self._is_at_hand(part):
                data = part.of(self._start, what)
            else:
                data = decoded if self._is_plain else scratch[: part.nbytes]
                self._log.read_into(self._place, part.offset, data)
                part.checked(data, what)
            if data is not decoded:
                keys, values = _tensors(decoded, self.shape)
                self._codec(index).decode(data, self.shape, keys, values)

    @property
    def _is_plain(self) -> bool:
        """True if the stored bytes of a layer are those of its tensors."""
        return self.header.codec == "raw" and sys.byteorder == "little"

    def _is_at_hand(self, part: Part) -> bool:
        return part.offset + part.nbytes <= len(self._start)

    def positions(self) -> tuple[Tensor, Tensor | None]:
        """Positions int32 ``[A, T]`` and weights float32 ``[T]`` or None."""
        with self._named():
            header = self.header
            positions = decode_positions(header, self._part(header.positions, "positions"))
            if header.weights is None:
                return positions, None
            return positions, decode_weights(self._part(header.weights, "weights"))

    def vectors(self) -> Tensor:
        """Search vectors float32 ``[L, W]``."""
        with self._named():
            return decode_vectors(self.header, self._part(self.header.vectors, "vectors"))

    def _payload(self, index: int) -> Part:
        if not 0 <= index < self.header.layers:
            number, layers = self._row.info.number, self.header.layers
            raise IndexError(f"layer {index}: chunk {number} has {layers}")
        return self.header.payloads[index]

    def _part(self, part: Part, what: str) -> memoryview:
        """A part's verified bytes, from those at hand or from the disk."""
        if self._is_at_hand(part):
            return part.of(self._start, what)
        return part.checked(self._log.read(self._place, part.offset, part.nbytes), what)

    def _codec(self, layer: int) -> Codec:
        """The codec that reads what this record's codec wrote."""
        header = self.header
        if header.codec in CODECS:
            codec = make_codec(header.codec, self._key_bias(layer))
            if header.codec_version <= codec.version:
                return codec
        raise MemoryFromFuture(
            f"chunk {header.info.number} is written by codec {header.codec!r} version "
            f"{header.codec_version}; this longtake reads {', '.join(CODECS)}. Upgrade longtake"
        )

    def _key_bias(self, layer: int) -> Tensor | None:
        """float32 ``[H, D]`` where this record's codec took one off the keys."""
        if not self.header.codec.startswith(PREFIX):
            return None
        try:
            head = self._log.head(self._place.segment)
        except FileNotFoundError as error:
            raise ChunkCorrupt("its segment is missing") from error
        if head is None or head.key_bias is None:
            raise ChunkCorrupt("its segment does not tell the keys' bias that it needs")
        return head.key_bias[layer].view(self.header.heads, self.header.dim)

    def _named(self) -> AbstractContextManager[None]:
        return _named(self._log, self._row, self._place)


class Archive:
    """Reads chunks from a log that holds the records of one take.  Any thread may call.

    Args:
        log: where the records are.
        identity: 16 bytes that every record of this take carries.
    """

    def __init__(self, log: SegmentLog, identity: bytes) -> None:
        self._log = log
        self._identity = identity

    def open(self, row: Row) -> OpenRecord:
        """Read a record's header and what lies beside it; all of a small record.

        Raises:
            ChunkCorrupt: if a byte of the header is missing or changed, or it is another's.
            MemoryFromFuture: if a newer longtake wrote it in a form that this one does not know.
        """
        place = row.place
        assert place is not None, "a chunk of which only the picture is left has no record"
        with _named(self._log, row, place):
            start = self._log.read(place, 0, place.nbytes if place.nbytes <= WHOLE else PEEK)
            if header_nbytes_of(start) > len(start):
                start = self._log.read(place, 0, header_nbytes_of(start))
            header = self._verified(parse_header(start), row, place)
            return OpenRecord(header, self._log, row, place, start, header.layer_shape)

    def _verified(self, header: Header, row: Row, place: Place) -> Header:
        """A record may be whole and yet not the one that was asked for."""
        if header.identity != self._identity:
            raise ChunkCorrupt("the record belongs to another model's memory")
        if header.info != row.info or header.record_nbytes != place.nbytes:
            raise ChunkCorrupt(f"the record found there is {header.info}, expected {row.info}")
        return header


def _tensors(decoded: memoryview, shape: LayerShape) -> Tensor:
    """Memory as ``[2, H, T, D]``: keys and values."""
    return torch.frombuffer(decoded, dtype=shape.dtype).view(2, *shape.size)


@contextmanager
def _named(log: SegmentLog, row: Row, place: Place) -> Iterator[None]:
    """Which chunk it was, in front of what is wrong with it."""
    try:
        yield
    except ChunkCorrupt as error:
        raise ChunkCorrupt(
            f"chunk {row.info.number} ({row.info.start_s:g}..{row.info.end_s:g} s) at byte "
            f"{place.offset} of {log.path(place.segment)} is damaged: {error}. "
            "Other chunks are not touched"
        ) from error
