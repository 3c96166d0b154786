"""From frames to a vision tower's pixels: resize and normalise as the checkpoint says.

Reads ``video_preprocessor_config.json`` or its siblings; resizing is OpenCV's,
by area when shrinking.  Knows no family.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CONFIG_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")
PROCESSOR_FILE = "processor_config.json"  # transformers 5 puts them together


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Pixel values to the range that the tower was trained on, for each colour."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, config: dict[str, Any]) -> Normalizer:
        half = (0.5, 0.5, 0.5)
        return cls(
            tuple(config.get("image_mean") or half),
            tuple(config.get("image_std") or half),
        )

    def __call__(self, images: NDArray[np.uint8], dtype: torch.dtype, device: Any) -> Tensor:
        """uint8 ``[F, H, W, 3]`` -> float ``[F, 3, H, W]`` on the device."""
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32)
        mean, std = (
            torch.tensor(x, device=device)[:, None, None] * 255 for x in (self.mean, self.std)
        )
        return ((pixels - mean) / std).to(dtype)


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """The checkpoint's preprocessing, {} where it brings none."""
    for name in CONFIG_FILES:
        path = folder / name
        if path.is_file():
            config: dict[str, Any] = json.loads(path.read_text())
            return config
    path = folder / PROCESSOR_FILE
    if path.is_file():
        whole: dict[str, Any] = json.loads(path.read_text())
        for part in ("video_processor", "image_processor"):
            if part in whole:
                return dict(whole[part])
    return {}


def resize(
    images: Sequence[NDArray[np.uint8]], height: int, width: int, how: str = "bicubic"
) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` of any sizes -> ``[F, height, width, 3]``.

    Args:
        how: ``bicubic`` or ``bilinear``, with antialiasing, as transformers' video processors
            do it; ``area`` is OpenCV's, some twenty times faster.
    """
    resized = np.empty((len(images), height, width, 3), np.uint8)
    for i, image in enumerate(images):
        if image.shape[:2] == (height, width):
            resized[i] = image
        elif how == "area":
            shrinks = image.shape[0] >= height and image.shape[1] >= width
            filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resized[i] = cv2.resize(image, (width, height), interpolation=filter_)
        else:
            planes = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
            sized = torch.nn.functional.interpolate(
                planes, (height, width), mode=how, antialias=True, align_corners=False
            )
            resized[i] = sized[0].permute(1, 2, 0).numpy()
    return resized
