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
        video_token: what the template writes for the video.

    Raises:
        ModelError: if the template is missing, or has no place for a video.
    """

    def __init__(self, tokenizer: Any, video_token: str) -> None:
        self._tokenizer, self._video_token = tokenizer, video_token
        if not tokenizer.chat_template:
            raise ModelError("the tokenizer has no chat template: add chat_template.jinja")
        before, after = self._around_video([("user", _PROBE)])
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
        spoken = self._plain(question)
        turns: list[tuple[str, str]] = []
        for asked, answered in dialogue:
            turns += [("user", self._plain(asked)), ("assistant", self._plain(answered))]
        _, after = self._around_video([*turns, ("user", spoken)])
        begin = len(after) - self._behind - len(spoken)
        coded = self._tokenizer(after, add_special_tokens=False, return_offsets_mapping=True)
        end = begin + len(spoken)
        asked_mask = [
            first < end and last > begin and last > first for first, last in coded["offset_mapping"]
        ]
        if not spoken or not any(asked_mask):
            raise ValueError(f"question={question!r}: must hold at least one word")
        return Prompt(torch.tensor(coded["input_ids"]), torch.tensor(asked_mask))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.strip()

    def _plain(self, text: str) -> str:
        """Users' words must not open or close turns of the template."""
        for token in self._tokenizer.all_special_tokens:
            text = text.replace(token, " ")
        return text.strip()

    def _around_video(self, turns: Sequence[tuple[str, str]]) -> tuple[str, str]:
        messages = []
        for i, (role, words) in enumerate(turns):
            content = [{"type": "text", "text": words}]
            if i == 0:
                content.insert(0, {"type": "video"})
            messages.append({"role": role, "content": content})
        written: str = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        before, video, after = written.partition(self._video_token)
        if not video:
            raise ModelError(
                f"the chat template writes no {self._video_token} for a video: "
                "is this a Video-LLM's tokenizer?"
            )
        return before, after
