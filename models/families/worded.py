"""Families whose processor writes words around every picture: words, picture, words.

A step is such frames one after the other, on 1-D positions.  The words depend on a frame's own
time alone, never on what came before it: so a step is the same wherever a stream is cut.  Their
numbers begin anew before they grow wider than a step has room for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from longtake.models.base import Image, Step
from longtake.models.families.common import Encode, FamilyAdapter
from longtake.models.positions import text_positions
from longtake.models.processor import Pixels
from longtake.models.recipe import Recipe

Words = tuple[str, str]  # before a picture and behind it


class WordedFamily(FamilyAdapter):
    """See `models.base.Adapter`."""

    pixels: Pixels  # gives float [steps, frames of a step, 3, H, W] ...
    pixels_name: ClassVar[str]  # ... by this name

    # ---------------------------------------------------------------- what a family says

    @classmethod
    def words(cls, recipe: Recipe, pts_s: float) -> Words:
        """What stands around the picture of that time."""
        raise NotImplementedError

    @classmethod
    def widest_words(cls) -> Words:
        """Those with the widest numbers."""
        raise NotImplementedError

    @classmethod
    def picture_tokens(cls, config: Any, preprocessing: dict[str, Any]) -> int:
        raise NotImplementedError

    def see(self, pixels: Tensor) -> Tensor:
        """``[F, 3, H, W]`` -> ``[F, picture_tokens, C]``."""
        raise NotImplementedError

    # ---------------------------------------------------------------- what they share

    @classmethod
    def most_step_tokens(
        cls, config: Any, preprocessing: dict[str, Any], recipe: Recipe, encode: Encode
    ) -> int:
        around = sum(most_tokens(text, encode) for text in cls.widest_words())
        return recipe.frames_per_step * (around + cls.picture_tokens(config, preprocessing))

    @classmethod
    def check_recipe(cls, config: Any, recipe: Recipe) -> None:
        if recipe.stamp is not None:
            raise ValueError(
                f"stamp={recipe.stamp!r}: {cls.family} writes words of its own before each frame; "
                "leave stamp out"
            )

    def make_steps(self, images: Sequence[Image], pts_s: Sequence[float]) -> list[Step]:
        each = self.recipe.frames_per_step
        pixels = self.pixels(images)[self.pixels_name].flatten(0, 1).to(self.device, self.dtype)
        # On the CPU a product of more rows may round differently: one by one there, so that a
        # step is the same bit for bit however many frames are seen at once.
        together = 1 if self.device.type == "cpu" else len(images)
        pictures = torch.cat([self.see(some) for some in torch.split(pixels, together)])
        frames = [
            self._wrap(picture, time_s) for picture, time_s in zip(pictures, pts_s, strict=True)
        ]
        steps = []
        for first in range(0, len(frames), each):
            embeds = torch.cat(frames[first : first + each])
            positions = text_positions(len(embeds), 1)
            steps.append(Step(embeds, positions, pts_s[first], pts_s[first + each - 1]))
        return steps

    def _wrap(self, picture: Tensor, pts_s: float) -> Tensor:
        before, behind = (
            self.embed(torch.tensor(self.template.encode(text)))
            for text in self.words(self.recipe, pts_s)
        )
        return torch.cat([before, picture.to(before.dtype), behind])


def most_tokens(text: str, encode: Encode) -> int:
    """Tokens of ``text`` whatever digits stand in it: each digit may be a token of its own."""
    return sum(len(encode(part)) for part in re.split(r"(\d)", text) if part)
