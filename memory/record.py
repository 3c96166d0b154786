"""The bytes of one chunk in a segment: a header that says everything, then its parts.

    header | positions | weights? | search vectors | layer 0 | layer 1 | ...

The header names the model, the chunk, the codec, and each part's place, length and checksum;
it ends with a checksum of itself.  So the catalog can be rebuilt from segments alone, and no
part is ever returned that is not bit for bit what was written.

The first 16 bytes {magic, format version, header length} and the closing checksum stay the
same in every version to come, so that an old program can tell a newer record from a damaged
one.  Small records are packed tightly; where one layer is 64 KiB or more, layers begin on
pages.  Which file a record lies in is not known here.

L layers, H key/value heads, T tokens, D head dimension, A position axes, W = H*D.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xxhash
from torch import Tensor

from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.codecs import Bytes, Codec, LayerShape

FORMAT = 1
MAGIC = b"longtake"
ALIGNMENT = 64  # of a small record
PAGE = 4096  # of a record with large layers, and of each of its layers
LARGE_LAYER = 64 << 10
PEEK = 4096  # one read of this many bytes brings nearly every header

_ENVELOPE = struct.Struct("<8sII")  # magic, format, header bytes with the closing checksum
_FIXED = struct.Struct("<Q16sQdddHIHIIBBHHH")
_PART = struct.Struct("<QQQ")  # offset within the record, length, xxh3
_CHECKSUM = struct.Struct("<Q")
_DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2, torch.float64: 3}
_DTYPE_OF = {code: dtype for dtype, code in _DTYPES.items()}


class ChunkCorrupt(OSError):
    """Stored bytes are not what was written; they are never handed out."""


class MemoryFromFuture(ValueError):
    """Written by a newer longtake, in a form that this one does not read."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part lies within its record, and the checksum of its bytes."""

    offset: int
    nbytes: int
    checksum: int

    def of(self, record: Bytes, what: str) -> memoryview:
        """This part of a record's bytes.  Raises ChunkCorrupt if it is cut or changed."""
        return self.checked(memoryview(record)[self.offset : self.offset + self.nbytes], what)

    def checked(self, data: Bytes, what: str) -> memoryview:
        """The part's own bytes, verified.  Raises ChunkCorrupt."""
        if len(data) != self.nbytes or xxhash.xxh3_64_intdigest(data) != self.checksum:
            raise ChunkCorrupt(f"{what}: its bytes are not those that were written")
        return memoryview(data)


@dataclass(frozen=True, slots=True)
class Header:
    """All that a record says about itself."""

    info: ChunkInfo
    identity: bytes  # 16 bytes: whose memory this is, see `identity_of`
    record_nbytes: int
    layers: int
    heads: int
    dim: int
    dtype: torch.dtype
    axes: int
    codec: str
    codec_version: int
    positions: Part
    weights: Part | None
    vectors: Part
    payloads: tuple[Part, ...]  # one per layer

    @property
    def layer_shape(self) -> LayerShape:
        return LayerShape(self.heads, self.info.tokens, self.dim, self.dtype)


def identity_of(fingerprint: str) -> bytes:
    """16 bytes that tell the records of one model from those of another."""
    return xxhash.xxh3_128_digest(fingerprint.encode())


def encode_record(
    chunk: Chunk, vectors: Tensor, codecs: Sequence[Codec], identity: bytes
) -> bytearray:
    """The bytes of a chunk on the CPU, a multiple of `alignment_of` them long.

    Args:
        chunk: what is kept.
        vectors: float32 ``[L, H*D]`` on the CPU.
        codecs: one of one name for each layer.
        identity: of the take, see `identity_of`.

    Raises:
        ValueError: if the dtype is not one that a record can hold.
    """
    if chunk.keys.dtype not in _DTYPES:
        raise ValueError(f"{chunk}: a record holds {', '.join(map(str, _DTYPES))}")
    small = [_raw(chunk.positions, "<i4"), _raw(vectors, "<f4")]
    if chunk.weights is not None:
        small.insert(1, _raw(chunk.weights, "<f4"))
    each = zip(codecs, chunk.keys, chunk.values, strict=True)
    layers = [codec.encode(keys, values) for codec, keys, values in each]
    codec = codecs[0]
    page = PAGE if any(len(layer) >= LARGE_LAYER for layer in layers) else 0
    strings = (codec.name.encode(), chunk.info.camera.encode())
    header_nbytes = _header_nbytes(*strings, parts=len(small) + len(layers))
    parts, end = _lay_out(header_nbytes, small, layers, page)
    record = bytearray(_aligned(end, page or ALIGNMENT))
    record[:header_nbytes] = _pack_header(
        chunk, codec, identity, len(record), header_nbytes, strings, parts
    )
    for part, data in zip(parts, [*small, *layers], strict=True):
        record[part.offset : part.offset + part.nbytes] = data
    return record


def alignment_of(record: Bytes) -> int:
    """Where in a file this record may begin: at a multiple of this many bytes."""
    return PAGE if len(record) >= LARGE_LAYER and len(record) % PAGE == 0 else ALIGNMENT


def header_nbytes_of(start: Bytes) -> int:
    """Length of the header whose first bytes these are.  Raises ChunkCorrupt if it is none."""
    if len(start) < _ENVELOPE.size:
        raise ChunkCorrupt(f"{len(start)} bytes are too few for a record")
    magic, _, nbytes = _ENVELOPE.unpack_from(start)
    if magic != MAGIC or nbytes < _ENVELOPE.size + _CHECKSUM.size:
        raise ChunkCorrupt("no record begins here")
    return int(nbytes)


def parse_header(data: Bytes) -> Header:
    """The header at the start of `data`.

    Raises:
        ChunkCorrupt: if it is cut or changed.
        MemoryFromFuture: if it is whole, but in a newer format.
    """
    nbytes = header_nbytes_of(data)
    body = memoryview(data)[: nbytes - _CHECKSUM.size]
    if len(data) < nbytes or _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body)) != bytes(
        data[len(body) : nbytes]
    ):
        raise ChunkCorrupt("the header's bytes are not those that were written")
    _, version, _ = _ENVELOPE.unpack_from(body)
    if version > FORMAT:
        raise MemoryFromFuture(
            f"the record has format {version}, this longtake reads up to {FORMAT}; upgrade longtake"
        )
    return _unpack(body)


def decode_positions(header: Header, part: Bytes) -> Tensor:
    """int32 ``[A, T]`` from the verified bytes of its part."""
    return _tensor(part, "<i4").view(header.axes, header.info.tokens)


def decode_weights(part: Bytes) -> Tensor:
    """float32 ``[T]`` from the verified bytes of its part."""
    return _tensor(part, "<f4")


def decode_vectors(header: Header, part: Bytes) -> Tensor:
    """float32 ``[L, H*D]`` from the verified bytes of its part."""
    return _tensor(part, "<f4").view(header.layers, header.heads * header.dim)


def _lay_out(
    start: int, small: list[bytes], layers: list[bytes], page: int
) -> tuple[list[Part], int]:
    """A place for each part: small ones back to back, large layers on pages; and the end."""
    parts, end = [], start
    for index, data in enumerate([*small, *layers]):
        at = _aligned(end, page) if page and index >= len(small) else end
        parts.append(Part(at, len(data), xxhash.xxh3_64_intdigest(data)))
        end = at + len(data)
    return parts, end


def _header_nbytes(codec: bytes, camera: bytes, *, parts: int) -> int:
    fixed = _ENVELOPE.size + _FIXED.size + _CHECKSUM.size
    return fixed + len(codec) + len(camera) + parts * _PART.size


def _pack_header(
    chunk: Chunk,
    codec: Codec,
    identity: bytes,
    record_nbytes: int,
    header_nbytes: int,
    strings: tuple[bytes, bytes],
    parts: list[Part],
) -> bytes:
    info = chunk.info
    fixed = _FIXED.pack(
        record_nbytes,
        identity,
        info.number,
        info.start_s,
        info.end_s,
        math.nan if info.wall_s is None else info.wall_s,
        chunk.positions.shape[0],
        info.tokens,
        chunk.layers,
        chunk.heads,
        chunk.dim,
        _DTYPES[chunk.keys.dtype],
        chunk.weights is not None,
        codec.version,
        *map(len, strings),
    )
    places = b"".join(_PART.pack(part.offset, part.nbytes, part.checksum) for part in parts)
    body = b"".join((_ENVELOPE.pack(MAGIC, FORMAT, header_nbytes), fixed, *strings, places))
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def _unpack(body: memoryview) -> Header:
    """A header whose checksum holds; what is wrong in it was written so."""
    (
        record_nbytes,
        identity,
        number,
        start_s,
        end_s,
        wall_s,
        axes,
        tokens,
        layers,
        heads,
        dim,
        dtype,
        has_weights,
        codec_version,
        codec_nbytes,
        camera_nbytes,
    ) = _FIXED.unpack_from(body, _ENVELOPE.size)
    names = _ENVELOPE.size + _FIXED.size
    places = names + codec_nbytes + camera_nbytes
    camera = str(body[names + codec_nbytes : places], "utf-8")
    parts = [Part(*fields) for fields in _PART.iter_unpack(body[places:])]
    small = parts[: len(parts) - layers]
    return Header(
        info=ChunkInfo(
            number, start_s, end_s, camera, None if math.isnan(wall_s) else wall_s, tokens=tokens
        ),
        identity=identity,
        record_nbytes=record_nbytes,
        layers=layers,
        heads=heads,
        dim=dim,
        dtype=_DTYPE_OF[dtype],
        axes=axes,
        codec=str(body[names : names + codec_nbytes], "utf-8"),
        codec_version=codec_version,
        positions=small[0],
        weights=small[1] if has_weights else None,
        vectors=small[-1],
        payloads=tuple(parts[len(small) :]),
    )


def _raw(tensor: Tensor, word: str) -> bytes:
    return tensor.numpy().astype(word, copy=False).tobytes()


def _tensor(data: Bytes, word: str) -> Tensor:
    words = np.frombuffer(data, word)
    return torch.from_numpy(words.astype(words.dtype.newbyteorder("="), copy=True))


def _aligned(offset: int, to: int) -> int:
    return -(-offset // to) * to
