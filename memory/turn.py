"""What a question attends to: a fixed context, and behind it the question's own tokens.

The context is laid out and rotated once; prefill and decoding only append.  It may differ by
layer, since each layer recalls its own chunks.  Nothing of it is the stream's: when the turn is
dropped the stream is as it was, bit for bit.

L layers, H query heads, G key heads, T tokens, D head dimension, A position axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtake.kernels.attention import causal_mask
from longtake.kernels.dispatch import attend
from longtake.memory.layout import Rotary, Segment, lay_out

Listener = Callable[[int, Tensor], None]


class Turn:
    """A `Past` for one question.  Per forward: `begin`, the decoder, `commit`.

    Args:
        context: for each layer its segments, ``[G, T, D]`` each, in the order of their places.
        room: tokens that may come behind the context.
        listener: is shown every layer's un-rotated query, ``[1, H, T, D]``.
    """

    def __init__(
        self,
        rotary: Rotary,
        context: Sequence[Sequence[Segment]],
        room: int,
        axes: int,
        listener: Listener | None = None,
    ) -> None:
        self._rotary, self._axes, self._listener = rotary, axes, listener
        self._lengths = [sum(s.keys.shape[1] for s in segments) for segments in context]
        self._own = 0  # tokens behind the context
        first = context[0][0].keys
        size = (len(context), first.shape[0], max(self._lengths) + room, first.shape[2])
        self._keys, self._values = (first.new_empty(size) for _ in range(2))
        self._bases = [self._lay(layer, segments) for layer, segments in enumerate(context)]
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[int, Tensor | None] = {}
        self._tokens = 0

    @property
    def context_tokens(self) -> int:
        """Of the layer that has most."""
        return max(self._lengths)

    @property
    def next_position(self) -> int:
        """Of the layer that has gone furthest."""
        return max(self._bases) + self._own

    def begin(self, tokens: int) -> None:
        """Plan a forward of so many tokens of text."""
        self._tokens = tokens
        device = self._keys.device
        own = self._own + torch.arange(tokens)
        self._tables = {
            base: self._rotary.table((base + own).expand(self._axes, -1))
            for base in set(self._bases)
        }
        self._masks = {
            length: causal_mask(tokens, length + self._own + tokens, device)
            for length in set(self._lengths)
        }

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `models.base.Past`."""
        if key.shape[2] != self._tokens:
            raise RuntimeError(f"{key.shape[2]} tokens came, begin planned {self._tokens}")
        if self._listener is not None:
            self._listener(layer, query)
        heads, length = query.shape[1], self._lengths[layer]
        turned = self._rotary.rotate(torch.cat((query, key), 1), self._tables[self._bases[layer]])
        start = length + self._own
        end = start + self._tokens
        self._keys[layer, :, start:end] = turned[0, heads:]
        self._values[layer, :, start:end] = value[0]
        return attend(
            turned[:, :heads],
            self._keys[layer : layer + 1, :, :end],
            self._values[layer : layer + 1, :, :end],
            scale,
            self._masks[length],
        )

    def commit(self) -> None:
        """The forward is done: its tokens stay for the rest of the turn."""
        self._own += self._tokens
        self._tokens = 0

    def _lay(self, layer: int, segments: Sequence[Segment]) -> int:
        positions, behind = lay_out([s.positions for s in segments])
        length = self._lengths[layer]
        keys = torch.cat([s.keys for s in segments], 1)
        self._keys[layer, :, :length] = self._rotary.rotate(keys, self._rotary.table(positions))
        torch.cat([s.values for s in segments], 1, out=self._values[layer, :, :length])
        return behind
