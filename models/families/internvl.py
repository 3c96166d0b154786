"""InternVL 3 and 3.5 (arXiv 2504.10479, 2508.18265), as transformers' `InternVL` classes: 1-D.

A frame is a square picture, its patches merged by pixel shuffle, between words:

    Frame1: <img>PICTURE</img>

The processor counts the frames of a clip.  A stream has no first frame to count from after a
restart, so here the number is the frame's time in frames at the recipe's rate, plus one: of a
stream seen at that rate from its beginning that is the processor's own number.  It begins anew
after 999,999.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from longtake.models.families.squares import Squares
from longtake.models.families.worded import WordedFamily, Words
from longtake.models.processor import Pixels
from longtake.models.recipe import Recipe

_MOST_FRAMES = 999_999


class InternVL(WordedFamily):
    """See `models.base.Adapter`."""

    family = "internvl"
    pixels_name = "pixel_values_videos"
    model_class = "InternVLForConditionalGeneration"
    default_recipe = Recipe(fps=0.5, window_s=32.0, top_k=16, frames_per_step=1)

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        super().__init__(model, tokenizer, folder, recipe, name, fingerprint)
        self._model = model.model
        height, width = self.config.vision_config.image_size
        plain = Squares(self.preprocessing, recipe, height, width)
        self.pixels = Pixels(folder, recipe, plain, size={"height": height, "width": width})
        self._features = {
            "vision_feature_layer": self.config.vision_feature_layer,
            "vision_feature_select_strategy": self.config.vision_feature_select_strategy,
        }

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        # The line's end after the video is the last frame's: every frame here has one.
        return f"{getattr(tokenizer, 'video_token', None) or '<video>'}\n"

    @classmethod
    def words(cls, recipe: Recipe, pts_s: float) -> Words:
        return _words(round(pts_s * recipe.fps) % _MOST_FRAMES + 1)

    @classmethod
    def widest_words(cls) -> Words:
        return _words(_MOST_FRAMES)

    @classmethod
    def picture_tokens(cls, config: Any, preprocessing: dict[str, Any]) -> int:
        rows, columns = (
            int(side // patch * config.downsample_ratio)
            for side, patch in zip(
                config.vision_config.image_size, config.vision_config.patch_size, strict=True
            )
        )
        return rows * columns

    @property
    def frame_side(self) -> int:
        return 2 * int(max(self.config.vision_config.image_size))  # wide ones keep their height

    def see(self, pixels: Tensor) -> Tensor:
        seen = self._model.get_image_features(pixels, return_dict=True, **self._features)
        tokens: Tensor = seen.pooler_output
        return tokens


def _words(number: int) -> Words:
    return f"Frame{number}: <img>", "</img>\n"
