"""What StreamingVLM keeps of a stream: previous text, and the newest rounds (arXiv 2510.09608).

    head | previous text: its first 512 tokens, its newest 512 | foot | round | round | ...
    round = opening, frames, closing, the line that was said, its end

Everything is kept un-rotated, each stretch a segment, so that positions are re-assigned
contiguously whenever something leaves.  When a round leaves, its line moves behind the previous
text, its frames are handed over as chunks, and its wrapping is dropped.

L layers, G key heads, T tokens, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Segment


@dataclass(slots=True)
class Round:
    """As many frames as make a second; what is said of them comes when they are complete."""

    opening: Segment
    frames: list[tuple[ChunkInfo, Segment]] = field(default_factory=list)
    closing: Segment | None = None
    line: Segment | None = None  # None: silence
    end: Segment | None = None

    def segments(self) -> list[Segment]:
        found = [self.opening, *(segment for _, segment in self.frames)]
        return found + [s for s in (self.closing, self.line, self.end) if s is not None]


@dataclass(frozen=True, slots=True)
class Kept:
    """Previous text and rounds, oldest first."""

    previous: Segment | None
    rounds: tuple[Round, ...]


class Rounds:
    """See above.  All tensors are on the device; bounded by rounds, their step and line tokens.

    Changed by one thread; its numbers may be read from others.

    Args:
        head, foot: what stands around the previous text; ``foot`` may be missing.
        most: rounds that are kept.
        text_sink, text_window: tokens of previous text that are kept, first and newest.
    """

    def __init__(
        self, head: Segment, foot: Segment | None, most: int, text_sink: int, text_window: int
    ) -> None:
        if most < 1 or text_sink < 0 or text_window < 0:
            raise ValueError(f"rounds={most}, text_sink={text_sink}, text_window={text_window}")
        self.sink, self._foot = head, foot
        self._most, self._text_sink, self._text_window = most, text_sink, text_window
        self._kept = Kept(None, ())
        self.tokens = self.device_bytes = 0
        self.recount()

    @property
    def infos(self) -> list[ChunkInfo]:
        return [info for each in self._kept.rounds for info, _ in each.frames]

    @property
    def previous_tokens(self) -> int:
        previous = self._kept.previous
        return 0 if previous is None else previous.tokens

    def segments(self) -> list[Segment]:
        """The frames, oldest first."""
        return [segment for each in self._kept.rounds for _, segment in each.frames]

    def chunks(self) -> list[Chunk]:
        return [
            Chunk(info, s.keys.clone(), s.values.clone(), s.positions.int())
            for each in self._kept.rounds
            for info, s in each.frames
        ]

    def context(self, kept: Kept | None = None) -> list[Segment]:
        """Everything, in the order of places; of what will be kept where that is given."""
        kept = kept or self._kept
        outer = [s for s in (self.sink, kept.previous, self._foot) if s is not None]
        return outer + [s for each in kept.rounds for s in each.segments()]

    def next(self) -> tuple[Kept, list[Chunk]]:
        """What will be kept beside one more round, and the chunks that leave.  Changes nothing."""
        leaving = max(0, len(self._kept.rounds) - self._most + 1)
        previous, gone = self._kept.previous, []
        for oldest in self._kept.rounds[:leaving]:
            gone += [Chunk(i, s.keys, s.values, s.positions.int()) for i, s in oldest.frames]
            if oldest.line is not None:
                previous = self._joined(previous, oldest.line)
        return Kept(previous, self._kept.rounds[leaving:]), gone

    def take(self, kept: Kept, newest: Round) -> None:
        """From now on this is kept, and one more round."""
        self._kept = Kept(kept.previous, (*kept.rounds, newest))
        self.recount()

    def recount(self, open_bytes: int = 0) -> None:
        """After a change: tokens without head and foot; bytes of all, and of an open turn."""
        context = self.context()
        outer = sum(s.tokens for s in (self.sink, self._foot) if s is not None)
        self.tokens = sum(s.tokens for s in context) - outer
        self.device_bytes = open_bytes + sum(s.keys.nbytes + s.values.nbytes for s in context)

    def _joined(self, previous: Segment | None, line: Segment) -> Segment | None:
        parts = [s for s in (previous, line) if s is not None]
        keys = torch.cat([s.keys for s in parts], 2)
        values = torch.cat([s.values for s in parts], 2)
        tokens = keys.shape[2]
        if tokens > self._text_sink + self._text_window:
            newest = tokens - self._text_window
            kept = torch.cat([torch.arange(self._text_sink), torch.arange(newest, tokens)])
            keys, values = (x[:, :, kept.to(x.device)] for x in (keys, values))
        positions = torch.arange(keys.shape[2]).expand(line.positions.shape[0], -1)
        return Segment(keys, values, positions) if keys.shape[2] else None
