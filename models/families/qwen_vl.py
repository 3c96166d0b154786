"""What the Qwen families share: a step is one temporal patch, with M-RoPE positions.

A temporal patch is two frames; it becomes a grid of merged patches with time, row and column
positions.  Every step is its own video segment (its three axes start together behind what came
before), so that any selection of steps can be laid out again.

Frames keep their shape.  How many pixels a step has: the recipe's ``max_pixels`` (of its frames
together, as the tower gets them), else 256 tokens a step; never above the checkpoint's own limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from longtake.models.base import Image, ModelError, Step
from longtake.models.families.common import Encode, FamilyAdapter
from longtake.models.families.qwen_pixels import Patches, Sizes
from longtake.models.pixels import CLIP_MEAN, CLIP_STD, Colors, Normalizer, resampling, resize
from longtake.models.positions import grid_positions
from longtake.models.processor import Pixels
from longtake.models.recipe import Recipe

DEFAULT_TOKENS = 256  # of a step; two frames of 448 x 448 at patches of 14, merged 2 x 2


class QwenVL(FamilyAdapter):
    """Qwen2-VL and Qwen2.5-VL; the vision towers differ, what is asked of them does not."""

    default_recipe = Recipe(fps=2.0, window_s=16.0, top_k=32, frames_per_step=2)
    default_colors: ClassVar[tuple[Colors, Colors]] = (CLIP_MEAN, CLIP_STD)  # mean, std
    counts_step: ClassVar[bool] = False  # pixel limits are of a frame, or of a step's frames
    default_cells: ClassVar[tuple[int, int]] = (128, 768)  # least and most, of its processor

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        super().__init__(model, tokenizer, folder, recipe, name, fingerprint)
        self._model = model.model
        self._sizes = self.sizes(model.config, self.preprocessing, recipe)
        how = "area" if recipe.resize == "area" else resampling(self.preprocessing)
        normalize = Normalizer.of(self.preprocessing, *self.default_colors)
        self._patches = Patches(self._sizes, normalize, how)
        # Its budget for whole videos is not for us: a step is a video.
        self.pixels = Pixels(folder, recipe, self._patches, cap_pixels_per_frame=False)

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        return str(tokenizer.convert_ids_to_tokens(config.video_token_id))

    @classmethod
    def sizes(cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe) -> Sizes:
        """Pixel limits: recipe and family, within those of the checkpoint."""
        vision = config.vision_config
        frames = vision.temporal_patch_size
        counted = frames if cls.counts_step else 1
        token_pixels = (vision.patch_size * vision.spatial_merge_size) ** 2
        least, most = _own_limits(preprocessing, *(n * token_pixels for n in cls.default_cells))
        asked = recipe.max_pixels or frames * DEFAULT_TOKENS * token_pixels
        most = max(min(most, asked * counted // frames), counted * token_pixels)
        return Sizes(
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            frames=frames,
            counted=counted,
            least_pixels=min(least, most),
            most_pixels=most,
        )

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        return cls.sizes(config, preprocessing, recipe).most_cells

    @classmethod
    def check_recipe(cls, config: Any, recipe: Recipe) -> None:
        vision = config.vision_config
        frames = vision.temporal_patch_size
        if recipe.frames_per_step != frames:
            raise ValueError(
                f"frames_per_step={recipe.frames_per_step}: this model's temporal patch has "
                f"{frames} frames"
            )
        if recipe.stamp is not None:
            raise ValueError(f"stamp={recipe.stamp!r}: this family has its own place for times")
        token = frames * (vision.patch_size * vision.spatial_merge_size) ** 2
        if recipe.max_pixels is not None and recipe.max_pixels < token:
            raise ValueError(
                f"max_pixels={recipe.max_pixels}: must be at least {token}, one token of this model"
            )

    @property
    def frame_side(self) -> int:
        return 2 * math.isqrt(self._sizes.most_cells) * self._sizes.cell

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        each = self._sizes.frames
        positions = grid_positions(1, *self._sizes.grid(*images[0].shape[:2]))
        tokens, _ = self.see(images)
        return [
            Step(seen, positions, pts_s[i * each], pts_s[(i + 1) * each - 1])
            for i, seen in enumerate(tokens)
        ]

    def see(self, images: Sequence[Image]) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Run the vision tower over whole steps of one size.

        Returns:
            For each step its tokens ``[T, C]``, and its deepstack features, a ``[T, C]`` for
            each level (none but in Qwen3-VL).
        """
        rows, columns = self._sizes.grid(*images[0].shape[:2])
        cell = self._sizes.cell
        arguments: dict[str, Any] = {
            "size": {
                "shortest_edge": self._sizes.least_pixels,
                "longest_edge": self._sizes.most_pixels,
            },
            "patch_size": self._sizes.patch,
            "merge_size": self._sizes.merge,
            "temporal_patch_size": self._sizes.frames,
        }
        if self.pixels.processor and not self._sizes.is_usual(*images[0].shape[:2]):
            images = list(resize(images, rows * cell, columns * cell, self._patches.how))
            arguments["do_resize"] = False
        pixels = self.pixels(images, **arguments)
        grid = pixels["video_grid_thw"]
        expected = [1, rows * self._sizes.merge, columns * self._sizes.merge]
        if grid.tolist() != [expected] * (len(images) // self._sizes.frames):
            raise ModelError(
                f"{self.name}: its video processor cuts a frame into {grid[0].tolist()} patches, "
                f'{expected} were expected; set "resize": "area" in its longtake.json'
            )
        values = pixels["pixel_values_videos"].to(self.device, self.dtype)
        # On the CPU a product of more rows may round differently: one step at a time there, so
        # that a step is the same bit for bit however many frames are seen at once.
        together = 1 if self.device.type == "cpu" else len(grid)
        tokens: list[Tensor] = []
        deepstack: list[list[Tensor]] = []
        patches = torch.split(values, together * math.prod(expected))
        for some, where in zip(patches, torch.split(grid, together), strict=True):
            seen, levels = _features(self._model, some, where.to(self.device))
            tokens += seen
            deepstack += levels
        return tokens, deepstack


def _features(model: Any, values: Tensor, grid: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
    """What `get_video_features` returns, by step.

    Deepstack levels come cut by video in newer versions of transformers, whole in 5.0.
    """
    seen = model.get_video_features(values, grid, return_dict=True)
    tokens = list(seen.pooler_output)
    lengths = [len(t) for t in tokens]
    levels = [
        torch.split(level, lengths) if isinstance(level, Tensor) else level
        for level in getattr(seen, "deepstack_features", None) or ()
    ]
    return tokens, [[level[i] for level in levels] for i in range(len(tokens))]


def _own_limits(preprocessing: dict[str, Any], least: int, most: int) -> tuple[int, int]:
    """Least and most pixels as the checkpoint says, by either of the names that are in use."""
    size = preprocessing.get("size") or {}
    least = preprocessing.get("min_pixels") or size.get("shortest_edge") or least
    most = preprocessing.get("max_pixels") or size.get("longest_edge") or most
    return least, most
