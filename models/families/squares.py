"""Frames stretched to one fixed size, as LLaVA-OneVision's and InternVL's processors do it.

Both come from transformers' plain `BaseVideoProcessor`: resize, scale, normalise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from longtake.models.base import Image
from longtake.models.pixels import CLIP_MEAN, CLIP_STD, Normalizer, resampling, resize
from longtake.models.recipe import Recipe


class Squares:
    """A family's own arithmetic for `models.processor.Pixels`."""

    def __init__(
        self, preprocessing: dict[str, Any], recipe: Recipe, height: int, width: int
    ) -> None:
        self._each, self._size = recipe.frames_per_step, (height, width)
        self._how = "area" if recipe.resize == "area" else resampling(preprocessing)
        self._normalize = Normalizer.of(preprocessing, CLIP_MEAN, CLIP_STD)

    def __call__(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """``pixel_values_videos``, float ``[steps, frames of a step, 3, height, width]``."""
        sized = resize(images, *self._size, self._how)
        pixels = self._normalize(sized, torch.float32, "cpu")
        return {"pixel_values_videos": pixels.reshape(-1, self._each, *pixels.shape[1:])}
