"""Qwen3-VL (arXiv 2511.21631): steps with their time as text, deepstack, interleaved M-RoPE.

A step is written as the family's own processor writes it:

    <12.5 seconds> <|vision_start|> patches of two frames <|vision_end|>

the time being the mean of its frames' times.  (Newer versions of transformers leave another start
and end around the whole video standing, which the template writes for its place; 5.0 did not,
nor do we.  Which of the two the model was trained with was not checked.)  Each step is a video
segment for the model too, so positions are those that it was trained with.  Deepstack (arXiv
2406.04334): features of deeper vision layers are added to the hidden states of the step's visual
tokens behind the first decoder layers; they are no tokens, so nothing of them is kept but in the
keys and values they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.models.base import Image, Step
from longtake.models.families.common import Encode
from longtake.models.families.qwen_vl import QwenVL
from longtake.models.pixels import HALF
from longtake.models.positions import grid_positions, in_turn, text_positions
from longtake.models.recipe import Recipe

_LATEST_S = 99_999_999.9  # three years; later steps say this


class Qwen3VL(QwenVL):
    """See `models.base.Adapter`."""

    family = "qwen3_vl"
    model_class = "Qwen3VLForConditionalGeneration"
    default_colors = (HALF, HALF)
    counts_step = True

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        """With its start and end: the family's processor writes these anew for each step."""
        ids = (config.vision_start_token_id, config.video_token_id, config.vision_end_token_id)
        return "".join(str(tokenizer.convert_ids_to_tokens(i)) for i in ids)

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        cells = super().most_step_tokens(config, preprocessing, recipe, encode)
        return len(time_text(_LATEST_S)) + 2 + cells  # a token of text is a byte or more

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        each = self._sizes.frames
        tokens, deepstack = self.see(images)
        grid = grid_positions(1, *self._sizes.grid(*images[0].shape[:2]))
        return [
            self._write(seen, levels, grid, pts_s[i * each], pts_s[(i + 1) * each - 1])
            for i, (seen, levels) in enumerate(zip(tokens, deepstack, strict=True))
        ]

    def _write(
        self, seen: Tensor, levels: list[Tensor], grid: Tensor, start_s: float, end_s: float
    ) -> Step:
        config = self.config
        time = self.template.encode(time_text((start_s + end_s) / 2))
        before = torch.tensor([*time, config.vision_start_token_id])
        after = torch.tensor([config.vision_end_token_id])
        embeds = torch.cat([self.embed(before), seen, self.embed(after)])
        is_visual = torch.zeros(1, len(embeds), dtype=torch.bool, device=embeds.device)
        is_visual[0, len(before) : len(before) + len(seen)] = True
        positions = in_turn([text_positions(len(before), 3), grid, text_positions(1, 3)])
        extra = {"visual_pos_masks": is_visual, "deepstack_visual_embeds": levels}
        return Step(embeds, positions, start_s, end_s, extra=extra)


def time_text(seconds: float) -> str:
    """A step's time as Qwen3VLProcessor writes it."""
    return f"<{min(max(seconds, 0.0), _LATEST_S):.1f} seconds>"
