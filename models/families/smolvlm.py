"""SmolVLM2 (arXiv 2504.05299): small squares of few tokens, 1-D positions.

A frame is a square picture, its patches merged by pixel shuffle, between words:

    Frame from 00:07:<fake_token_around_image><global-img>PICTURE<fake_token_around_image>

Minutes go on past 59, as the processor writes them, and begin anew after 100 hours.  Before the
first frame the processor says how many frames come and how long they last; a stream knows
neither, so the sentence stands without them.  Videos are written by the family's own chat
template, whatever the checkpoint's says: so does the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtake.models.base import Image
from longtake.models.families.worded import WordedFamily, Words
from longtake.models.pixels import Normalizer, resampling, resize
from longtake.models.processor import Pixels
from longtake.models.recipe import Recipe
from longtake.models.template import Template

VIDEO = "<video>"
INTRODUCTION = "You are provided the following series of frames from a video.\n"
CONCLUSION = "\n\n"  # between the last frame and the user's words
TEMPLATE = """\
<|im_start|>
{%- for message in messages -%}
  {{- message.role | capitalize + (':' if message.content[0].type == 'image' else ': ') -}}
  {%- for part in message.content -%}
    {%- if part.type == 'text' -%}{{- part.text -}}
    {%- elif part.type in ('image', 'video') -%}{{- '<' + part.type + '>' -}}
    {%- endif -%}
  {%- endfor -%}
  {{- '<end_of_utterance>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%}
"""
_MOST_S = 100 * 3600
_SIZE = {"longest_edge": 4 * 364}  # of the first resize, where the checkpoint names none
_MOST_SIDE = 4096  # pixels, whatever the checkpoint asks for


class SmolVLM(WordedFamily):
    """See `models.base.Adapter`."""

    family = "smolvlm"
    pixels_name = "pixel_values"
    model_class = "SmolVLMForConditionalGeneration"
    default_recipe = Recipe(fps=1.0, window_s=24.0, top_k=32, frames_per_step=1)

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path, recipe: Recipe, name: str, fingerprint: str
    ) -> None:
        if tokenizer.chat_template:
            tokenizer.chat_template = TEMPLATE
        super().__init__(model, tokenizer, folder, recipe, name, fingerprint)
        self.template = _IntroducedVideo(tokenizer, VIDEO)
        self._model = model.model
        self._side = picture_side(self.config, self.preprocessing)
        plain = TwiceResized(self.preprocessing, recipe, self._side)
        self.pixels = Pixels(folder, recipe, plain, max_image_size={"longest_edge": self._side})

    @classmethod
    def video_text(cls, tokenizer: Any, config: Any) -> str:
        return VIDEO

    @classmethod
    def words(cls, recipe: Recipe, pts_s: float) -> Words:
        return _words(int(pts_s) % _MOST_S)

    @classmethod
    def widest_words(cls) -> Words:
        return _words(_MOST_S - 1)

    @classmethod
    def picture_tokens(cls, config: Any, preprocessing: dict[str, Any]) -> int:
        patches = picture_side(config, preprocessing) // config.vision_config.patch_size
        return int(patches**2 / config.scale_factor**2)

    @property
    def frame_side(self) -> int:
        return 2 * self._side  # wide pictures keep their height

    def see(self, pixels: Tensor) -> Tensor:
        # The model takes a picture of zeros for padding and leaves it out; plain grey can be one.
        zeros = (pixels == 0).flatten(1).all(1)
        pixels[zeros, 0, 0, 0] = torch.finfo(pixels.dtype).tiny
        seen = self._model.get_image_features(pixels[None], return_dict=True).pooler_output
        if not isinstance(seen, Tensor):  # newer transformers: a list, one tensor a clip
            (seen,) = seen
        tokens: Tensor = seen.reshape(len(pixels), -1, seen.shape[-1])
        return tokens


class TwiceResized:
    """The family's own arithmetic for `models.processor.Pixels`.

    A frame's longest side is set first, in its shape, and what comes of that is stretched to the
    square that the tower sees.
    """

    def __init__(self, preprocessing: dict[str, Any], recipe: Recipe, side: int) -> None:
        self._preprocessing, self._side = preprocessing, side
        self._each, self._is_area = recipe.frames_per_step, recipe.resize == "area"
        self._how = "area" if self._is_area else _filter(resampling(preprocessing, "lanczos"))
        self._normalize = Normalizer.of(preprocessing)

    def __call__(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """``pixel_values``, float ``[steps, frames of a step, 3, side, side]``."""
        sized = list(images)
        if not self._is_area:
            height, width = first_size(images[0].shape, self._preprocessing)
            sized = list(resize(images, height, width, self._how))
        squares = resize(sized, self._side, self._side, self._how)
        pixels = self._normalize(squares, torch.float32, "cpu")
        return {"pixel_values": pixels.reshape(-1, self._each, *pixels.shape[1:])}


class _IntroducedVideo(Template):
    """With what the processor writes before the first frame and behind the last."""

    def around_video(self, written: str) -> tuple[str, str]:
        before, after = super().around_video(written)
        return before + INTRODUCTION, CONCLUSION + after


def _words(seconds: int) -> Words:
    before = f"\nFrame from {seconds // 60:02d}:{seconds % 60:02d}:"
    return f"{before}<fake_token_around_image><global-img>", "<fake_token_around_image>"


def picture_side(config: Any, preprocessing: dict[str, Any]) -> int:
    """Pixels of the square that the vision tower sees."""
    square = preprocessing.get("max_image_size") or {}
    return int(square.get("longest_edge") or config.vision_config.image_size)


def first_size(shape: Sequence[int], preprocessing: dict[str, Any]) -> tuple[int, int]:
    """Rows and columns of a picture ``[H, W, 3]`` after the processor's first resize."""
    height, width = shape[:2]
    sampling = preprocessing.get("video_sampling") or {}
    size = preprocessing.get("size") or sampling.get("video_size") or _SIZE
    if not size.get("longest_edge"):
        return int(size["height"]), int(size["width"])
    longest, aspect = min(_MOST_SIDE, size["longest_edge"]), width / height
    if width >= height:
        return max(1, _even(longest / aspect)), longest
    return longest, max(1, _even(longest * aspect))


def _even(length: float) -> int:
    return int(length) + int(length) % 2


@cache
def _filter(how: str) -> str:
    """Bicubic in the place of Lanczos, as the processor does it, where torch has none."""
    if how == "lanczos":
        dot = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
        try:
            torch.nn.functional.interpolate(dot, (1, 1), mode=how, antialias=True)
        except (NotImplementedError, ValueError):
            return "bicubic"
    return how
