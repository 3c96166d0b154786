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
from longtake.models.families.common import TextSide
from longtake.models.pixels import Normalizer, read_preprocessing, resize
from longtake.models.positions import grid_positions, text_positions
from longtake.models.recipe import Recipe

MODEL_TYPE = "qwen2_5_vl"
MODEL_CLASS = "Qwen2_5_VLForConditionalGeneration"
DEFAULT_RECIPE = Recipe(fps=2.0, window_s=16.0, top_k=32, frames_per_step=2)
_MAX_FRAME_TOKENS = 256  # of a step: 448 x 448 pixels at patches of 14, merged 2 x 2


def step_tokens(_config: Any, _recipe: Recipe, _stamp_tokens: int) -> int:
    """The most tokens that a step can have: pictures are scaled down to it."""
    return _MAX_FRAME_TOKENS


class Qwen25VL:
    """See `models.base.Adapter`."""

    family = MODEL_TYPE

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        self.name, self.recipe, self.fingerprint = name, recipe, fingerprint
        vision = model.config.vision_config
        if recipe.frames_per_step != vision.temporal_patch_size:
            raise ValueError(
                f"frames_per_step={recipe.frames_per_step}: this model's temporal patch has "
                f"{vision.temporal_patch_size} frames"
            )
        video_token = tokenizer.convert_ids_to_tokens(model.config.video_token_id)
        self._side = TextSide(model, tokenizer, video_token)
        self._model = model.model
        self._patch, self._merge = vision.patch_size, vision.spatial_merge_size
        self._normalize = Normalizer.of(read_preprocessing(folder))
        self.shape, self.rotary = self._side.shape, self._side.rotary
        self.device, self.dtype = self._side.device, self._side.dtype
        self.stop_ids = self._side.stop_ids
        self.prompt, self.text = self._side.prompt, self._side.text
        self.embed, self.logits = self._side.embed, self._side.logits
        self.decode_step = self._side.decode_step

    @property
    def step_tokens(self) -> int:
        return step_tokens(self._model.config, self.recipe, 0)

    @property
    def frame_side(self) -> int:
        return int(2 * math.isqrt(_MAX_FRAME_TOKENS) * self._patch * self._merge)

    def sink(self) -> Step:
        embeds = self._side.sink_embeds()
        return Step(embeds, text_positions(len(embeds), 3), 0.0, 0.0)

    def steps(
        self, images: Sequence[Image], pts_s: Sequence[float], camera: str = ""
    ) -> list[Step]:
        each = self.recipe.frames_per_step
        if not images or len(images) % each or len(images) != len(pts_s):
            raise ValueError(
                f"{len(images)} frames, {len(pts_s)} times: must be as many, a multiple of {each}"
            )
        if len({image.shape for image in images[::each]}) > 1:  # a size changed in mid-stream
            return [
                step
                for i in range(0, len(images), each)
                for step in self.steps(images[i : i + each], pts_s[i : i + each], camera)
            ]
        rows, columns = self._grid(*images[0].shape[:2])
        cell = self._patch * self._merge
        frames = resize(images, rows * cell, columns * cell)
        pixels = self._patches(self._normalize(frames, self.dtype, self.device))
        times = len(images) // each
        grid = torch.tensor([[1, rows * self._merge, columns * self._merge]] * times)
        seen = self._model.get_video_features(pixels, grid.to(self.device), return_dict=True)
        positions = grid_positions(1, rows, columns)
        return [
            Step(tokens, positions, pts_s[i * each], pts_s[(i + 1) * each - 1], camera)
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
