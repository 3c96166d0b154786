"""Steps become rounds, and rounds get their lines: the stream of mode `streamingvlm`.

A round is as many steps as make a second at the stream's rate.  It goes through one turn over
everything that is kept; what it added is kept un-rotated once it succeeded.  A step that fails
leaves everything as it was before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Segment
from longtake.memory.rounds import Kept, Round, Rounds
from longtake.memory.turn import Turn
from longtake.models.base import Adapter, Step
from longtake.models.decode import Decoding
from longtake.narration.telling import REQUEST
from longtake.narration.voice import Voice
from longtake.settings import Pace
from longtake.turns import put_step, put_words

TEXT_SINK, TEXT_WINDOW = 512, 512  # tokens of previous text
LINE = Decoding(max_tokens=20, temperature=0.9, repetition_penalty=1.05)
_ROUND_S = 1.0


@dataclass(slots=True)
class Speech:
    """How lines come about; without more than this by sampling, one every round."""

    # Says which tokens are the line, none for silence; the round's span comes with the voice.
    speak: Callable[[Voice, float, float], Sequence[int]] | None = None
    told: list[Callable[[float, float, Sequence[int]], None]] = field(default_factory=list)


@dataclass(slots=True)
class _Open:
    """A round that is not complete."""

    round: Round
    turn: Turn
    kept: Kept  # what stands before it
    closing: Sequence[int]


class RoundStream:
    """See `modes.base.Stream`.

    Args:
        seed: of sampled lines; each round draws its own numbers from it.
    """

    def __init__(self, adapter: Adapter, pace: Pace, seed: int) -> None:
        self._adapter, self._axes, self._seed = adapter, adapter.shape.axes, seed
        self.speech = Speech()
        steps_a_second = pace.fps / adapter.recipe.frames_per_step
        self._steps = max(1, round(steps_a_second * _ROUND_S))  # a round's
        self._most = max(1, math.ceil(pace.window_s * steps_a_second / self._steps))
        self._said: set[int] = set()  # ids of lines and wrapping that went through
        self._rounds_done = 0
        self._open: _Open | None = None
        self.request, self.conversation = REQUEST, adapter.conversation(REQUEST)
        self.window = self._begin()

    @property
    def most_tokens(self) -> int:
        """Of everything that stands before a question: frames, wrapping, lines, previous text."""
        pieces = [self._wrapping(is_first) for is_first in (True, False)]
        words = max(len(opened) + len(closed) for opened, closed in pieces)
        words += len(self.conversation.end_ids()) + LINE.max_tokens
        outer = len(self.conversation.head_ids()) + len(self.conversation.foot_ids())
        frames = self._steps * self._adapter.step_tokens
        return outer + TEXT_SINK + TEXT_WINDOW + self._most * (frames + words)

    def ask_for(self, request: str) -> None:
        """What the lines are to be about; stands in the first round.

        Raises:
            ValueError: if the stream was begun with another request, or it holds no word.
        """
        if request == self.request:
            return
        if self._rounds_done or self._open is not None:
            raise ValueError(
                f"request={request!r}: this stream was begun with {self.request!r}; narrate "
                "before its first frame"
            )
        self.conversation, self.request = self._adapter.conversation(request), request

    def put(self, step: Step, info: ChunkInfo) -> list[Chunk]:
        is_new = self._open is None
        gone: list[Chunk] = []
        if self._open is None:
            kept, gone = self.window.next()
            current = self._begin_round(info.start_s, kept)
        else:
            current = self._open
        mark, frames = current.turn.forwards, current.round.frames
        before = len(frames)
        try:
            put_step(self._adapter, current.turn, step)
            frames.append((info, _newest(current.turn)))
            is_complete = len(frames) == self._steps
            ids = self._complete(current) if is_complete else []
        except BaseException:
            current.turn.rewind(mark)
            del frames[before:]
            current.round.closing = current.round.line = current.round.end = None
            raise
        if is_new:
            self.window.take(current.kept, current.round)
        self._open = None if is_complete else current
        self.window.recount(0 if is_complete else current.turn.nbytes)
        if is_complete:
            self._rounds_done += 1
            for tell in self.speech.told:
                tell(frames[0][0].start_s, frames[-1][0].end_s, ids)
        return gone

    def usual(self, voice: Voice) -> Sequence[int]:
        """The line where nobody narrates: the paper's sampling."""
        return voice.speak(replace(LINE, seed=self._seed))

    def wanted(self, past: Sequence[ChunkInfo]) -> list[ChunkInfo]:
        """None: rounds without their lines would be other rounds."""
        return []

    def restore(self, chunks: Sequence[Chunk]) -> None:
        assert not chunks

    def wipe(self) -> None:
        """Every round has tensors of its own: nothing is left."""

    # ---------------------------------------------------------------- inside

    def _begin(self) -> Rounds:
        """Head and foot go through the decoder, once."""
        sizes, adapter, pieces = self._adapter.shape, self._adapter, self.conversation
        size = (sizes.layers, sizes.kv_heads, 0, sizes.head_dim)
        nothing = torch.empty(size, dtype=adapter.dtype, device=adapter.device)
        ids = [pieces.head_ids(), pieces.foot_ids()]
        turn = Turn(adapter.rotary, nothing, self._axes, 0, sum(map(len, ids)), keeps=True)
        for layer in range(sizes.layers):
            turn.lay(layer, [])
        head = self._say(turn, ids[0])
        foot = self._say(turn, ids[1]) if ids[1] else None
        return Rounds(head, foot, self._most, TEXT_SINK, TEXT_WINDOW)

    def _begin_round(self, start_s: float, kept: Kept) -> _Open:
        opened, closed = self._wrapping(self._rounds_done == 0, start_s)
        room = len(opened) + self._steps * self._adapter.step_tokens + len(closed)
        room += len(self.conversation.end_ids()) + 2 * LINE.max_tokens + 1
        turn = Turn.over_all(
            self._adapter.rotary, self.window.context(kept), room, self._axes, keeps=True
        )
        trained = self._adapter.shape.trained_tokens
        if turn.next_position + room > trained:
            raise ValueError(
                f"{turn.context_tokens} tokens are kept and {room} come with a round: the model "
                f"was trained for {trained}. Lower --window or --max-pixels, or shorten --request"
            )
        return _Open(Round(self._say(turn, opened)), turn, kept, closed)

    def _complete(self, current: _Open) -> Sequence[int]:
        """The frames are there: close them, and let the line be said."""
        turn, made = current.turn, current.round
        hidden = put_words(self._adapter, turn, torch.tensor(current.closing))
        made.closing = _newest(turn)
        logits = self._adapter.logits(hidden[-1:])[0]
        voice = Voice(self._adapter, turn, logits, self._said, self._rounds_done)
        if self.speech.speak is None:
            ids: Sequence[int] = self.usual(voice)
        else:
            span = made.frames[0][0].start_s, made.frames[-1][0].end_s
            ids = list(self.speech.speak(voice, *span))
        if ids:
            made.line = self._say(turn, ids)
        made.end = self._say(turn, self.conversation.end_ids())
        return ids

    def _wrapping(self, is_first: bool, start_s: float = 0.0) -> tuple[list[int], list[int]]:
        return self.conversation.round_ids(start_s, start_s + _ROUND_S, is_first=is_first)

    def _say(self, turn: Turn, ids: Sequence[int]) -> Segment:
        put_words(self._adapter, turn, torch.tensor(list(ids)))
        self._said.update(ids)
        return _newest(turn)


def _newest(turn: Turn) -> Segment:
    """What the last forward added."""
    return turn.own(turn.forwards - 1, turn.forwards)
