"""From single pictures to an image tower's inputs, as the checkpoint's preprocessing says.

Where Pillow is installed, transformers' own image processor does it, whichever the checkpoint
names.  Elsewhere what the processors of CLIP, SigLIP and SigLIP 2 do is done here.  Resizing is
then PyTorch's, as in transformers' default processors, which need torchvision; it differs from
Pillow's by at most 2 of 255 levels on smooth pictures (measured; on noise by up to 18, since
Pillow cuts overshoot off between its two passes).

F pictures, H and W their sizes, S side of a patch, N most patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from longtake.models.base import Image, ModelError
from longtake.models.pixels import (
    CLIP_MEAN,
    CLIP_STD,
    HALF,
    Normalizer,
    read_preprocessing,
    resampling,
    resize,
)

Preprocess = Callable[[Sequence[Image]], dict[str, Tensor]]

# What a processor's class assumes where the checkpoint's file says nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIPImageProcessor": {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    },
    "SiglipImageProcessor": {
        "size": {"height": 224, "width": 224},
        "image_mean": HALF,
        "image_std": HALF,
    },
    "Siglip2ImageProcessor": {
        "patch_size": 16,
        "max_num_patches": 256,
        "resample": 2,
        "image_mean": HALF,
        "image_std": HALF,
    },
}
_OF_FAMILY = {
    "clip": "CLIPImageProcessor",
    "siglip": "SiglipImageProcessor",
    "siglip2": "Siglip2ImageProcessor",
}
_COMPARED = ("bilinear", "bicubic")  # filters that were held against Pillow's


def find_preprocess(folder: Path, family: str) -> Preprocess:
    """What turns pictures into the keywords of the model's `get_image_features`.

    Raises:
        ModelError: if the preprocessing cannot be read, or needs Pillow, which is not installed.
    """
    config = _read(folder)
    if find_spec("PIL") is not None:
        return _by_pillow(folder, _kind(config, family))
    return by_hand(config, family)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return read_preprocessing(folder)
    except (OSError, ValueError, ModelError) as error:
        raise ModelError(f"its preprocessing cannot be read: {error}") from error


def _by_pillow(folder: Path, kind: str) -> Preprocess:
    import transformers

    named = getattr(transformers, f"{kind}Pil", None)  # else the library chooses, with a warning
    load = transformers.AutoImageProcessor if named is None else named
    choice: dict[str, Any] = {"local_files_only": True}
    if named is None:
        choice |= {"backend": "pil", "trust_remote_code": False}
    try:
        processor = load.from_pretrained(folder, **choice)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(f"its preprocessing cannot be read: {error}") from error

    def preprocess(images: Sequence[Image]) -> dict[str, Tensor]:
        whole = list(images)
        return dict(processor(whole, input_data_format="channels_last", return_tensors="pt"))

    return preprocess


def by_hand(given: dict[str, Any], family: str) -> Preprocess:
    """The same without Pillow, for the three processors that are known here.

    Args:
        given: the checkpoint's settings; what they leave out is as the processor's class has it.

    Raises:
        ModelError: for a processor, or a setting of one, that is not known.
    """
    kind = _kind(given, family)
    if kind not in _DEFAULTS:
        raise _needs_pillow(f"the processor {kind}")
    config = {**_DEFAULTS[kind], **{k: v for k, v in given.items() if v is not None}}
    try:
        return _settled(kind, config)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"its preprocessing is not understood: {error!r}") from error


def _settled(kind: str, config: dict[str, Any]) -> Preprocess:
    if not all(config.get(step, True) for step in ("do_resize", "do_rescale", "do_normalize")):
        raise _needs_pillow("a step (resize, rescale, normalize) left out")
    if not math.isclose(config.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3):
        raise _needs_pillow(f"rescale_factor {config['rescale_factor']}")
    filter_ = _filter(config)
    normalizer = Normalizer.of(config)
    if kind == "Siglip2ImageProcessor":
        side, most = int(config["patch_size"]), int(config["max_num_patches"])
        return lambda images: _patches(images, normalizer, filter_, side, most)
    size = _sizes(config["size"])
    crop = _sizes(config["crop_size"]) if config.get("do_center_crop") else None
    return lambda images: {"pixel_values": _pixels(images, normalizer, filter_, size, crop)}


def _filter(config: dict[str, Any]) -> str:
    try:
        filter_ = resampling(config)
    except ValueError as error:
        raise _needs_pillow(f"resample {config['resample']}") from error
    if filter_ not in _COMPARED:
        raise _needs_pillow(f"resample {config['resample']} ({filter_})")
    return filter_


def _kind(config: dict[str, Any], family: str) -> str:
    """The processor's class, by the name that it has in transformers' default form."""
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    kind = str(named or _OF_FAMILY[family]).replace("FeatureExtractor", "ImageProcessor")
    return kind.removesuffix("Fast").removesuffix("Pil")


def _needs_pillow(what: str) -> ModelError:
    return ModelError(f"its preprocessing has {what}, which needs Pillow: pip install pillow")


def _sizes(size: Any) -> dict[str, int]:
    """``224``, ``{"shortest_edge": 224}`` or ``{"height": 224, "width": 224}``."""
    if isinstance(size, int):
        return {"shortest_edge": size}
    if isinstance(size, dict) and set(size) in ({"shortest_edge"}, {"height", "width"}):
        return {name: int(value) for name, value in size.items()}
    raise _needs_pillow(f"size {size}")


def _pixels(
    images: Sequence[Image],
    normalizer: Normalizer,
    filter_: str,
    size: dict[str, int],
    crop: dict[str, int] | None,
) -> Tensor:
    """float32 ``[F, 3, H, W]``, all of one size."""
    sized = []
    for image in images:
        height, width = _resized(image, size)
        (picture,) = resize([image], height, width, filter_)
        sized.append(picture if crop is None else _center(picture, crop))
    return normalizer(np.stack(sized), torch.float32, "cpu")


def _resized(image: Image, size: dict[str, int]) -> tuple[int, int]:
    if "height" in size:
        return size["height"], size["width"]
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    new_short, new_long = size["shortest_edge"], int(size["shortest_edge"] * long / short)
    return (new_long, new_short) if width <= height else (new_short, new_long)


def _center(image: Image, crop: dict[str, int]) -> Image:
    """Its middle; black where it is smaller than that."""
    want = [crop.get("height", crop.get("shortest_edge", 0))]
    want.append(crop.get("width", want[0]))
    for axis, length in enumerate(want):
        have = image.shape[axis]
        if have < length:
            missing = [(0, 0)] * 3
            before = math.ceil((length - have) / 2)
            missing[axis] = (before, length - have - before)
            image = np.pad(image, missing)
        begin = (image.shape[axis] - length) // 2
        image = image.take(range(begin, begin + length), axis)
    return image


def _patches(
    images: Sequence[Image], normalizer: Normalizer, filter_: str, side: int, most: int
) -> dict[str, Tensor]:
    """NaFlex: each picture in its own shape, cut into at most N patches, padded to N."""
    values = torch.zeros(len(images), most, side * side * 3)
    mask = torch.zeros(len(images), most, dtype=torch.int32)
    shapes = []
    for i, image in enumerate(images):
        rows, columns = _grid(image.shape[0], image.shape[1], side, most)
        pixels = normalizer(
            resize([image], rows * side, columns * side, filter_), torch.float32, "cpu"
        )[0]
        cut = pixels.reshape(3, rows, side, columns, side).permute(1, 3, 2, 4, 0)
        values[i, : rows * columns] = cut.reshape(rows * columns, -1)
        mask[i, : rows * columns] = 1
        shapes.append((rows, columns))
    return {
        "pixel_values": values,
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.tensor(shapes),
    }


def _grid(height: int, width: int, side: int, most: int) -> tuple[int, int]:
    """Rows and columns of patches: the largest scale whose rounded-up grid fits into N.

    Found by halving an interval to 1e-5, as SigLIP 2 does, since its borders decide some shapes.
    """

    def scaled(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(length * scale / side)) for length in (height, width))
        return rows, columns

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = scaled(middle)
        low, high = (middle, high) if rows * columns <= most else (low, middle)
    return scaled(low)
