"""From frames to a vision tower's pixels: resize and normalise as the checkpoint says.

Reads the checkpoint's preprocessing from the file that transformers would take it from.  The
arithmetic is that of transformers' video processors on tensors (torchvision's `resize` is torch's
`interpolate`, antialiased), so that both give the same pixels; resizing 'area' is OpenCV's.
Knows no family.
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
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers

Colors = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Pixel values to the range that the tower was trained on, for each colour."""

    mean: Colors
    std: Colors
    scale: float = 1 / 255  # on pixel values, before the mean is taken off
    is_centered: bool = True  # False: scaled alone

    @classmethod
    def of(cls, config: dict[str, Any], mean: Colors = HALF, std: Colors = HALF) -> Normalizer:
        """From preprocessing; ``mean`` and ``std`` are the family's own, where it names none."""
        scale = config.get("rescale_factor")
        scales, centers = (config.get(name) for name in ("do_rescale", "do_normalize"))
        return cls(
            tuple(config.get("image_mean") or mean),
            tuple(config.get("image_std") or std),
            1.0 if scales is False else 1 / 255 if scale is None else scale,
            centers is not False,
        )

    def __call__(self, images: NDArray[np.uint8], dtype: torch.dtype, device: Any) -> Tensor:
        """uint8 ``[F, H, W, 3]`` -> float ``[F, 3, H, W]`` on the device."""
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32)
        if not self.is_centered:
            return (pixels * self.scale).to(dtype)
        # The scale goes into mean and std, as transformers does it: exact in the last bit.
        mean, std = (
            torch.tensor(x, device=device)[:, None, None] * (1.0 / self.scale)
            for x in (self.mean, self.std)
        )
        return ((pixels - mean) / std).to(dtype)


def read_preprocessing(folder: Path) -> dict[str, Any]:
    """The checkpoint's preprocessing of videos, {} where it brings none.

    Raises:
        ValueError: names the file that is no JSON object.
    """
    whole = _read_json(folder / PROCESSOR_FILE)
    if whole.get("video_processor"):
        return dict(whole["video_processor"])
    for name in CONFIG_FILES:
        config = _read_json(folder / name)
        if config:
            return config
    return dict(whole.get("image_processor") or {})


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}, must hold an object")
    return content


def resampling(config: dict[str, Any], default: str = "bicubic") -> str:
    """The filter that preprocessing names.

    Raises:
        ValueError: for a filter that is not supported.
    """
    number = config.get("resample")
    if number is None:
        return default
    if number not in _FILTERS:
        known = ", ".join(f"{n} ({name})" for n, name in _FILTERS.items())
        raise ValueError(
            f"resample={number!r} in the checkpoint's preprocessing: known are {known}"
        )
    return _FILTERS[number]


def resize(
    images: Sequence[NDArray[np.uint8]], height: int, width: int, how: str = "bicubic"
) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` of any sizes -> ``[F, height, width, 3]``.

    Args:
        how: ``bicubic``, ``bilinear`` or ``lanczos``, with antialiasing, as transformers' video
            processors do it; ``area`` is OpenCV's, some twenty times faster.
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
