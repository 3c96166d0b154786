"""The bits of float tensors as integers of the same width, little-endian.

So NaNs keep their bits, and bfloat16, which NumPy does not have, needs no conversion.  Both
ends of every codec meet here: what dtypes are stored, and which outputs are taken.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.memory.codecs.base import Bytes, LayerShape

Words = np.ndarray[Any, np.dtype[Any]]

_WORDS: dict[torch.dtype, tuple[torch.dtype, np.dtype[Any]]] = {
    torch.float32: (torch.int32, np.dtype("<i4")),
    torch.float16: (torch.int16, np.dtype("<i2")),
    torch.bfloat16: (torch.int16, np.dtype("<i2")),
}


def check_dtype(codec: str, dtype: torch.dtype) -> None:
    """Raises ValueError for a dtype that is not stored; the message lists those that are."""
    if dtype not in _WORDS:
        names = ", ".join(str(known).removeprefix("torch.") for known in _WORDS)
        raise ValueError(f"{codec} codec: {dtype} is not supported; it stores {names}")


def check_output(codec: str, out: Tensor, shape: LayerShape) -> None:
    """Raises ValueError for an output that is not ``[H, T, D]`` of the layer's dtype."""
    if tuple(out.shape) != shape.size or out.dtype != shape.dtype:
        raise ValueError(
            f"{codec} codec: output {list(out.shape)} {out.dtype} does not fit {shape}"
        )


def to_words(codec: str, tensor: Tensor) -> Words:
    """A contiguous copy on the CPU, or the tensor's own memory if it is that already."""
    check_dtype(codec, tensor.dtype)
    integers, word = _WORDS[tensor.dtype]
    return np.ascontiguousarray(tensor.detach().view(integers).numpy(force=True), word)


def fill_words(data: Bytes, shape: LayerShape, out: Tensor) -> None:
    """Put the words of one ``[H, T, D]`` tensor into a checked output, any strides and device."""
    integers, word = _WORDS[shape.dtype]
    words = np.frombuffer(data, word).reshape(shape.size)
    target = out.view(integers)
    host = target if out.device.type == "cpu" else torch.empty(shape.size, dtype=integers)
    np.copyto(host.numpy(), words)
    if host is not target:
        target.copy_(host)
