"""What a question attends to: a fixed context, and behind it the question's own tokens.

The context is laid out and rotated once; prefill and decoding only append.  It may differ by
layer, since each layer recalls its own chunks, and a layer may be laid out as late as its first
query is known (`choose`).  Nothing of it is the stream's: when the turn is dropped the stream is
as it was, bit for bit.

L layers, H query heads, G key heads, T tokens, D head dimension, A position axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from longtake.kernels.attention import causal_mask
from longtake.kernels.dispatch import attend
from longtake.memory.layout import Rotary, Segment, extent, lay_out

Listener = Callable[[int, Tensor], None]
Choose = Callable[[int, Tensor], Sequence[Segment]]


class Turn:
    """A `Past` for one question.  Per forward: `begin`, the decoder, `commit`.

    Args:
        like: un-rotated keys ``[L, G, T, D]`` of any T: gives sizes, dtype and device.
        context_tokens: the most that a layer's context may have.
        room: tokens that may come behind the context.
        listener: is shown every layer's un-rotated query, ``[1, H, T, D]``.
        choose: gives the context of a layer that is not laid out when its first un-rotated
            query comes.
        keeps: own tokens are kept un-rotated too, for `own`.
    """

    def __init__(
        self,
        rotary: Rotary,
        like: Tensor,
        axes: int,
        context_tokens: int,
        room: int,
        *,
        listener: Listener | None = None,
        choose: Choose | None = None,
        keeps: bool = False,
    ) -> None:
        self._rotary, self._axes, self._listener, self._choose = rotary, axes, listener, choose
        layers, heads, _, dim = like.shape
        size = (layers, heads, context_tokens + room, dim)
        self._keys, self._values = (like.new_empty(size) for _ in range(2))
        self._plain = like.new_empty((layers, heads, room, dim)) if keeps else None
        self._lengths: list[int | None] = [None] * layers
        self._bases = [0] * layers
        self._own: list[Tensor] = []  # offsets of the forwards that are done
        self._own_tokens = self._own_extent = 0
        self._pending: Tensor | None = None
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[int, Tensor | None] = {}

    @classmethod
    def over(
        cls,
        rotary: Rotary,
        context: Sequence[Sequence[Segment]],
        room: int,
        axes: int,
        listener: Listener | None = None,
        *,
        keeps: bool = False,
    ) -> Turn:
        """Over a context that is known: for each layer its segments, ``[G, T, D]`` each, in the
        order of their places."""
        like = context[0][0].keys.expand(len(context), -1, -1, -1)
        most = max(sum(s.keys.shape[1] for s in segments) for segments in context)
        turn = cls(rotary, like, axes, most, room, listener=listener, keeps=keeps)
        for layer, segments in enumerate(context):
            turn.lay(layer, segments)
        return turn

    @classmethod
    def over_all(
        cls,
        rotary: Rotary,
        segments: Sequence[Segment],
        room: int,
        axes: int,
        *,
        keeps: bool = False,
    ) -> Turn:
        """Over segments ``[L, G, T, D]`` that all layers attend to alike, at least one."""
        layers = range(segments[0].keys.shape[0])
        context = [[s.layer(layer) for s in segments] for layer in layers]
        return cls.over(rotary, context, room, axes, keeps=keeps)

    @property
    def nbytes(self) -> int:
        """Of its buffers."""
        plain = 0 if self._plain is None else self._plain.nbytes
        return self._keys.nbytes + self._values.nbytes + plain

    @property
    def context_tokens(self) -> int:
        """Of the layer that has most."""
        return max(length or 0 for length in self._lengths)

    @property
    def next_position(self) -> int:
        """Of the layer that has gone furthest."""
        return max(self._bases) + self._own_extent

    @property
    def own_tokens(self) -> int:
        """Behind the context."""
        return self._own_tokens

    def lay(self, layer: int, segments: Sequence[Segment]) -> None:
        """Rotate a layer's context into its place.  It may be empty."""
        if not segments:
            self._bases[layer] = self._lengths[layer] = 0
            return
        positions, self._bases[layer] = lay_out([s.positions for s in segments])
        length = self._lengths[layer] = positions.shape[1]
        keys = torch.cat([s.keys for s in segments], 1)
        self._keys[layer, :, :length] = self._rotary.rotate(keys, self._rotary.table(positions))
        torch.cat([s.values for s in segments], 1, out=self._values[layer, :, :length])

    def begin(self, tokens: int | Tensor) -> None:
        """Plan a forward: so many tokens of text, or offsets int ``[A, T]``."""
        if isinstance(tokens, int):
            tokens = torch.arange(tokens).expand(self._axes, -1)
        self._pending = tokens.cpu()
        self._tables, self._masks = {}, {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `models.base.Past`."""
        if self._pending is None or key.shape[2] != self._pending.shape[1]:
            planned = 0 if self._pending is None else self._pending.shape[1]
            raise RuntimeError(f"{key.shape[2]} tokens came, begin planned {planned}")
        if self._listener is not None:
            self._listener(layer, query)
        if self._lengths[layer] is None and self._choose is not None:
            self.lay(layer, self._choose(layer, query))
        heads, tokens, length = query.shape[1], key.shape[2], self._lengths[layer]
        assert length is not None, f"layer {layer} has no context"
        turned = self._rotary.rotate(torch.cat((query, key), 1), self._table(self._bases[layer]))
        start = length + self._own_tokens
        end = start + tokens
        self._keys[layer, :, start:end] = turned[0, heads:]
        self._values[layer, :, start:end] = value[0]
        if self._plain is not None:
            self._plain[layer, :, self._own_tokens : self._own_tokens + tokens] = key[0]
        return attend(
            turned[:, :heads],
            self._keys[layer : layer + 1, :, :end],
            self._values[layer : layer + 1, :, :end],
            scale,
            self._mask(tokens, end),
        )

    def commit(self) -> None:
        """The forward is done: its tokens stay for the rest of the turn."""
        assert self._pending is not None, "commit without begin"
        self._own.append(self._pending)
        self._count()
        self._pending = None

    def rewind(self, forwards: int = 0) -> None:
        """Forget own tokens but those of the first so many forwards; the context stays."""
        del self._own[forwards:]
        self._count()

    @property
    def forwards(self) -> int:
        """How many are done; what `rewind` takes."""
        return len(self._own)

    def own(self, first: int, last: int) -> Segment:
        """Own tokens of forwards ``[first, last)``, un-rotated, all layers, copied."""
        assert self._plain is not None, "this turn keeps no own tokens"
        begin = sum(p.shape[1] for p in self._own[:first])
        positions, _ = lay_out(self._own[first:last])
        own = slice(begin, begin + positions.shape[1])
        lengths = {length for length in self._lengths if length is not None}
        assert len(lengths) == 1, "only where all layers see the same context"
        start = lengths.pop() + begin
        values = self._values[:, :, start : start + positions.shape[1]]
        return Segment(self._plain[:, :, own].clone(), values.clone(), positions)

    def _count(self) -> None:
        self._own_tokens = sum(p.shape[1] for p in self._own)
        self._own_extent = sum(extent(p) for p in self._own)

    def _table(self, base: int) -> tuple[Tensor, Tensor]:
        """Rotations of the pending tokens, once a forward for all layers of that base."""
        if base not in self._tables:
            assert self._pending is not None
            self._tables[base] = self._rotary.table(self._pending + base + self._own_extent)
        return self._tables[base]

    def _mask(self, tokens: int, end: int) -> Tensor | None:
        if end not in self._masks:
            self._masks[end] = causal_mask(tokens, end, self._keys.device)
        return self._masks[end]
