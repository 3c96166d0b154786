"""Score every chunk of the past for a question, in all layers at once.

    score[l, n] = query[l] . key[l, n]

The query is the question's mean query, its heads summed per key head; the key is the chunk's
mean key; both un-rotated.  Summing the heads first gives the same score as ReKV's expanded keys
(arXiv 2503.00540) at a fraction of the size.

L layers, N chunks, W = key heads x head dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor


def score_chunks_reference(query: Tensor, keys: Tensor) -> Tensor:
    """``[L, W]`` and ``[L, N, W]`` -> ``[L, N]`` float32."""
    return (query.float()[:, None, :] * keys.float()).sum(-1)


def score_chunks_matmul(query: Tensor, keys: Tensor) -> Tensor:
    """The same by one batched product; reads each key once."""
    return torch.bmm(keys.float(), query.float()[:, :, None])[..., 0]
