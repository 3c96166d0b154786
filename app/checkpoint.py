"""What a checkpoint folder says of itself, read from its files: nothing is loaded.

Parameters stand in the headers of the weights, sizes in the config, rate and window in the
recipe.  Where folders lie is known to `longtake.models.discovery`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from longtake.models.discovery import CONFIG
from longtake.models.families.common import decoder_shape
from longtake.models.intact import read_header, weight_files
from longtake.models.loader import FAMILIES, family_class
from longtake.models.pixels import read_preprocessing
from longtake.models.quantization import own_method
from longtake.models.recipe import read_recipe
from longtake.models.tokens import read_tokenizer
from longtake.settings import Pace, TakeConfig
from longtake.wording import one_line


@dataclass(frozen=True, slots=True)
class Weights:
    """What lies in the safetensors files."""

    parameters: int  # of a quantised checkpoint: packed, so several are one
    disk_bytes: int
    missing: tuple[str, ...]  # files that the index names and that are not there


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream of this model takes, at its recipe's rate and window."""

    fps: float
    window_s: float
    step_tokens: int  # the most that a step can have
    window_tokens: int
    hour_tokens: int
    token_numbers: int  # keys and values of a token, all layers

    def window_bytes(self, width: int) -> int:
        """Keys and values of a full window, in numbers of ``width`` bytes."""
        return self.window_tokens * self.token_numbers * width

    def hour_bytes(self, width: int) -> int:
        """Keys and values of an hour, as the memory keeps them."""
        return self.hour_tokens * self.token_numbers * width


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model on this machine."""

    name: str  # what --model takes
    folder: Path
    model_type: str | None
    weights: Weights | None
    stream: Stream | None
    quantized: str | None = None  # by what method; None: its weights are whole
    trouble: str = ""  # why something above is not known

    @property
    def is_supported(self) -> bool:
        return self.model_type in FAMILIES


def read(name: str, folder: Path) -> Checkpoint:
    """Look at one folder.  What cannot be read is told in `trouble`."""
    model_type, weights, stream, quantized, trouble = None, None, None, None, ""
    try:
        config = json.loads((folder / CONFIG).read_text())
        said = config.get("model_type") if isinstance(config, dict) else None
        model_type = _fit_to_show(said) if isinstance(said, str) else None
        method = own_method(config) if isinstance(config, dict) else None
        quantized = method and _fit_to_show(method)
        weights = read_weights(folder)
        if model_type in FAMILIES:
            stream = read_stream(folder, model_type)
    except Exception as error:  # a foreign folder can be wrong in any way; which is shown
        trouble = one_line(error)
    return Checkpoint(name, folder, model_type, weights, stream, quantized, trouble)


def _fit_to_show(text: str) -> str:
    """JSON may hold halves of characters, which cannot be written anywhere: they are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_weights(folder: Path) -> Weights | None:
    """Count parameters by the files' headers; None where there are no safetensors.

    Raises:
        OSError, ModelError: for a file that cannot be read.
    """
    files = weight_files(folder) or sorted(folder.glob("*.safetensors"))
    there = [file for file in files if file.is_file()]
    if not files:
        return None
    return Weights(
        sum(stored.numbers for file in there for stored in read_header(file).values()),
        sum(file.stat().st_size for file in there),
        tuple(_fit_to_show(file.name) for file in files if file not in there),
    )


def read_stream(folder: Path, model_type: str, max_pixels: int | None = None) -> Stream:
    """Sizes of a stream, from config, recipe and tokenizer.

    Args:
        max_pixels: of a step, over the recipe's.

    Raises:
        OSError, ValueError, ModelError: if one of them cannot be read, or they do not fit
            together.
    """
    import transformers

    family = family_class(model_type)
    recipe = read_recipe(folder, family.default_recipe)
    if max_pixels is not None:
        recipe = replace(recipe, max_pixels=max_pixels)
    config = transformers.AutoConfig.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
    shape = decoder_shape(config.get_text_config(), axes=1)
    tokenizer = read_tokenizer(folder, "download it again")
    encode = partial(tokenizer.encode, add_special_tokens=False)
    step_tokens = family.most_step_tokens(config, read_preprocessing(folder), recipe, encode)
    pace = Pace.settle(TakeConfig(), recipe, step_tokens, shape)
    steps_an_hour = math.ceil(3600 * pace.fps / recipe.frames_per_step)
    return Stream(
        fps=pace.fps,
        window_s=pace.window_s,
        step_tokens=step_tokens,
        window_tokens=pace.window_tokens,
        hour_tokens=steps_an_hour * step_tokens,
        token_numbers=2 * shape.layers * shape.kv_heads * shape.head_dim,
    )
