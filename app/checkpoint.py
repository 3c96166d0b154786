"""What a checkpoint folder says of itself, read from its files: nothing is loaded.

Parameters stand in the headers of the weights, sizes in the config, rate and window in the
recipe.  Where folders lie is known to `longtake.models.discovery`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors import safe_open

from longtake.models.discovery import CONFIG
from longtake.models.families.common import decoder_shape
from longtake.models.loader import FAMILIES, family_class
from longtake.models.pixels import read_preprocessing
from longtake.models.recipe import read_recipe
from longtake.settings import Pace, TakeConfig
from longtake.wording import one_line

_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Weights:
    """What lies in the safetensors files."""

    parameters: int
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
    trouble: str = ""  # why something above is not known

    @property
    def is_supported(self) -> bool:
        return self.model_type in FAMILIES


def read(name: str, folder: Path) -> Checkpoint:
    """Look at one folder.  What cannot be read is told in `trouble`."""
    model_type, weights, stream, trouble = None, None, None, ""
    try:
        config = json.loads((folder / CONFIG).read_text())
        said = config.get("model_type") if isinstance(config, dict) else None
        model_type = _fit_to_show(said) if isinstance(said, str) else None
        weights = read_weights(folder)
        if model_type in FAMILIES:
            stream = read_stream(folder, model_type)
    except Exception as error:  # a foreign folder can be wrong in any way; which is shown
        trouble = one_line(error)
    return Checkpoint(name, folder, model_type, weights, stream, trouble)


def _fit_to_show(text: str) -> str:
    """JSON may hold halves of characters, which cannot be written anywhere: they are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_weights(folder: Path) -> Weights | None:
    """Count parameters by the files' headers; None where there are no safetensors.

    Raises:
        OSError, ValueError, safetensors.SafetensorError: for a file that cannot be read.
    """
    files = _weight_files(folder)
    there = [file for file in files if file.is_file()]
    if not files:
        return None
    return Weights(
        sum(map(_parameters, there)),
        sum(file.stat().st_size for file in there),
        tuple(_fit_to_show(file.name) for file in files if file not in there),
    )


def _weight_files(folder: Path) -> list[Path]:
    """Those that loading reads; others beside them are the same weights in another form."""
    index = folder / _INDEX
    if index.is_file():
        names = set(json.loads(index.read_text())["weight_map"].values())
        return [folder / name for name in sorted(names)]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


def _parameters(file: Path) -> int:
    with safe_open(file, framework="numpy") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())


def read_stream(folder: Path, model_type: str) -> Stream:
    """Sizes of a stream, from config, recipe and tokenizer.

    Raises:
        OSError, ValueError: if one of them cannot be read, or they do not fit together.
    """
    import transformers

    family = family_class(model_type)
    recipe = read_recipe(folder, family.default_recipe)
    config = transformers.AutoConfig.from_pretrained(folder)
    shape = decoder_shape(config.get_text_config(), axes=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
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
