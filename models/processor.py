"""Pixels by a checkpoint's own video processor where it can run, else by our own arithmetic.

transformers' video processors need torchvision, and torchvision needs to fit torch exactly:
where it is missing or does not import, for whatever reason, a family's own few lines
(`models.pixels` and the family) make the same keywords for the vision tower.  That both are the
same is held by tests against values that the real processors gave.  Knows no family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from longtake.models.base import Image
from longtake.models.recipe import Recipe

Plain = Callable[[Sequence[Image]], dict[str, Tensor]]


class Pixels:
    """Frames of whole steps -> keywords of one checkpoint's vision tower, on the CPU.

    Args:
        plain: the family's own arithmetic: frames of whole steps, all of one size, to keywords.
        settings: attributes of the video processor that go over the checkpoint's; those that
            this version of transformers does not know are left out.

    Each step is a video of its own, so that any batching of steps gives the same pixels.
    """

    def __init__(self, folder: Path, recipe: Recipe, plain: Plain, **settings: Any) -> None:
        self._each, self._plain = recipe.frames_per_step, plain
        self.processor: Any = None
        self.why_plain: str | None = f"the recipe resizes by {recipe.resize!r}"
        if recipe.resize == "processor":
            self.processor, self.why_plain = load_processor(folder, **settings)

    def __call__(self, images: Sequence[Image], **arguments: Any) -> dict[str, Tensor]:
        """Keywords of the vision tower for frames ``[H, W, 3]`` of one size that fill steps.

        Args:
            arguments: of the video processor's call; ``plain`` knows them from the family.
        """
        if self.processor is None:
            return self._plain(images)
        made = self.processor(
            [np.stack(images[i : i + self._each]) for i in range(0, len(images), self._each)],
            do_sample_frames=False,
            input_data_format="channels_last",
            return_tensors="pt",
            **arguments,
        )
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}


def load_processor(folder: Path, **settings: Any) -> tuple[Any, str | None]:
    """The checkpoint's video processor, or None and why there is none.  Runs no code of its own."""
    why = why_unusable()
    if why is not None:
        return None, why
    auto: Any = import_module("transformers").AutoVideoProcessor
    try:
        processor = auto.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **settings
        )
    except Exception as error:  # what a checkpoint's file can be wrong in has no common base
        return None, _reason(error)
    return processor, None


@cache
def why_unusable() -> str | None:
    """Why transformers' video processors cannot run here; None where they can."""
    try:
        import_module("torchvision.transforms.v2.functional")
        backends: Any = import_module("transformers.utils.import_utils")
        backends.requires_backends(Pixels, ["vision", "torchvision"])
    except Exception as error:  # one built for another torch fails in many ways
        return _reason(error)
    return None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
