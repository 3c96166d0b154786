"""The first bytes of a segment: whose records follow, so that a segment can be read alone.

    magic | format, length | JSON {model, fingerprint, key_bias shape} | key bias | zeros | xxh3

The first 16 bytes and the closing checksum stay the same in every version to come, so that an
old program can tell a newer head from a damaged one.

Segments of the first longtake have none: their first record begins at once.

L layers, H key/value heads, D head dimension.
"""

import json
import struct
from dataclasses import dataclass

import numpy as np
import torch
import xxhash
from torch import Tensor

from longtake.memory.record import ALIGNMENT, PAGE, ChunkCorrupt, MemoryFromFuture

FORMAT = 1
MAGIC = b"ltkseg01"
_ENVELOPE = struct.Struct("<8sIII")  # magic, format, bytes with checksum and zeros, bytes of JSON
_CHECKSUM = struct.Struct("<Q")
MOST_NBYTES = 64 << 20  # a longer one is no head


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Of one segment."""

    model: str
    fingerprint: str
    key_bias: Tensor | None  # float32 [L, H*D], what codecs take off the keys
    nbytes: int  # the first record begins behind it


def encode_head(model: str, fingerprint: str, key_bias: Tensor | None) -> bytes:
    """The bytes of a head, a multiple of the alignment of records long."""
    said = {"model": model, "fingerprint": fingerprint}
    shape = None if key_bias is None else list(key_bias.shape)
    text = json.dumps(said | {"key_bias": shape}).encode()
    bias = b"" if key_bias is None else key_bias.numpy().astype("<f4").tobytes()
    used = _ENVELOPE.size + len(text) + len(bias) + _CHECKSUM.size
    to = PAGE if used > PAGE // 2 else ALIGNMENT
    nbytes = -(-used // to) * to
    body = _ENVELOPE.pack(MAGIC, FORMAT, nbytes, len(text)) + text + bias
    body = body.ljust(nbytes - _CHECKSUM.size, b"\0")
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def head_nbytes_of(start: bytes | bytearray) -> int:
    """Length of the head whose first bytes these are; 0 if it is none."""
    if len(start) < _ENVELOPE.size or bytes(start[: len(MAGIC)]) != MAGIC:
        return 0
    _, _, nbytes, _ = _ENVELOPE.unpack_from(start)
    return int(nbytes) if _ENVELOPE.size + _CHECKSUM.size <= nbytes <= MOST_NBYTES else 0


def parse_head(data: bytes | bytearray) -> Head:
    """The head that these bytes begin with.

    Raises:
        ChunkCorrupt: if it is cut or changed.
        MemoryFromFuture: if it is whole, but in a newer format.
    """
    nbytes = head_nbytes_of(data)
    if not nbytes or len(data) < nbytes:
        raise ChunkCorrupt("the head of the segment is cut off, or none")
    body = memoryview(data)[: nbytes - _CHECKSUM.size]
    if _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body)) != bytes(data[len(body) : nbytes]):
        raise ChunkCorrupt("the head of the segment is changed")
    _, version, _, text_nbytes = _ENVELOPE.unpack_from(body)
    if version > FORMAT:
        raise MemoryFromFuture(
            f"the segment has format {version}, this longtake reads up to {FORMAT}; "
            "upgrade longtake"
        )
    at = _ENVELOPE.size + text_nbytes
    said = json.loads(bytes(body[_ENVELOPE.size : at]))  # whole, so as it was written
    bias = None
    if said["key_bias"] is not None:
        count = int(np.prod(said["key_bias"]))
        words = np.frombuffer(body, "<f4", count, at).astype(np.float32)
        bias = torch.from_numpy(words).view(said["key_bias"])
    return Head(said["model"], said["fingerprint"], bias, nbytes)
