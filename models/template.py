"""Cut a checkpoint's own chat template at the video: sink before it, turn after it.

A take is one user message that begins with an endless video.  What the template writes before
the first frame is the sink; what it writes after the last one, with the question in it, is the
turn.  Knows tokenizers; nothing of vision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from longtake.models.base import ModelError, Prompt

_PROBE = "qqzqq"  # no template writes this itself


class Template:
    """One tokenizer's template.

    Args:
        tokenizer: with a chat template that knows ``{"type": "video"}``.
        video_text: what the template writes for the video.

    Raises:
        ModelError: if the template is missing, or has no place for a video.
    """

    def __init__(self, tokenizer: Any, video_text: str) -> None:
        self._tokenizer, self._video_text = tokenizer, video_text
        added = tokenizer.added_tokens_decoder.values()
        self._special = {*tokenizer.all_special_tokens, *(t.content for t in added if t.special)}
        if not tokenizer.chat_template:
            raise ModelError("the tokenizer has no chat template: add chat_template.jinja")
        before, after = self.around_video(self._written([("user", _PROBE)]))
        self._behind = len(after) - after.rindex(_PROBE) - len(_PROBE)  # characters that follow
        self._sink = self.encode(before)
        if not self._sink:
            raise ModelError("the chat template writes nothing before the video: no sink")

    def sink_ids(self) -> list[int]:
        return list(self._sink)

    def prompt(self, question: str, dialogue: Sequence[tuple[str, str]]) -> Prompt:
        """Everything between the last frame and the answer.

        Raises:
            ValueError: if the question holds no word.
        """
        spoken = self.plain(question)
        turns: list[tuple[str, str]] = []
        for asked, answered in dialogue:
            turns += [("user", self.plain(asked)), ("assistant", self.plain(answered))]
        _, after = self.around_video(self._written([*turns, ("user", spoken)]))
        return self.cut(after, spoken, len(after) - self._behind - len(spoken))

    def words(self, text: str) -> torch.Tensor:
        """A user's words alone, int64 ``[T]``.

        Raises:
            ValueError: if there is none.
        """
        ids = self.encode(self.plain(text))
        if not ids:
            raise ValueError(f"question={text!r}: must hold at least one word")
        return torch.tensor(ids)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()

    def plain(self, text: str) -> str:
        """Users' words must not open or close turns of the template."""
        for token in self._special:
            text = text.replace(token, " ")
        return text.strip()

    def render(self, turns: Sequence[dict[str, Any]], is_open: bool) -> str:
        """What the template writes; ``is_open``: up to where the assistant begins."""
        written: str = self._tokenizer.apply_chat_template(
            list(turns), tokenize=False, add_generation_prompt=is_open
        )
        return written

    def around_video(self, written: str) -> tuple[str, str]:
        """What stands before a video and after it."""
        before, video, after = written.partition(self._video_text)
        if not video:
            raise ModelError(
                f"the chat template writes no {self._video_text} for a video: "
                "is this a Video-LLM's tokenizer?"
            )
        return before, after

    def cut(self, text: str, spoken: str, begin: int) -> Prompt:
        """Token ids of a text in which the question's own words begin at a character."""
        coded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        end = begin + len(spoken)
        asked = [
            first < end and last > begin and last > first for first, last in coded["offset_mapping"]
        ]
        if not spoken or not any(asked):
            raise ValueError(f"question={spoken!r}: must hold at least one word")
        return Prompt(torch.tensor(coded["input_ids"]), torch.tensor(asked))

    def _written(self, turns: Sequence[tuple[str, str]]) -> str:
        messages = []
        for i, (role, words) in enumerate(turns):
            content = [{"type": "text", "text": words}]
            if i == 0:
                content.insert(0, {"type": "video"})
            messages.append({"role": role, "content": content})
        return self.render(messages, True)
