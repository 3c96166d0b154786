"""Chunks to record bytes in any codec, for one take.

L layers, H key/value heads, D head dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from longtake.memory.chunk import Chunk
from longtake.memory.codecs import Codec, make_codec, with_bias
from longtake.memory.record import (
    decode_positions,
    decode_vectors,
    decode_weights,
    encode_record,
    parse_header,
)


class Encoder:
    """Writes records of one take.  Any thread may call.

    Args:
        identity: 16 bytes that every record of this take carries.
        key_bias: float32 ``[L, H*D]``, which lossy codecs take off the keys first; None: no bias.
    """

    def __init__(self, identity: bytes, key_bias: Tensor | None) -> None:
        self._identity, self._key_bias = identity, key_bias
        self._codecs: dict[tuple[str, int, int, int], Sequence[Codec]] = {}

    def name(self, codec: str) -> str:
        """What a record says of its codec, where "raw" or "kivi4" is meant."""
        return codec if self._key_bias is None else with_bias(codec)

    def encode(self, chunk: Chunk, vectors: Tensor, codec: str) -> bytearray:
        """A record of a chunk on the CPU with its search vectors, float32 ``[L, H*D]``."""
        codecs = self._find(codec, chunk.layers, chunk.heads, chunk.dim)
        return encode_record(chunk, vectors, codecs, self._identity)

    def decode(self, record: bytearray) -> Chunk:
        """The chunk of a record that `encode` gave."""
        header = parse_header(record)
        size = (header.layers, *header.layer_shape.size)
        keys, values = (torch.empty(size, dtype=header.dtype) for _ in range(2))
        codecs = self._find(header.codec, header.layers, header.heads, header.dim)
        for layer, (codec, part) in enumerate(zip(codecs, header.payloads, strict=True)):
            data = part.of(record, f"layer {layer}")
            codec.decode(data, header.layer_shape, keys[layer], values[layer])
        weights = header.weights
        return Chunk(
            header.info,
            keys,
            values,
            decode_positions(header, header.positions.of(record, "positions")),
            None if weights is None else decode_weights(weights.of(record, "weights")),
        )

    def vectors(self, record: bytearray) -> Tensor:
        """Search vectors float32 ``[L, H*D]`` of a record that `encode` gave."""
        header = parse_header(record)
        return decode_vectors(header, header.vectors.of(record, "vectors"))

    def _find(self, codec: str, layers: int, heads: int, dim: int) -> Sequence[Codec]:
        """One for each layer."""
        name = self.name(codec)
        key = (name, layers, heads, dim)
        if key not in self._codecs:
            bias = self._key_bias
            self._codecs[key] = [
                make_codec(name, None if bias is None else bias[layer].view(heads, dim))
                for layer in range(layers)
            ]
        return self._codecs[key]
