"""From a question to the chunks that matter: mean queries, scores, shares.

In every layer the mean query of the question's tokens scores all chunks' mean keys.  Where the
tokens went through the decoder without video (`BlindQuery`) all layers' best chunks are known at
once.  The same scores, as shares and averaged over layers, say which moments are evidence.

L layers, H query heads, G key heads, N chunks, D head dimension, T tokens.
Source: ReKV (arXiv 2503.00540), internal retrieval; blind is ours, and lets the store look ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def mean_query(query: Tensor, share: Tensor, kv_heads: int) -> Tensor:
    """A layer's query for chunks: the mean over the asked tokens, heads summed by key head.

    Args:
        query: un-rotated ``[1, H, T, D]``.
        share: float ``[T]``, what each token counts; from `asked_share`.

    Returns:
        ``[G*D]`` float32; a chunk's score is its product with the chunk's mean key.
    """
    mean = torch.einsum("htd,t->hd", query[0].float(), share.to(query.device))
    return mean.view(kv_heads, -1, mean.shape[1]).sum(1).flatten()


def asked_share(asked: Tensor) -> Tensor:
    """Bool ``[T]``, which tokens are the question's own -> float ``[T]``, in all 1."""
    if not bool(asked.any()):
        raise ValueError("no token is asked: a question needs at least one")
    return asked.float() / asked.sum()


class BlindQuery:
    """Collects the mean query of a question's own words, layer by layer.

    Args:
        asked: bool ``[T]``, which of the tokens in the forward are the question's own.
    """

    def __init__(self, asked: Tensor, layers: int, kv_heads: int) -> None:
        self._share, self._kv_heads = asked_share(asked), kv_heads
        self._layers: list[Tensor | None] = [None] * layers

    def __call__(self, layer: int, query: Tensor) -> None:
        """Un-rotated ``[1, H, T, D]``."""
        self._layers[layer] = mean_query(query, self._share, self._kv_heads)

    def vectors(self) -> Tensor:
        """``[L, G*D]`` float32; a chunk's score is its product with the chunk's mean key."""
        found = [layer for layer in self._layers if layer is not None]
        if len(found) != len(self._layers):
            raise RuntimeError(f"{len(found)} of {len(self._layers)} layers were asked")
        return torch.stack(found)


def shares(scores: Tensor, head_dim: int, sharpness: float) -> Tensor:
    """How much of a question each chunk answers: ``[L, N]`` -> ``[N]``, in all 1.

    Softmax over chunks of ``sharpness * score / sqrt(D)``, averaged over layers.
    """
    sharp = scores.float() * (sharpness / math.sqrt(head_dim))
    return sharp.softmax(1).mean(0)


@dataclass(frozen=True, slots=True)
class Peak:
    """Neighbouring chunks that stand out together."""

    first: int  # chunk numbers, both included
    last: int
    score: float  # the sum of their shares


def peaks(numbers: Tensor, share: Tensor, most: int, least_of_best: float = 0.1) -> list[Peak]:
    """The chunks with the greatest shares, neighbours joined, best first.

    Args:
        numbers: int64 ``[N]``, rising; ``share`` ``[N]`` is theirs.
        most: how many chunks are looked at.
        least_of_best: chunks with less than this part of the greatest share are left out.
    """
    if not len(numbers):
        return []
    top = share.topk(min(most, len(numbers)))
    floor = float(top.values[0]) * least_of_best
    chosen = {
        number: value
        for number, value in zip(
            numbers[top.indices.cpu()].tolist(), top.values.tolist(), strict=True
        )
        if value >= floor
    }
    joined: list[Peak] = []
    for number in sorted(chosen):
        if joined and joined[-1].last == number - 1:
            before = joined.pop()
            joined.append(Peak(before.first, number, before.score + chosen[number]))
        else:
            joined.append(Peak(number, number, chosen[number]))
    return sorted(joined, key=lambda peak: (-peak.score, peak.first))
