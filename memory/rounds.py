"""What StreamingVLM keeps of a stream: previous text, and the newest rounds (arXiv 2510.09608).

    head | previous text: its first 512 tokens, its newest 512 | foot | round | round | ...
    round = opening, frames, closing, the line that was said, its end

Everything is kept un-rotated, each stretch a segment, so that positions are re-assigned
contiguously whenever something leaves.  When a round leaves, its line moves behind the previous
text, its frames are handed over as chunks, and its wrapping is dropped.

L layers, G key heads, T tokens, D head dimension.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch

from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Segment


@dataclass(slots=True)
class Round:
    """One second of a stream; `line` and what is around it come when its frames are complete."""

    opening: Segment
    frames: list[tuple[ChunkInfo, Segment]] = field(default_factory=list)
    closing: Segment | None = None
    line: Segment | None = None  # None: silence
    end: Segment | None = None

    def segments(self) -> list[Segment]:
        found = [self.opening, *(segment for _, segment in self.frames)]
        return found + [s for s in (self.closing, self.line, self.end) if s is not None]


class Rounds:
    """See above.  All tensors are on the device; bounded by rounds, their step and line tokens.

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
        self._previous: Segment | None = None
        self._rounds: deque[Round] = deque()

    @property
    def infos(self) -> list[ChunkInfo]:
        return [info for each in self._rounds for info, _ in each.frames]

    @property
    def tokens(self) -> int:
        """Of frames, previous text and rounds; without head and foot."""
        return sum(s.positions.shape[1] for s in self.context()) - sum(
            s.positions.shape[1] for s in (self.sink, self._foot) if s is not None
        )

    @property
    def device_bytes(self) -> int:
        return sum(s.keys.nbytes + s.values.nbytes for s in self.context())

    @property
    def previous_tokens(self) -> int:
        return 0 if self._previous is None else self._previous.positions.shape[1]

    def segments(self) -> list[Segment]:
        """The frames, oldest first."""
        return [segment for each in self._rounds for _, segment in each.frames]

    def chunks(self) -> list[Chunk]:
        return [
            Chunk(info, s.keys.clone(), s.values.clone(), s.positions.int())
            for each in self._rounds
            for info, s in each.frames
        ]

    def context(self) -> list[Segment]:
        """Everything, in the order of places."""
        outer = [s for s in (self.sink, self._previous, self._foot) if s is not None]
        return outer + [s for each in self._rounds for s in each.segments()]

    def add(self, newest: Round) -> None:
        self._rounds.append(newest)

    def make_room(self) -> list[Chunk]:
        """For one more round: the oldest leave, their lines stay as previous text."""
        gone: list[Chunk] = []
        while len(self._rounds) >= self._most:
            oldest = self._rounds.popleft()
            gone += [Chunk(i, s.keys, s.values, s.positions.int()) for i, s in oldest.frames]
            if oldest.line is not None:
                self._append(oldest.line)
        return gone

    def _append(self, line: Segment) -> None:
        parts = [s for s in (self._previous, line) if s is not None]
        keys = torch.cat([s.keys for s in parts], 2)
        values = torch.cat([s.values for s in parts], 2)
        tokens = keys.shape[2]
        if tokens > self._text_sink + self._text_window:
            newest = tokens - self._text_window
            kept = torch.cat([torch.arange(self._text_sink), torch.arange(newest, tokens)])
            keys, values = (x[:, :, kept.to(x.device)] for x in (keys, values))
        positions = torch.arange(keys.shape[2]).expand(line.positions.shape[0], -1)
        self._previous = Segment(keys, values, positions) if keys.shape[2] else None
