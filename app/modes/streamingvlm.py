"""StreamingVLM as its paper describes it (arXiv 2510.09608): a line a second, for ever.

Each second of a stream is a round: a user's turn with its frames, and the line that the model
says about it.  Kept are 16 s of rounds, and of what was said before them the first 512 and the
newest 512 tokens, as a segment of their own; positions are contiguous from 0 in every round.  A
round that leaves moves its line to the previous text; its frames go to the memory as chunks (the
paper drops them), so that another mode can still recall them.

Its released model was trained for this; others can be run this way, and were not.  A memory that
is opened again begins with no rounds and no previous text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from longtake import scope
from longtake.asked import Asked
from longtake.models.base import Adapter, Prompt
from longtake.modes.base import BaseMode, fallback
from longtake.modes.round_stream import LINE, TEXT_SINK, TEXT_WINDOW, RoundStream, Speech
from longtake.narration.narration import Narration
from longtake.narration.narrator import Narrator
from longtake.narration.telling import Telling
from longtake.narration.voice import Voice
from longtake.recalling import Laid, Reach, Recalling
from longtake.settings import Pace, TakeConfig

if TYPE_CHECKING:
    from longtake.session import Session

FPS, VISION_S = 2.0, 16.0
_ROOM, _WORDS = 256, 96  # tokens: of head and question, of a round's wrapping and line
_QUIET = "..."  # what its released model ends a line with, and says where it says nothing


class StreamingVlm(BaseMode):
    """``[head | previous text | foot | rounds | question]``."""

    name = "streamingvlm"
    reach = Reach(recalls=False)

    def pace(self, config: TakeConfig, adapter: Adapter) -> Pace:
        if config.window_tokens is not None:
            raise ValueError(
                f"window_tokens={config.window_tokens}: mode {self.name} counts seconds, --window"
            )
        config = fallback(self.without_dialogue(config), fps=FPS)
        steps = max(1, round((config.fps or FPS) / adapter.recipe.frames_per_step))
        free = adapter.shape.trained_tokens - TEXT_SINK - TEXT_WINDOW - _ROOM
        fitting = max(1, free // (steps * adapter.step_tokens + _WORDS))
        return super().pace(fallback(config, window_s=min(VISION_S, float(fitting))), adapter)

    def stream(self, adapter: Adapter, pace: Pace, config: TakeConfig) -> RoundStream:
        stream = RoundStream(adapter, pace, config.decoding.seed)
        trained = adapter.shape.trained_tokens
        if stream.most_tokens > trained:
            raise ValueError(
                f"{pace.window_s:g} s of frames and what is said about them are up to "
                f"{stream.most_tokens} tokens, and the model was trained for {trained}: "
                "lower --window, --fps or --max-pixels"
            )
        return stream

    def renew(self, session: Session) -> RoundStream:
        """Without rounds and previous text, as a memory that is opened again."""
        old, new = _stream_of(session), self.stream(session.adapter, session.pace, session.config)
        new.ask_for(old.request)
        new.speech = old.speech
        return new

    def prompt(self, session: Session, asked: Asked) -> Prompt:
        return _stream_of(session).conversation.question(asked.question)

    def lay(self, session: Session, asked: Asked, prompt: Prompt, known: scope.Scope) -> Laid:
        if asked.when != scope.When():
            raise ValueError(
                "--at and --between: this mode keeps no earlier windows; use --mode recall"
            )
        rounds = _stream_of(session).window
        if known.past and not rounds.infos:
            raise ValueError(
                "a memory that is opened again begins with no rounds: nothing of it is in this "
                "mode's context before frames come; use --mode recall"
            )
        return Recalling(session, asked, prompt, known, self.reach, rounds.context()).lay()

    def narrate(self, session: Session, telling: Telling, narration: Narration) -> None:
        """Lines are part of the stream; what a narration skips is silence there too.

        Raises:
            ValueError: if lines are to be longer than the rounds have room for, or the request
                is another one than stands in the first round.
        """
        own = replace(LINE, seed=session.config.decoding.seed)
        stream, telling = _stream_of(session), telling.settle("always", own)
        assert telling.decoding is not None
        if telling.decoding.max_tokens > LINE.max_tokens:
            raise ValueError(
                f"max_tokens={telling.decoding.max_tokens}: a line in the stream has at most "
                f"{LINE.max_tokens}; use --mode recall for longer ones"
            )
        stream.ask_for(telling.request)
        narrator = Narrator(telling, narration, 1 / session.pace.fps, session.caption)
        lines = _Lines(session, narrator)
        stream.speech = Speech(lines.speak, [lines.told])


def _stream_of(session: Session) -> RoundStream:
    return cast(RoundStream, session.stream)


class _Lines:
    """A narrator's, among the rounds of a stream."""

    def __init__(self, session: Session, narrator: Narrator) -> None:
        self._session, self._narrator = session, narrator
        self._said: str | None = None  # about the newest round; None: it was not asked

    def speak(self, voice: Voice, start_s: float, end_s: float) -> Sequence[int]:
        self._said = None
        if self._narrator.is_over:
            stream = _stream_of(self._session)
            stream.speech = Speech()
            return stream.usual(voice)
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
