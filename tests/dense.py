"""The whole stream and its question in one dense pass: what the engine must equal.

Written apart from the engine: own layout, own masks, and Hugging Face's own rotary module and
layers.  Every query row has its own list of keys and its own positions for them, recomputed from
scratch; nothing is cached, evicted or rotated twice.

A part is a stretch of tokens that stands together: the sink, a chunk, the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    embeds: Tensor  # [T, C]
    offsets: Tensor  # [A, T]


# Which parts a part sees before itself, in the order of their places, by layer.
Sees = Callable[[int, int], Sequence[int]]


def contiguous(parts: Sequence[Part]) -> Tensor:
    """Positions ``[A, T of all]``, every part one behind the greatest before it."""
    placed, behind = [], 0
    for part in parts:
        placed.append(part.offsets.long() + behind)
        behind = int(placed[-1].max()) + 1
    return torch.cat(placed, 1)


@torch.no_grad()
def run(decoder: Any, parts: Sequence[Part], sees: Sees, shift: int = 0) -> list[Tensor]:
    """Hidden states of every part after the last norm.

    Args:
        decoder: a plain Hugging Face text decoder.
        sees: (layer, part) -> parts that it sees before itself.
        shift: added to the queries' positions; anything but 0 is a mistake to be noticed.
    """
    hidden = [part.embeds for part in parts]
    for number, layer in enumerate(decoder.layers):
        normed = [layer.input_layernorm(h) for h in hidden]
        after = []
        for i, own in enumerate(normed):
            context = [*sees(number, i), i]
            keys = torch.cat([normed[j] for j in context])
            positions = contiguous([parts[j] for j in context])
            mixed = _attend(decoder, layer.self_attn, own, keys, positions, shift)
            state = hidden[i] + mixed
            after.append(state + layer.mlp(layer.post_attention_layernorm(state)))
        hidden = after
    return [decoder.norm(h) for h in hidden]


def _attend(
    decoder: Any, attention: Any, own: Tensor, all_: Tensor, positions: Tensor, shift: int
) -> Tensor:
    new, total, dim = own.shape[0], all_.shape[0], attention.head_dim
    q = attention.q_proj(own).view(new, -1, dim).transpose(0, 1)
    k = attention.k_proj(all_).view(total, -1, dim).transpose(0, 1)
    v = attention.v_proj(all_).view(total, -1, dim).transpose(0, 1)
    q = _rotate(decoder, q, positions[:, total - new :] + shift)
    k = _rotate(decoder, k, positions)
    k, v = (x.repeat_interleave(q.shape[0] // k.shape[0], 0) for x in (k, v))
    scores = q @ k.transpose(1, 2) * attention.scaling
    late = torch.arange(total)[None] > torch.arange(total - new, total)[:, None]
    share = scores.masked_fill(late, float("-inf")).softmax(-1)
    out: Tensor = attention.o_proj((share @ v).transpose(0, 1).reshape(new, -1))
    return out


def _rotate(decoder: Any, x: Tensor, positions: Tensor) -> Tensor:
    """``[heads, T, D]`` by the model's own rotary module."""
    where = positions if positions.shape[0] == 1 else positions[:, None]
    cos, sin = (t[0] for t in decoder.rotary_emb(x, where))
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
