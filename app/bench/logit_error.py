"""What a codec's error is to attention: differences of logits, not of keys.

A logit is ``q.k / sqrt(D)``, query and key turned at their places.  Softmax does not see what is
added to all logits of a query, so each difference is taken less its mean over the keys.  Mean
squared error of keys is a bad gate: it ranks codecs otherwise than answers do.

Keys come from two places: drawn ones, around a great bias or none, and those that the embedded
model makes of a drawn film.  Which codecs there are is not known here.

H query heads, G key heads, Q query tokens, T tokens, D head dimension.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from longtake.kernels.attention import causal_mask
from longtake.kernels.dispatch import attend
from longtake.memory.codecs import Codec, LayerShape
from longtake.models.base import Adapter
from longtake.models.embedded.world import long_film
from longtake.models.positions import Rotary, in_turn, text_positions

SEED = 1
QUESTION = "what color was the circle?"
THETA = 1e6  # Qwen2's and Qwen2.5's base

MakeCodec = Callable[[Tensor | None], Codec]  # of one layer, from its key bias [G, D]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's chunks, and queries that look at all of them."""

    chunks: Sequence[tuple[Tensor, Tensor]]  # keys and values [G, T, D], un-rotated
    queries: Tensor  # [G, H/G * Q, D] float32, rotated
    turn: Callable[[Tensor], Tensor]  # the keys of all chunks behind each other, to their places
    bias: Tensor | None  # [G, D]

    def keys(self) -> Tensor:
        """Of all chunks, ``[G, all T, D]``."""
        return torch.cat([keys for keys, _ in self.chunks], 1)

    def logits(self, keys: Tensor) -> Tensor:
        """``[G, H/G * Q, all T]``, less their mean over the keys."""
        found: Tensor = self.queries @ self.turn(keys.float()).mT / keys.shape[-1] ** 0.5
        return found - found.mean(-1, keepdim=True)


@dataclass(frozen=True, slots=True)
class LogitError:
    """Over all layers, heads, queries and keys."""

    rms: float
    greatest: float


def logit_error(layers: Sequence[Layer], make: MakeCodec) -> LogitError:
    """What encoding and decoding every chunk changes."""
    squares, count, greatest = 0.0, 0, 0.0
    for layer in layers:
        codec = make(layer.bias)
        found = torch.cat([_round_trip(codec, *chunk) for chunk in layer.chunks], 1)
        error = layer.logits(found) - layer.logits(layer.keys())
        squares += float(error.double().square().sum())
        count += error.numel()
        greatest = max(greatest, float(error.abs().max()))
    return LogitError((squares / count) ** 0.5, greatest)


def spread(layers: Sequence[Layer]) -> float:
    """Root mean square of the logits themselves, less their mean: what errors stand beside."""
    logits = [layer.logits(layer.keys()).flatten() for layer in layers]
    return float(torch.cat(logits).double().square().mean().sqrt())


def _round_trip(codec: Codec, keys: Tensor, values: Tensor) -> Tensor:
    shape = LayerShape(keys.shape[0], keys.shape[1], keys.shape[2], keys.dtype)
    keys_out, values_out = torch.empty_like(keys), torch.empty_like(values)
    codec.decode(codec.encode(keys, values), shape, keys_out, values_out)
    return keys_out


# ------------------------------------------------------------------ drawn keys


def synthetic(shape: LayerShape, bias_norm: float, chunks: int = 4, queries: int = 16) -> Layer:
    """Normal keys whose channels differ in spread, around a bias that lies in few channels.

    A toy: it shows what a great bias does to a codec, not how a model's keys are.
    """
    drawn = torch.Generator().manual_seed(SEED)
    heads, tokens, dim = shape.size
    bias = torch.randn(heads, dim, generator=drawn) ** 5
    bias *= bias_norm / bias.norm(dim=1, keepdim=True)
    spreads = 0.5 + torch.rand(heads, 1, dim, generator=drawn)
    made = []
    for _ in range(chunks):
        keys, values = torch.randn(2, *shape.size, generator=drawn)
        made.append(((keys * spreads + bias[:, None]).to(shape.dtype), values.to(shape.dtype)))
    rotary = Rotary(THETA ** -(torch.arange(0, dim, 2) / dim), torch.zeros(dim // 2))
    places = rotary.table(torch.arange(chunks * tokens)[None])
    there = rotary.table(torch.full((1, queries), chunks * tokens))
    asked = rotary.rotate(torch.randn(heads, queries, dim, generator=drawn), there)
    return Layer(made, asked, lambda keys: rotary.rotate(keys, places), bias)


# ------------------------------------------------------------------ a model's keys


class _Remembered:
    """A past that attends as ever, and keeps what it was shown: ``[H or G, T, D]`` a layer."""

    def __init__(self, rotary: Rotary, positions: Tensor) -> None:
        self._rotary, self._table = rotary, rotary.table(positions)
        self.layers: list[tuple[Tensor, Tensor, Tensor]] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.layers.append((query[0], key[0], value[0]))
        tokens = query.shape[2]
        q, k = (self._rotary.rotate(x, self._table) for x in (query, key))
        return attend(q, k, value, scale, causal_mask(tokens, tokens, query.device))


@torch.no_grad()
def seen_by(adapter: Adapter, seconds: int) -> list[Layer]:
    """Every layer's keys of a drawn film, a chunk a step, and the queries of a question on it.

    One causal forward over sink, film and question: no window, so that nothing but the codec
    differs.
    """
    sink, prompt = adapter.sink(), adapter.prompt(QUESTION)
    film = long_film(random.Random(SEED), seconds)
    each = adapter.recipe.frames_per_step
    times, images = zip(*film.frames(adapter.recipe.fps), strict=True)
    whole = len(images) // each * each
    steps = adapter.steps(images[:whole], times[:whole])
    parts = [sink.positions, *(step.positions for step in steps)]
    parts.append(text_positions(len(prompt.ids), adapter.shape.axes))
    embeds = [sink.embeds, *(step.embeds for step in steps), adapter.embed(prompt.ids)]
    positions = in_turn(parts)
    past = _Remembered(adapter.rotary, positions)
    adapter.decode_step(torch.cat(embeds), past, {})

    ends = list(accumulate(len(part) for part in embeds))
    spans = [slice(first, end) for first, end in pairwise(ends[:-1])]  # of the steps
    asked = torch.arange(ends[-2], ends[-1])[prompt.asked.cpu()]
    return list(_layers(adapter, past, positions, spans, asked))


def _layers(
    adapter: Adapter, past: _Remembered, positions: Tensor, spans: list[slice], asked: Tensor
) -> Iterator[Layer]:
    biases, shape, rotary = adapter.key_bias(), adapter.shape, adapter.rotary
    film = slice(spans[0].start, spans[-1].stop)
    places, there = rotary.table(positions[:, film]), rotary.table(positions[:, asked])
    for i, (query, keys, values) in enumerate(past.layers):
        turned = rotary.rotate(query[:, asked].float(), there)
        yield Layer(
            [(keys[:, span].cpu(), values[:, span].cpu()) for span in spans],
            turned.reshape(shape.kv_heads, -1, shape.head_dim),  # heads of a group are neighbours
            lambda x: rotary.rotate(x, places),
            None if biases is None else biases[i].view(shape.kv_heads, shape.head_dim),
        )
