"""A line that the stream does not hear: spoken over ``[sink | window | request]``, then forgotten.

The context is a turn of its own, laid out as for a question that recalls nothing; lines spoken
before are not in it.  When it is dropped the stream is as it was, bit for bit.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from longtake.memory.chunk import ChunkInfo
from longtake.memory.turn import Turn
from longtake.models.base import Prompt
from longtake.models.decode import Decoding
from longtake.narration.narrator import Narrator
from longtake.narration.voice import Voice
from longtake.turns import next_logits

if TYPE_CHECKING:
    from longtake.session import Session


class Asides:
    """Listens to a session's chunks, and says a line about those that are due.

    Raises:
        ValueError: if the request holds no word.
    """

    def __init__(self, session: Session, narrator: Narrator) -> None:
        self._session, self._narrator = session, narrator
        self._prompt = session.adapter.prompt(narrator.telling.request)
        session.listeners = [*session.listeners, self]

    def __call__(self, info: ChunkInfo) -> None:
        session, narrator = self._session, self._narrator
        if narrator.is_over:
            session.listeners = [each for each in session.listeners if each is not self]
            return
        decoding = narrator.telling.decoding
        assert decoding is not None
        if narrator.is_due(info.end_s):
            said = narrator.decide(
                partial(open_aside, session, self._prompt, decoding, info.number)
            )
            if said is not None:
                narrator.tell(info.start_s, said[1])


@torch.inference_mode()
def open_aside(session: Session, prompt: Prompt, decoding: Decoding, moment: int) -> Voice:
    """The model, about to answer over what is in the window now.

    Raises:
        ValueError: if that is more context than the model was trained for.
    """
    adapter, ids = session.adapter, prompt.ids
    context = [session.window.sink, *session.window.segments()]
    room = len(ids) + decoding.max_tokens
    turn = Turn.over_all(adapter.rotary, context, room, adapter.shape.axes)
    if turn.next_position + room > adapter.shape.trained_tokens:
        raise ValueError(
            f"{turn.context_tokens} tokens of context and {room} of request and line: the model "
            f"was trained for {adapter.shape.trained_tokens}. Lower --window"
        )
    return Voice(adapter, turn, next_logits(adapter, turn, ids), ids.tolist(), moment)
