"""How a stream of a model looks: rate, window, recall.

A checkpoint folder may carry its own in ``longtake.json``; families have defaults.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

RECIPE_FILE = "longtake.json"
_CHOICES = {
    "recall": ("each", "together"),
    "select": ("dependent", "blind"),
    "resize": ("processor", "area"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What a model was made for; every value can be overruled where it is used."""

    fps: float = 1.0  # frames a second of the source that it sees
    window_s: float = 16.0  # how much of the stream stays on the device
    top_k: int = 16  # chunks that a layer recalls
    dialogue_tokens: int = 1024  # of a conversation's earlier turns; 0: it was trained without
    frames_per_step: int = 1
    stamp: str | None = None  # 'hh:mm:ss' at the head of each step
    sharpness: float = 1.0  # factor on recall scores where they become shares
    recall: str = "each"  # layer its own best chunks, or 'together': the best by mean share
    select: str = "dependent"  # on what lower layers recalled, or 'blind': for all layers at once
    resize: str = "processor"  # as the family's own processor does it, or OpenCV's 'area'
    max_pixels: int | None = None  # of a step's frames together, where the family keeps their shape
    world_version: int | None = None  # of the drawn world, for models trained on it
    note: str | None = None  # a limit that users must be told

    def __post_init__(self) -> None:
        for name in ("fps", "window_s", "sharpness"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value}: must be a positive number")
        for name in ("top_k", "frames_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.dialogue_tokens < 0:
            raise ValueError(f"dialogue_tokens={self.dialogue_tokens}: must be 0 (none) or more")
        for name, values in _CHOICES.items():
            if getattr(self, name) not in values:
                either = " or ".join(map(repr, values))
                raise ValueError(f"{name}={getattr(self, name)!r}: must be {either}")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ValueError(f"max_pixels={self.max_pixels}: must be at least 1")
        if self.stamp not in (None, "hh:mm:ss"):
            raise ValueError(f"stamp={self.stamp!r}: must be 'hh:mm:ss' or left out")


def read_recipe(folder: Path, default: Recipe) -> Recipe:
    """The folder's recipe over the family's default.

    Raises:
        ValueError: names the file and the field that is wrong.
    """
    path = folder / RECIPE_FILE
    if not path.is_file():
        return default
    values = json.loads(path.read_text())
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{path}: {', '.join(unknown)} is not known; {', '.join(sorted(known))} are"
        )
    try:
        return replace(default, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def stamp_text(seconds: float) -> str:
    """``hh:mm:ss``, of fixed width: it begins anew after 99:59:59."""
    whole = int(seconds) % (100 * 3600)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
