"""Keep the stream's first tokens for ever and its newest ones in a window, on the device.

The window hands over whole chunks, oldest first, once a step has been attended to; where they
go is not known here.  All buffers are allocated once: keys as the model made them, values, and
a rotated copy of the keys.

Each key is rotated once, when it arrives; only the sink's few keys are rotated again when
chunks leave, into the free slots before the window, so what a step attends to is one view:

    | free ...... | sink | chunk | chunk | chunk | step | free ... |
                         ^ low                          ^ high

When the free slots behind are used up the window moves back to the front and is rotated anew
from its first position: every ``window_tokens`` tokens, so positions never grow.

Sources: attention sinks, StreamingLLM (arXiv 2309.17453); for video, StreamingVLM (2510.09608).
L layers, G key heads, T tokens, D head dimension, A position axes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.kernels.attention import causal_mask
from longtake.kernels.dispatch import attend
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Rotary, Segment, extent, lay_out


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowShape:
    """Sizes of one window, fixed for its life."""

    layers: int
    kv_heads: int
    head_dim: int
    window_s: float  # chunks that began this long before the newest one leave
    window_tokens: int  # and the oldest leave while there are more tokens than this
    step_tokens: int  # the most that may come at once

    def __post_init__(self) -> None:
        if not self.window_s > 0:
            raise ValueError(f"window_s={self.window_s}: must be positive")
        if self.step_tokens < 1 or self.window_tokens < self.step_tokens:
            raise ValueError(
                f"window_tokens={self.window_tokens}, step_tokens={self.step_tokens}: "
                "the window must hold at least one step"
            )


@dataclass(slots=True)
class _Held:
    info: ChunkInfo
    positions: Tensor
    base: int  # position of its offset 0


@dataclass(slots=True)
class _Pending:
    """A step between `begin` and `commit`."""

    positions: Tensor
    base: int
    first: int  # slots from which it attends
    table: tuple[Tensor, Tensor]
    mask: Tensor | None


class Window:
    """Sink and sliding window of one stream; a `Past` for the steps that it takes in.

    Per step: `begin`, one forward of the decoder, `commit`.  A forward that fails leaves the
    window as it was.
    """

    def __init__(
        self, shape: WindowShape, sink: Tensor, rotary: Rotary, dtype: torch.dtype, device: object
    ) -> None:
        """
        Args:
            sink: int ``[A, S]``, offsets of the sink's tokens; they come first, as one step.
        """
        self.shape, self._rotary = shape, rotary
        self._sink_positions = sink.cpu()
        self._sink_tokens, self._sink_extent = sink.shape[1], extent(sink)
        size = (shape.layers, shape.kv_heads, self._first_slots(shape), shape.head_dim)
        self._keys, self._values, self._rotated = (
            torch.zeros(size, dtype=dtype, device=torch.device(str(device))) for _ in range(3)
        )
        self._sink: Segment | None = None
        self._held: deque[_Held] = deque()
        self._low = self._high = 0
        self._pending: _Pending | None = None

    # ---------------------------------------------------------------- what it holds

    @property
    def has_sink(self) -> bool:
        return self._sink is not None

    @property
    def sink(self) -> Segment:
        """The first tokens, all layers."""
        if self._sink is None:
            raise RuntimeError("the sink has not been seen yet")
        return self._sink

    @property
    def infos(self) -> list[ChunkInfo]:
        """Chunks in the window, oldest first."""
        return [held.info for held in self._held]

    @property
    def tokens(self) -> int:
        """In the window, without the sink."""
        return self._high - self._low

    @property
    def device_bytes(self) -> int:
        """Constant from the first step on, unless nothing ever leaves."""
        sink = 0 if self._sink is None else self._sink.keys.nbytes + self._sink.values.nbytes
        return self._keys.nbytes + self._values.nbytes + self._rotated.nbytes + sink

    def segments(self) -> list[Segment]:
        """Views of the chunks in the window, oldest first; valid until the next step."""
        found, slot = [], self._low
        for held in self._held:
            end = slot + held.info.tokens
            keys, values = self._keys[:, :, slot:end], self._values[:, :, slot:end]
            found.append(Segment(keys, values, held.positions))
            slot = end
        return found

    def chunks(self) -> list[Chunk]:
        """Copies of the chunks in the window, oldest first."""
        return [
            Chunk(held.info, s.keys.clone(), s.values.clone(), s.positions.int())
            for held, s in zip(self._held, self.segments(), strict=True)
        ]

    # ---------------------------------------------------------------- a step comes in

    def begin(self, positions: Tensor) -> None:
        """Plan for a step with these offsets, int ``[A, T]``.  The first one is the sink.

        Raises:
            ValueError: if the step is larger than the window was made for.
        """
        positions = positions.cpu()
        tokens = positions.shape[1]
        if self._sink is None:
            if tokens != self._sink_tokens:
                raise ValueError(f"{tokens} tokens: the sink has {self._sink_tokens}")
            base = first = 0
        else:
            if tokens > self.shape.step_tokens:
                raise ValueError(
                    f"a step of {tokens} tokens: this window takes {self.shape.step_tokens} at most"
                )
            if self._high + tokens > self._keys.shape[2]:
                self._make_room(tokens)
            base, first = self._next_base(), self._low - self._sink_tokens
        table = self._rotary.table(positions + base)
        mask = self._step_mask(tokens, self._high + tokens - first)
        self._pending = _Pending(positions, base, first, table, mask)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """See `models.base.Past`."""
        turned, past = self._take(layer, query, key, value)
        assert self._pending is not None
        return attend(
            turned,
            self._rotated[layer : layer + 1, :, past],
            self._values[layer : layer + 1, :, past],
            scale,
            self._pending.mask,
        )

    def commit_sink(self) -> None:
        """The first forward is done: its tokens stay for ever."""
        self._high = self._low = self._take_pending().positions.shape[1]
        self._sink = Segment(
            self._keys[:, :, : self._high].clone(),
            self._values[:, :, : self._high].clone(),
            self._sink_positions,
        )

    def commit(self, info: ChunkInfo) -> list[Chunk]:
        """The forward is done: the step joins as a chunk; the ones that leave are returned."""
        step = self._take_pending()
        self._held.append(_Held(info, step.positions, step.base))
        self._high += info.tokens
        return self._evict()

    def restore(self, chunks: Iterable[Chunk]) -> None:
        """Put back chunks of an earlier run, oldest first, without the model.

        Raises:
            ValueError: if they do not fit into this window.
        """
        for chunk in chunks:
            start, end = self._high, self._high + chunk.tokens
            if self.tokens + chunk.tokens > self.shape.window_tokens:
                raise ValueError(
                    f"{self.tokens + chunk.tokens} tokens to restore: the window holds "
                    f"{self.shape.window_tokens}"
                )
            self._keys[:, :, start:end] = chunk.keys.to(self._keys.device)
            self._values[:, :, start:end] = chunk.values.to(self._values.device)
            base = self._next_base()
            self._held.append(_Held(chunk.info, chunk.positions.long(), base))
            self._high = end
            table = self._rotary.table(chunk.positions.long() + base)
            self._rotated[:, :, start:end] = self._rotary.rotate(self._keys[:, :, start:end], table)

    def wipe(self) -> None:
        """Overwrite what is left of chunks that are not held any more, between two steps."""
        place = self._low - self._sink_tokens  # of the sink's rotated copy
        self._keys[:, :, : self._low] = 0
        for buffer in (self._values, self._rotated):
            buffer[:, :, :place] = 0
        for buffer in (self._keys, self._values, self._rotated):
            buffer[:, :, self._high :] = 0

    # ---------------------------------------------------------------- inside

    def _first_slots(self, shape: WindowShape) -> int:
        return self._sink_tokens + 2 * shape.window_tokens + shape.step_tokens

    def _step_mask(self, tokens: int, keys: int) -> Tensor | None:
        return causal_mask(tokens, keys, self._keys.device)

    def _make_room(self, tokens: int) -> None:
        """For so many more, where the slots behind are used up."""
        self._move_to_front()

    def _take(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, slice]:
        """Write a layer's new keys and values; the turned query, and the slots it attends to."""
        step = self._pending
        if step is None:
            raise RuntimeError("attend before begin: a step must be planned first")
        heads, start, end = query.shape[1], self._high, self._high + key.shape[2]
        turned = self._rotary.rotate(torch.cat((query, key), 1), step.table)
        self._keys[layer, :, start:end] = key[0]
        self._values[layer, :, start:end] = value[0]
        self._rotated[layer, :, start:end] = turned[0, heads:]
        return turned[:, :heads], slice(step.first, end)

    def _take_pending(self) -> _Pending:
        if self._pending is None:
            raise RuntimeError("commit without begin")
        step, self._pending = self._pending, None
        return step

    def _next_base(self) -> int:
        if not self._held:
            return self._sink_extent
        last = self._held[-1]
        return last.base + extent(last.positions)

    def _evict(self) -> list[Chunk]:
        newest_s, gone = self._held[-1].info.start_s, []
        while len(self._held) > 1 and (
            newest_s - self._held[0].info.start_s >= self.shape.window_s
            or self.tokens > self.shape.window_tokens
        ):
            held = self._held.popleft()
            end = self._low + held.info.tokens
            gone.append(
                Chunk(
                    held.info,
                    self._keys[:, :, self._low : end].clone(),
                    self._values[:, :, self._low : end].clone(),
                    held.positions.int(),
                )
            )
            self._low = end
        if gone:
            self._place_sink()
        return gone

    def _place_sink(self) -> None:
        """Rotate the sink for the slots and positions just before the oldest chunk."""
        sink, slots = self.sink, slice(self._low - self._sink_tokens, self._low)
        shift = self._held[0].base - self._sink_extent
        table = self._rotary.table(self._sink_positions + shift)
        self._rotated[:, :, slots] = self._rotary.rotate(sink.keys, table)
        self._values[:, :, slots] = sink.values

    def _move_to_front(self) -> None:
        """Start again behind slot 0 and position 0; the buffers are twice the window, so what
        moves does not overlap where it goes."""
        low, tokens = self._sink_tokens, self.tokens
        for buffer in (self._keys, self._values):
            buffer[:, :, low : low + tokens] = buffer[:, :, self._low : self._high]
        self._low, self._high = low, low + tokens
        if not self._held:
            return
        positions, _ = lay_out([held.positions for held in self._held], self._sink_extent)
        base = self._sink_extent
        for held in self._held:
            held.base, base = base, base + extent(held.positions)
        window = slice(self._low, self._high)
        self._rotated[:, :, window] = self._rotary.rotate(
            self._keys[:, :, window], self._rotary.table(positions)
        )
        self._place_sink()


def fit(infos: Sequence[ChunkInfo], shape: WindowShape) -> list[ChunkInfo]:
    """Which of these chunks, oldest first, a window of ``shape`` would hold after the last."""
    if not infos:
        return []
    kept: list[ChunkInfo] = []
    tokens, newest_s = 0, infos[-1].start_s
    for info in reversed(infos):
        tokens += info.tokens
        if kept and (newest_s - info.start_s >= shape.window_s or tokens > shape.window_tokens):
            break
        kept.append(info)
    return kept[::-1]
