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
from longtake.models.families.common import TextSide
from longtake.models.pixels import Normalizer, read_preprocessing, resize
from longtake.models.positions import text_positions
from longtake.models.recipe import Recipe, stamp_text

MODEL_TYPE = "llava_onevision"
MODEL_CLASS = "LlavaOnevisionForConditionalGeneration"
DEFAULT_RECIPE = Recipe(fps=0.5, window_s=32.0, top_k=16, frames_per_step=1)


def frame_tokens(config: Any) -> int:
    """Tokens of a frame: patches, pooled two by two."""
    vision = config.vision_config
    return int(math.ceil(vision.image_size // vision.patch_size / 2) ** 2)


def step_tokens(config: Any, recipe: Recipe, stamp_tokens: int) -> int:
    """The most tokens that a step can have."""
    return stamp_tokens + recipe.frames_per_step * frame_tokens(config)


class LlavaOnevision:
    """See `models.base.Adapter`."""

    family = MODEL_TYPE

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        self.name, self.recipe, self.fingerprint = name, recipe, fingerprint
        config = model.config
        video_token = tokenizer.convert_ids_to_tokens(config.video_token_id)
        self._side = TextSide(model, tokenizer, video_token)
        self._model = model.model
        self._image_size = config.vision_config.image_size
        self._frame_tokens = frame_tokens(config)
        self._features = {
            "vision_feature_layer": config.vision_feature_layer,
            "vision_feature_select_strategy": config.vision_feature_select_strategy,
        }
        self._normalize = Normalizer.of(read_preprocessing(folder))
        self.shape, self.rotary = self._side.shape, self._side.rotary
        self.device, self.dtype = self._side.device, self._side.dtype
        self.stop_ids = self._side.stop_ids
        self.prompt, self.text = self._side.prompt, self._side.text
        self.embed, self.logits = self._side.embed, self._side.logits
        self.decode_step = self._side.decode_step

    @property
    def step_tokens(self) -> int:
        return step_tokens(self._model.config, self.recipe, len(self._stamp_ids(0.0)))

    @property
    def frame_side(self) -> int:
        return int(self._image_size)

    def sink(self) -> Step:
        embeds = self._side.sink_embeds()
        return Step(embeds, text_positions(len(embeds), 1), 0.0, 0.0)

    def steps(
        self, images: Sequence[Image], pts_s: Sequence[float], camera: str = ""
    ) -> list[Step]:
        each = self.recipe.frames_per_step
        if len(images) % each or len(images) != len(pts_s):
            raise ValueError(
                f"{len(images)} frames, {len(pts_s)} times: must be as many, a multiple of {each}"
            )
        visual = torch.split(self._see(images), each * self._frame_tokens)
        steps = []
        for i, tokens in enumerate(visual):
            start_s, end_s = pts_s[i * each], pts_s[(i + 1) * each - 1]
            stamp = self._stamp_ids(start_s)
            if stamp:
                tokens = torch.cat([self._side.embed(torch.tensor(stamp)), tokens])
            positions = text_positions(len(tokens), 1)
            steps.append(Step(tokens, positions, start_s, end_s, camera))
        return steps

    def _see(self, images: Sequence[Image]) -> Tensor:
        """Frames -> ``[F * tokens, C]``, as one video without its closing newline."""
        side = self._image_size
        pixels = self._normalize(resize(images, side, side), self.dtype, self.device)
        seen = self._model.get_video_features(pixels[None], return_dict=True, **self._features)
        tokens: Tensor = seen.pooler_output[0, : len(images) * self._frame_tokens]
        return tokens

    def _stamp_ids(self, seconds: float) -> list[int]:
        if self.recipe.stamp is None:
            return []
        return self._side.template.encode(stamp_text(seconds))
