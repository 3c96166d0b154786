"""StreamingVLM as its paper describes it (arXiv 2510.09608): a line a second, for ever.

Each second of a stream is a round: a user's turn with its frames, and the line that the model
says about it.  Kept are 16 rounds, and of what was said before them the first 512 and the newest
512 tokens, as a segment of their own; positions are contiguous from 0 in every round.  A round
that leaves moves its line to the previous text; its frames go to the memory as chunks (the paper
drops them), so that another mode can still recall them.

Its released model was trained for this; others can be run this way, and were not.  A memory that
is opened again begins with no rounds and no previous text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch

from longtake import scope
from longtake.asked import Asked
from longtake.memory.chunk import Chunk, ChunkInfo
from longtake.memory.layout import Segment
from longtake.memory.rounds import Round, Rounds
from longtake.memory.turn import Turn
from longtake.models.base import Adapter, Prompt, Step
from longtake.models.conversation import Conversation
from longtake.models.decode import Decoding
from longtake.modes.base import BaseMode, fallback
from longtake.narration.narration import Narration
from longtake.narration.narrator import Narrator
from longtake.narration.telling import REQUEST, Telling
from longtake.narration.voice import Voice
from longtake.recalling import Laid, Reach, Recalling, of_layer
from longtake.session import Session
from longtake.settings import Pace, TakeConfig

FPS, VISION_S, TEXT_SINK, TEXT_WINDOW = 2.0, 16.0, 512, 512
LINE = Decoding(max_tokens=20, temperature=0.9, repetition_penalty=1.05)
_QUIET = "..."  # what its released model ends a line with, and says where it says nothing


@dataclass(slots=True)
class Speech:
    """How lines come about; set before the first frame."""

    request: str = REQUEST
    decoding: Decoding = LINE
    # Says which tokens are the line, none for silence; the round's span comes with the voice.
    speak: Callable[[Voice, float, float], Sequence[int]] | None = None
    told: list[Callable[[float, float, Sequence[int]], None]] = field(default_factory=list)


class StreamingVlm(BaseMode):
    """``[head | previous text | foot | rounds | question]``."""

    name = "streamingvlm"
    reach = Reach(recalls=False)

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        config = fallback(config, fps=FPS, window_s=VISION_S, dialogue_tokens=0)
        pace = Pace.settle(config, adapter.recipe, adapter.step_tokens, adapter.shape)
        lines = TEXT_SINK + TEXT_WINDOW + int(pace.window_s) * (LINE.max_tokens + 32)
        trained = adapter.shape.trained_tokens
        if pace.window_tokens + lines > trained:
            raise ValueError(
                f"{pace.window_s:g} s of frames and what is said about them are up to "
                f"{pace.window_tokens + lines} tokens, and the model was trained for {trained}: "
                "lower --window, --fps or --max-pixels"
            )
        return pace

    def stream(self, adapter: Adapter, pace: Pace, config: TakeConfig) -> RoundStream:
        return RoundStream(adapter, pace)

    def prompt(self, session: Session, asked: Asked) -> Prompt:
        return _stream_of(session).conversation.question(asked.question)

    def lay(self, session: Session, asked: Asked, prompt: Prompt, known: scope.Scope) -> Laid:
        if asked.when != scope.When():
            raise ValueError(
                "--at and --between: this mode keeps no earlier windows; use --mode recall"
            )
        rounds = _stream_of(session).window
        return Recalling(session, asked, prompt, known, self.reach, rounds.context()).lay()

    def narrate(self, session: Session, telling: Telling, narration: Narration) -> None:
        """Lines are part of the stream; what a narration skips is silence there too.

        Raises:
            ValueError: if lines are to be longer than the rounds have room for, or the request
                is another one than stands in the first round.
        """
        stream, telling = _stream_of(session), telling.settle("always", LINE)
        assert telling.decoding is not None
        if telling.decoding.max_tokens > LINE.max_tokens:
            raise ValueError(
                f"max_tokens={telling.decoding.max_tokens}: a line in the stream has at most "
                f"{LINE.max_tokens}; use --mode recall for longer ones"
            )
        stream.narrate(Narrator(telling, narration, 1 / session.pace.fps))


def _stream_of(session: Session) -> RoundStream:
    return cast(RoundStream, session.stream)


class RoundStream:
    """Steps become rounds, rounds get their lines."""

    def __init__(self, adapter: Adapter, pace: Pace) -> None:
        self._adapter, self._axes = adapter, adapter.shape.axes
        self.speech = Speech()
        self._steps = max(1, round(pace.fps / adapter.recipe.frames_per_step))  # a round's
        self._most = max(1, round(pace.window_s))
        self._said: set[int] = set()  # ids of lines and wrapping that are kept or were
        self._conversation: tuple[str, Conversation] | None = None  # for which request
        self._rounds_done = 0
        self._round: Round | None = None  # the one that is not complete
        self._turn: Turn | None = None
        self._leaving: list[Chunk] = []
        self.window = self._begin()

    @property
    def conversation(self) -> Conversation:
        request = self.speech.request
        if self._conversation is None or self._conversation[0] != request:
            self._conversation = request, self._adapter.conversation(request)
        return self._conversation[1]

    def put(self, step: Step, info: ChunkInfo) -> list[Chunk]:
        """A step that fails leaves everything as it was before it."""
        is_new = self._round is None
        if is_new:
            self._open(info.start_s)
        turn, current = self._turn, self._round
        assert turn is not None and current is not None
        mark = turn.forwards
        try:
            frames = self._put(turn, step.embeds, step.positions, step.extra)
            current.frames.append((info, frames))
            if len(current.frames) == self._steps:
                self._close(turn, current)
        except BaseException:
            turn.rewind(mark)
            current.frames = [held for held in current.frames if held[0] is not info]
            current.closing = current.line = current.end = None
            if is_new:
                self._round = self._turn = None
            raise
        if is_new:
            self.window.add(current)
        gone, self._leaving = self._leaving, []
        return gone

    def wanted(self, past: Sequence[ChunkInfo]) -> list[ChunkInfo]:
        return []

    def restore(self, chunks: Sequence[Chunk]) -> None:
        """Nothing: rounds without their lines would be other rounds."""

    def narrate(self, narrator: Narrator) -> None:
        """Let a narrator choose the lines, until its narration is over."""
        telling = narrator.telling
        assert telling.decoding is not None
        has_begun = self._rounds_done > 0 or self._round is not None
        if has_begun and telling.request != self.speech.request:
            raise ValueError(
                f"request={telling.request!r}: this stream was begun with "
                f"{self.speech.request!r}; narrate before its first frame"
            )
        lines = _Lines(self, narrator)
        self.speech = Speech(telling.request, telling.decoding, lines.speak, [lines.told])

    # ---------------------------------------------------------------- inside

    def _begin(self) -> Rounds:
        """Head and foot go through the decoder, once."""
        pieces = self.conversation
        ids = [pieces.head_ids(), pieces.foot_ids()]
        sizes, adapter = self._adapter.shape, self._adapter
        nothing = torch.empty(
            (sizes.layers, sizes.kv_heads, 0, sizes.head_dim),
            dtype=adapter.dtype,
            device=adapter.device,
        )
        turn = Turn(adapter.rotary, nothing, self._axes, 0, sum(map(len, ids)), keeps=True)
        for layer in range(sizes.layers):
            turn.lay(layer, [])
        head, foot = (self._say(turn, part) if part else None for part in ids)
        assert head is not None
        return Rounds(head, foot, self._most, TEXT_SINK, TEXT_WINDOW)

    def _open(self, start_s: float) -> None:
        self._leaving += self.window.make_room()
        opened, _ = self._around(start_s)
        room = len(opened) + self._steps * self._adapter.step_tokens
        room += len(self._around(start_s)[1]) + len(self.conversation.end_ids())
        room += 2 * max(LINE.max_tokens, self.speech.decoding.max_tokens) + 1
        context = self.window.context()
        turn = Turn.over(
            self._adapter.rotary,
            [[of_layer(s, layer) for s in context] for layer in range(self._adapter.shape.layers)],
            room,
            self._axes,
            keeps=True,
        )
        self._round, self._turn = Round(self._say(turn, opened)), turn

    def _close(self, turn: Turn, current: Round) -> None:
        start_s, end_s = current.frames[0][0].start_s, current.frames[-1][0].end_s
        _, closed = self._around(start_s)
        hidden = self._forward(turn, closed)
        current.closing = turn.own(turn.forwards - 1, turn.forwards)
        logits = self._adapter.logits(hidden[-1:])[0]
        voice = Voice(self._adapter, turn, logits, self._said)
        speech = self.speech
        if speech.speak is None:
            ids = voice.speak(speech.decoding)
        else:
            ids = list(speech.speak(voice, start_s, end_s))
        if ids:
            current.line = self._say(turn, ids)
        current.end = self._say(turn, self.conversation.end_ids())
        self._round = self._turn = None
        self._rounds_done += 1
        for tell in speech.told:
            tell(start_s, end_s, ids)

    def _around(self, start_s: float) -> tuple[list[int], list[int]]:
        is_first = self._rounds_done == 0
        return self.conversation.round_ids(start_s, start_s + 1.0, is_first=is_first)

    def _say(self, turn: Turn, ids: Sequence[int]) -> Segment:
        self._said.update(ids)
        self._forward(turn, ids)
        return turn.own(turn.forwards - 1, turn.forwards)

    def _forward(self, turn: Turn, ids: Sequence[int]) -> torch.Tensor:
        turn.begin(len(ids))
        embeds = self._adapter.embed(torch.tensor(list(ids)))
        hidden = self._adapter.decode_step(embeds, turn, {})
        turn.commit()
        return hidden

    def _put(
        self, turn: Turn, embeds: torch.Tensor, positions: torch.Tensor, extra: dict[str, object]
    ) -> Segment:
        turn.begin(positions)
        self._adapter.decode_step(embeds, turn, extra)
        turn.commit()
        return turn.own(turn.forwards - 1, turn.forwards)


class _Lines:
    """A narrator's, among the rounds of a stream."""

    def __init__(self, stream: RoundStream, narrator: Narrator) -> None:
        self._stream, self._narrator = stream, narrator
        self._said: str | None = None  # about the newest round; None: it was not asked

    def speak(self, voice: Voice, start_s: float, end_s: float) -> Sequence[int]:
        self._said = None
        if self._narrator.is_over:
            self._stream.speech = Speech(self._stream.speech.request)
            return voice.speak(LINE)
        if not self._narrator.is_due(end_s):
            return ()
        said = self._narrator.decide(lambda: voice)
        if said is None:
            return ()
        ids, self._said = said
        return ids

    def told(self, start_s: float, end_s: float, ids: Sequence[int]) -> None:
        if self._said is not None:
            self._narrator.tell(start_s, self._said.removesuffix(_QUIET))
