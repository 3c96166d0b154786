"""Qwen2.5-VL (arXiv 2502.13923): two frames to a temporal patch, sectioned M-RoPE.

A step is one temporal patch: a grid of merged patches with time, row and column positions.
Every step is its own video segment (its three axes start together behind what came before), so
that any selection of steps can be laid out again; the model was trained with joined grids, and
relative rows and columns inside a step are the same in both.
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
from longtake.models.pixels import Normalizer, resize
from longtake.models.positions import grid_positions
from longtake.models.recipe import Recipe

_MAX_FRAME_TOKENS = 256  # of a step: 448 x 448 pixels at patches of 14, merged 2 x 2


class Qwen25VL(FamilyAdapter):
    """See `models.base.Adapter`."""

    family = "qwen2_5_vl"
    model_class = "Qwen2_5_VLForConditionalGeneration"
    default_recipe = Recipe(fps=2.0, window_s=16.0, top_k=32, frames_per_step=2)

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        super().__init__(model, tokenizer, folder, recipe, name, fingerprint)
        vision = self.config.vision_config
        self._model = model.model
        self._patch, self._merge = vision.patch_size, vision.spatial_merge_size
        self._how = "area" if recipe.resize == "area" else "bicubic"
        self._normalize = Normalizer.of(self.preprocessing)

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        return str(tokenizer.convert_ids_to_tokens(config.video_token_id))

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        return _MAX_FRAME_TOKENS  # pictures are scaled down to it

    @classmethod
    def check_recipe(cls, config: Any, recipe: Recipe) -> None:
        frames = config.vision_config.temporal_patch_size
        if recipe.frames_per_step != frames:
            raise ValueError(
                f"frames_per_step={recipe.frames_per_step}: this model's temporal patch has "
                f"{frames} frames"
            )

    @property
    def frame_side(self) -> int:
        return int(2 * math.isqrt(_MAX_FRAME_TOKENS) * self._patch * self._merge)

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        each = self.recipe.frames_per_step
        rows, columns = self._grid(*images[0].shape[:2])
        cell = self._patch * self._merge
        frames = resize(images, rows * cell, columns * cell, self._how)
        pixels = self._patches(self._normalize(frames, self.dtype, self.device))
        times = len(images) // each
        grid = torch.tensor([[1, rows * self._merge, columns * self._merge]] * times)
        seen = self._model.get_video_features(pixels, grid.to(self.device), return_dict=True)
        positions = grid_positions(1, rows, columns)
        return [
            Step(tokens, positions, pts_s[i * each], pts_s[(i + 1) * each - 1])
            for i, tokens in enumerate(seen.pooler_output)
        ]

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Merged rows and columns for a picture: its shape kept, its tokens bounded."""
        cell = self._patch * self._merge
        rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
        if rows * columns > _MAX_FRAME_TOKENS:
            shrink = math.sqrt(_MAX_FRAME_TOKENS / (rows * columns))
            rows, columns = max(1, int(rows * shrink)), max(1, int(columns * shrink))
            rows, columns = min(rows, _MAX_FRAME_TOKENS), min(columns, _MAX_FRAME_TOKENS // rows)
        return rows, columns

    def _patches(self, pixels: Tensor) -> Tensor:
        """Float ``[F, 3, H, W]`` -> ``[patches, 3 * frames_per_step * patch * patch]``, patches of
        one merged cell side by side, as the vision tower wants them."""
        frames, colors, height, width = pixels.shape
        each, p, m = self.recipe.frames_per_step, self._patch, self._merge
        cut = pixels.reshape(
            frames // each, each, colors, height // (p * m), m, p, width // (p * m), m, p
        )
        return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, colors * each * p * p)
