"""A checkpoint's chat template cut into the pieces of a conversation that goes on for ever.

    head | previous text | foot | open(t) VIDEO close(t) line end | open ... | question

Every round is a user's turn with some frames and the assistant's line about them, as StreamingVLM
lays them out (arXiv 2510.09608): what was said before stands in a turn of its own, with the role
``previous text``; a template that refuses that role gets it as plain text.  All pieces are what
the template itself writes.  Knows tokenizers; nothing of vision.
"""

from __future__ import annotations

from typing import Any

from longtake.models.base import ModelError, Prompt
from longtake.models.template import Template

_ROLE = "previous text"
_SAID, _LINE = "qqzqq", "zqqqz"  # no template writes these itself


class Conversation:
    """The pieces, as token ids.

    Args:
        request: what is wanted of the lines; stands in the first round.
    """

    def __init__(self, template: Template, request: str) -> None:
        self._template, self._request = template, template.plain(request)
        if not self._request:
            raise ValueError(f"request={request!r}: must hold at least one word")
        self._before: list[dict[str, Any]] = [_turn(_ROLE, _text(_SAID))]
        written = self._try_render(self._before)
        if written is None:
            self._before, written = [], ""
            whole = self._render([_turn("user", _video())], True)
            opened = self._render([_turn("user", _text(_SAID))], False)
            self.head, self.foot = _shared_start(whole, opened), ""
        else:
            self.head, _, self.foot = written.partition(_SAID)
        first = self._user(0.0, 1.0, self._request)
        spoken = self._render([*self._before, first, _turn("assistant", _text(_LINE))], False)
        self._spoken = spoken
        self.end = spoken[spoken.rindex(_LINE) + len(_LINE) :]

    def head_ids(self) -> list[int]:
        return self._template.encode(self.head)

    def foot_ids(self) -> list[int]:
        return self._template.encode(self.foot) if self.foot else []

    def end_ids(self) -> list[int]:
        """Behind a line."""
        return self._template.encode(self.end)

    def round_ids(
        self, start_s: float, end_s: float, *, is_first: bool
    ) -> tuple[list[int], list[int]]:
        """Before a round's frames, and between them and its line."""
        turn = self._user(start_s, end_s, self._request if is_first else "")
        if is_first:
            said = f"{self.head}{_SAID}{self.foot}" if self._before else self.head
            written = self._behind(said, [*self._before, turn])
        else:
            before = [*self._before, self._user(0.0, 1.0, self._request)]
            before.append(_turn("assistant", _text(_LINE)))
            written = self._behind(self._spoken, [*before, turn])
        opened, closed = self._template.around_video(written)
        return self._template.encode(opened), self._template.encode(closed)

    def question(self, text: str) -> Prompt:
        """A user's turn without frames, behind the last line.

        Raises:
            ValueError: if it holds no word.
        """
        before = [*self._before, self._user(0.0, 1.0, self._request)]
        before.append(_turn("assistant", _text(_LINE)))
        spoken = self._template.plain(text)
        probed, written = (
            self._behind(self._spoken, [*before, _turn("user", _text(words))])
            for words in (_LINE, spoken)
        )
        return self._template.cut(written, spoken, probed.rindex(_LINE))

    def _behind(self, said: str, turns: list[dict[str, Any]]) -> str:
        """What the template writes for these turns behind what it wrote for the first ones."""
        written = self._render(turns, True)
        if not written.startswith(said):
            raise ModelError(
                "the chat template writes earlier turns otherwise once later ones follow: a "
                "conversation without end cannot be written with it"
            )
        return written[len(said) :]

    def _user(self, start_s: float, end_s: float, request: str) -> dict[str, Any]:
        parts = [_text(f"Time={start_s:.1f}-{end_s:.1f}s"), _video()]
        return _turn("user", *parts, *([_text(request)] if request else []))

    def _render(self, turns: list[dict[str, Any]], is_open: bool) -> str:
        return self._template.render(turns, is_open)

    def _try_render(self, turns: list[dict[str, Any]]) -> str | None:
        try:
            written = self._render(turns, False)
        except Exception:  # a template may raise anything about a role that it does not know
            return None
        return written if _SAID in written else None


def _turn(role: str, *content: dict[str, str]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def _video() -> dict[str, str]:
    return {"type": "video"}


def _shared_start(a: str, b: str) -> str:
    """What two renderings begin with, both: the system's turn and the user's header."""
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return a[:same]
