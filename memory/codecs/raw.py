"""Lossless: the bits as they are, little-endian, keys then values.

Values travel as integers of the same width, so that NaNs keep their bits and
bfloat16, which NumPy does not have, needs no conversion.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.memory.codecs.base import Bytes, LayerShape

_WORDS: dict[torch.dtype, tuple[torch.dtype, np.dtype[Any]]] = {
    torch.float32: (torch.int32, np.dtype("<i4")),
    torch.float16: (torch.int16, np.dtype("<i2")),
    torch.bfloat16: (torch.int16, np.dtype("<i2")),
}


class Raw:
    """Every bit comes back.  Costs what the tensors cost."""

    name = "raw"
    version = 1
    lossless = True

    def max_nbytes(self, shape: LayerShape) -> int:
        """Exactly the tensors' bytes."""
        return shape.nbytes

    def encode(self, keys: Tensor, values: Tensor) -> bytes:
        """``[H, T, D]`` twice to ``2*H*T*D`` words."""
        return b"".join((_words(keys).data, _words(values).data))

    def decode(self, data: Bytes, shape: LayerShape, keys_out: Tensor, values_out: Tensor) -> None:
        """Fill both outputs; raises ValueError on a wrong size."""
        if len(data) != shape.nbytes:
            raise ValueError(f"raw codec: {len(data)} bytes for {shape}, expected {shape.nbytes}")
        _, word = _words_of(shape.dtype)
        words = np.frombuffer(data, word).reshape(2, *shape.size)
        _fill(keys_out, words[0], shape)
        _fill(values_out, words[1], shape)


def _words(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    integers, word = _words_of(tensor.dtype)
    return np.ascontiguousarray(tensor.detach().view(integers).numpy(force=True), word)


def _fill(out: Tensor, words: np.ndarray[Any, np.dtype[Any]], shape: LayerShape) -> None:
    if tuple(out.shape) != shape.size or out.dtype != shape.dtype:
        raise ValueError(f"raw codec: output {list(out.shape)} {out.dtype} does not fit {shape}")
    integers, _ = _words_of(shape.dtype)
    target = out.view(integers)
    host = target if out.device.type == "cpu" else torch.empty(shape.size, dtype=integers)
    np.copyto(host.numpy(), words)
    if host is not target:
        target.copy_(host)


def _words_of(dtype: torch.dtype) -> tuple[torch.dtype, np.dtype[Any]]:
    try:
        return _WORDS[dtype]
    except KeyError:
        names = ", ".join(str(known).removeprefix("torch.") for known in _WORDS)
        raise ValueError(f"raw codec: {dtype} is not supported; it stores {names}") from None
