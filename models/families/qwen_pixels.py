"""Sizes and patches of the Qwen families: how large a frame is seen, and in which order.

A cell is what becomes one token: ``merge`` x ``merge`` patches of all frames of a step.  Frames
keep their shape as nearly as whole cells allow, between the checkpoint's least and most pixels;
`Sizes.grid` is what transformers calls `smart_resize` (Qwen2VLVideoProcessor counts the pixels of
a frame, Qwen3VLVideoProcessor those of a step's frames together).

By a rule of ours where that one refuses a frame or breaks the budget: a frame more than 200 times
longer than wide becomes one row of cells, and a grid of too many cells loses them at its longer
side.  Such frames are stretched.  The budget holds for every frame, however small or odd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.models.base import Image
from longtake.models.pixels import Normalizer, resize

_MAX_RATIO = 200  # of a frame's sides, beyond which transformers refuses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a frame's size becomes."""

    patch: int  # pixels of its side
    merge: int  # patches of a cell's side
    frames: int  # of a step
    counted: int  # frames whose pixels are counted together: 1, or all of a step
    least_pixels: int  # of the counted frames
    most_pixels: int

    def __post_init__(self) -> None:
        if self.most_cells < 1:
            raise ValueError(
                f"{self.most_pixels} pixels for {self.counted} frame(s): one token has "
                f"{self.counted * self.cell**2}"
            )

    @property
    def cell(self) -> int:
        """Pixels of a cell's side."""
        return self.patch * self.merge

    @property
    def most_cells(self) -> int:
        """Of a step; as many as its visual tokens."""
        return self.most_pixels // (self.counted * self.cell**2)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of cells for a frame; their product is at most `most_cells`."""
        ruled = self._by_rule(height, width)
        rows, columns = ruled or self._strip(height, width)
        shorter = min(rows, columns, math.isqrt(self.most_cells))
        longer = min(max(rows, columns), self.most_cells // shorter)
        return (shorter, longer) if rows <= columns else (longer, shorter)

    def is_usual(self, height: int, width: int) -> bool:
        """Whether every version of the processor gives a frame the same grid as we do."""
        kept = self._by_rule(height, width) == self.grid(height, width)
        return kept and min(height, width) >= self.cell  # version 5.0 refuses smaller ones

    def _by_rule(self, height: int, width: int) -> tuple[int, int] | None:
        """transformers' `smart_resize`, in cells; None where it refuses the frame."""
        cell = self.cell
        if self.counted > 1 and min(height, width) < cell:
            grown = max(cell / height, cell / width)
            height, width = int(height * grown), int(width * grown)
        if max(height, width) / min(height, width) > _MAX_RATIO:
            return None
        rows, columns = round(height / cell), round(width / cell)
        pixels, area = self.counted * rows * columns * cell**2, self.counted * height * width
        if pixels > self.most_pixels:
            shrink = math.sqrt(area / self.most_pixels)
            rows = max(1, math.floor(height / shrink / cell))
            columns = max(1, math.floor(width / shrink / cell))
        elif pixels < self.least_pixels:
            grow = math.sqrt(self.least_pixels / area)
            rows, columns = math.ceil(height * grow / cell), math.ceil(width * grow / cell)
        return rows, columns

    def _strip(self, height: int, width: int) -> tuple[int, int]:
        longer = min(self.most_cells, max(height, width) // min(height, width))
        return (1, longer) if height <= width else (longer, 1)


@dataclass(frozen=True, slots=True)
class Patches:
    """Frames -> what Qwen's video processors give, by the same arithmetic."""

    sizes: Sizes
    normalize: Normalizer
    how: str  # of `models.pixels.resize`

    def __call__(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Frames of one size, as many as fill steps; each step becomes a video.

        Returns:
            ``pixel_values_videos`` float32 ``[patches, 3 * frames * patch**2]`` of all steps,
            ``video_grid_thw`` int64 ``[steps, 3]``.
        """
        rows, columns = self.sizes.grid(*images[0].shape[:2])
        cell, steps = self.sizes.cell, len(images) // self.sizes.frames
        frames = resize(images, rows * cell, columns * cell, self.how)
        grid = [1, rows * self.sizes.merge, columns * self.sizes.merge]
        return {
            "pixel_values_videos": self.flatten(self.normalize(frames, torch.float32, "cpu")),
            "video_grid_thw": torch.tensor([grid] * steps),
        }

    def flatten(self, pixels: Tensor) -> Tensor:
        """Float ``[F, 3, H, W]`` -> ``[patches, 3 * frames * patch**2]``: steps, then cells in
        reading order, then the patches of a cell, then colour, time, row, column of its pixels."""
        count, colors, height, width = pixels.shape
        each, p, m = self.sizes.frames, self.sizes.patch, self.sizes.merge
        cut = pixels.reshape(
            count // each, each, colors, height // (p * m), m, p, width // (p * m), m, p
        )
        return cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, colors * each * p * p)
