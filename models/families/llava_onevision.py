"""LLaVA-OneVision (arXiv 2408.03326): frames pooled to a square of tokens, 1-D positions.

A step is ``frames_per_step`` frames one after the other, with a time stamp as text before them
where the recipe asks for one.  The 'newline' that closes a whole video is left out: ours never
closes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.models.base import Image, Step
from longtake.models.families.common import Encode, FamilyAdapter
from longtake.models.families.squares import Squares
from longtake.models.positions import text_positions
from longtake.models.processor import Pixels
from longtake.models.recipe import Recipe, stamp_text


class LlavaOnevision(FamilyAdapter):
    """See `models.base.Adapter`."""

    family = "llava_onevision"
    model_class = "LlavaOnevisionForConditionalGeneration"
    default_recipe = Recipe(fps=0.5, window_s=32.0, top_k=16, frames_per_step=1)

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        super().__init__(model, tokenizer, folder, recipe, name, fingerprint)
        self._model = model.model
        side = self.config.vision_config.image_size
        plain = Squares(self.preprocessing, recipe, side, side)
        self.pixels = Pixels(folder, recipe, plain, size={"height": side, "width": side})
        self._features = {
            "vision_feature_layer": self.config.vision_feature_layer,
            "vision_feature_select_strategy": self.config.vision_feature_select_strategy,
        }

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        return str(tokenizer.convert_ids_to_tokens(config.video_token_id))

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        return len(_stamp_ids(recipe, 0.0, encode)) + recipe.frames_per_step * frame_tokens(config)

    @property
    def frame_side(self) -> int:
        side = int(self.config.vision_config.image_size)
        return side if self.recipe.resize == "area" else 2 * side  # wide ones keep their height

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        each = self.recipe.frames_per_step
        steps = []
        for i, tokens in enumerate(
            torch.split(self._see(images), each * frame_tokens(self.config))
        ):
            start_s, end_s = pts_s[i * each], pts_s[(i + 1) * each - 1]
            stamp = _stamp_ids(self.recipe, start_s, self.template.encode)
            if stamp:
                tokens = torch.cat([self.embed(torch.tensor(stamp)), tokens])
            steps.append(Step(tokens, text_positions(len(tokens), 1), start_s, end_s))
        return steps

    def _see(self, images: Sequence[Image]) -> Tensor:
        """Frames -> ``[F * tokens, C]``, as one video without its closing newline."""
        pixels = self.pixels(images)["pixel_values_videos"].flatten(0, 1)[None]
        seen = self._model.get_video_features(
            pixels.to(self.device, self.dtype), return_dict=True, **self._features
        )
        tokens: Tensor = seen.pooler_output[0, : len(images) * frame_tokens(self.config)]
        return tokens


def frame_tokens(config: Any) -> int:
    """Tokens of a frame: patches, pooled two by two."""
    vision = config.vision_config
    return int(math.ceil(vision.image_size // vision.patch_size / 2) ** 2)


def _stamp_ids(recipe: Recipe, seconds: float, encode: Encode) -> list[int]:
    return [] if recipe.stamp is None else encode(stamp_text(seconds))
