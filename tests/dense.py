"""The whole stream and its question in one dense pass: what the engine must equal.

Written apart from the engine, in layers and weights of plain Hugging Face classes: own places,
own rotation, own masks.  Nothing is cached, evicted or rotated twice.  Every part has, in every
layer, its own `View` of what came before; what it does not say is as in a plain stream.

A part is a stretch of tokens that stands together: the sink, a chunk, the question.  Knows
Llama, Qwen2 (biases), Qwen3 (norms of queries and keys), M-RoPE in sections or interleaved, and
deepstack (features added to a part's visual tokens behind the first layers).

A axes, C width, T tokens of a part, N keys that it may see (its own come last), H query heads,
G key heads, D head dimension, F frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Part:
    embeds: Tensor  # [T, C]
    offsets: Tensor  # int [A, T]
    visual: Tensor | None = None  # bool [T]: tokens that deepstack adds to
    deepstack: Sequence[Tensor] = ()  # [visual tokens, C] each, for the first layers


@dataclass(frozen=True, eq=False)
class View:
    """What a part sees in one layer."""

    parts: Sequence[int]  # before itself, in the order of their places
    positions: Tensor | None = None  # int [A, N] of the keys; None: one part behind the other
    toward: Tensor | None = None  # int [A, T, N] of the queries, toward each key; None: their keys'
    visible: Tensor | None = None  # bool [T, N]; None: all but what is later in the part itself


Sees = Callable[[int, int], "View | Sequence[int]"]  # (layer, part) -> its view, or only the parts
Watch = Callable[[int, int, Tensor, Tensor], None]  # layer, part, queries [H, T, D], keys [G, T, D]


def contiguous(parts: Sequence[Part]) -> Tensor:
    """Positions ``[A, T of all]``, every part one behind the greatest before it."""
    placed, behind = [], 0
    for part in parts:
        placed.append(part.offsets.long() + behind)
        behind = int(placed[-1].max()) + 1
    return torch.cat(placed, 1)


@torch.no_grad()
def run(
    decoder: Any, parts: Sequence[Part], sees: Sees, watch: Watch | None = None
) -> list[Tensor]:
    """Hidden states of every part after the last norm.

    Args:
        decoder: a plain Hugging Face text decoder.
        watch: is shown every part's un-rotated queries and keys of a layer, before ``sees`` is
            asked about that layer.
    """
    hidden = [part.embeds for part in parts]
    for number, layer in enumerate(decoder.layers):
        made = [project(layer.self_attn, layer.input_layernorm(h)) for h in hidden]
        if watch is not None:
            for i, (queries, keys, _) in enumerate(made):
                watch(number, i, queries, keys)
        after = []
        for i, part in enumerate(parts):
            seen = sees(number, i)
            view = seen if isinstance(seen, View) else View(seen)
            context = [*view.parts, i]
            where = view.positions
            if where is None:
                where = contiguous([parts[j] for j in context])
            keys, values = (torch.cat([made[j][kind] for j in context], 1) for kind in (1, 2))
            mixed = _attend(decoder, layer.self_attn, made[i][0], keys, values, where, view)
            state = hidden[i] + layer.self_attn.o_proj(mixed)
            state = state + layer.mlp(layer.post_attention_layernorm(state))
            if number < len(part.deepstack):
                state[part.visual] += part.deepstack[number]
            after.append(state)
        hidden = after
    return [decoder.norm(h) for h in hidden]


def project(attention: Any, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normed ``[T, C]`` -> queries ``[H, T, D]``, keys and values ``[G, T, D]``, un-rotated."""
    made = []
    for kind in ("q", "k", "v"):
        heads = getattr(attention, f"{kind}_proj")(normed).unflatten(-1, (-1, attention.head_dim))
        norm = getattr(attention, f"{kind}_norm", None)
        made.append((heads if norm is None else norm(heads)).transpose(0, 1))
    return made[0], made[1], made[2]


def _attend(
    decoder: Any, attention: Any, q: Tensor, k: Tensor, v: Tensor, where: Tensor, view: View
) -> Tensor:
    """``[T, H * D]``."""
    new, total = q.shape[1], k.shape[1]
    k = rotate(decoder, k, where)
    k, v = (x.repeat_interleave(q.shape[0] // k.shape[0], 0) for x in (k, v))
    if view.toward is None:
        scores = rotate(decoder, q, where[:, total - new :]) @ k.transpose(1, 2)
    else:
        turned = rotate(decoder, q[:, :, None].expand(-1, -1, total, -1), view.toward)
        scores = torch.einsum("htnd,hnd->htn", turned, k)
    visible = view.visible
    if visible is None:
        visible = torch.arange(total)[None] <= torch.arange(total - new, total)[:, None]
    scores = (scores * attention.scaling).masked_fill(~visible, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def rotate(decoder: Any, x: Tensor, positions: Tensor) -> Tensor:
    """``[heads, ..., D]`` at int ``[A, ...]``, with the model's frequencies and scaling."""
    rotary = decoder.rotary_emb
    angles = _angles(positions.float()[..., None] * rotary.inv_freq, decoder.config)
    cos, sin = (turn(angles) * rotary.attention_scaling for turn in (torch.cos, torch.sin))
    one, other = x.chunk(2, -1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin), -1)


def _angles(by_axis: Tensor, config: Any) -> Tensor:
    """``[A, ..., F]`` -> ``[..., F]``: every frequency by its axis, as Qwen's papers draw it."""
    parameters = config.rope_parameters
    sections = parameters.get("mrope_section")
    if sections is None:
        return by_axis[0]
    if not parameters.get("mrope_interleaved"):
        pieces = by_axis.split(list(sections), -1)
        return torch.cat([piece[axis] for axis, piece in enumerate(pieces)], -1)
    axes = [(0, 1, 2)[f % 3] if f < 3 * sections[f % 3] else 0 for f in range(by_axis.shape[-1])]
    return torch.stack([by_axis[axis, ..., f] for f, axis in enumerate(axes)], -1)
