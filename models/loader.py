"""A name becomes a model: the one that ships, a local folder, or a hub id.

Weights are safetensors only and no code of a checkpoint is ever run.  What can be wrong is looked
for from the cheapest on: config, recipe, files, tokenizer, room; then the weights are read, and at
last their numbers.  Errors say what was asked for, why it cannot be, and what to do.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from longtake.models import hub, intact, quantization, room, sound, supported, tokens, trained
from longtake.models.base import Adapter, ModelError
from longtake.models.families.common import FamilyAdapter
from longtake.models.fingerprint import fingerprint
from longtake.models.foreign import first_line, quiet
from longtake.models.pixels import read_preprocessing
from longtake.models.recipe import Recipe, read_recipe

EMBEDDED = "embedded"
FAMILIES: dict[str, tuple[str, str]] = {
    "internvl": ("longtake.models.families.internvl", "InternVL"),
    "llava_onevision": ("longtake.models.families.llava_onevision", "LlavaOnevision"),
    "qwen2_5_vl": ("longtake.models.families.qwen2_5_vl", "Qwen25VL"),
    "qwen2_vl": ("longtake.models.families.qwen2_vl", "Qwen2VL"),
    "qwen3_vl": ("longtake.models.families.qwen3_vl", "Qwen3VL"),
    "smolvlm": ("longtake.models.families.smolvlm", "SmolVLM"),
}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_log = logging.getLogger(__name__)


def load(
    name: str = EMBEDDED,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = quantization.NONE,
    max_pixels: int | None = None,
) -> Adapter:
    """Load a model, ready to see and to answer.

    Args:
        name: ``embedded``, a folder in the hub's layout, or a hub id (``owner/name``).
        device: ``auto`` (CUDA where there is one), or what torch understands.
        dtype: ``auto`` (bfloat16 on CUDA, float32 elsewhere), or one by name.
        quantize: ``none``, ``4bit`` or ``8bit``: matrices in fewer bits, by bitsandbytes.
        max_pixels: of a step's frames together, over the recipe's; fewer need less memory.

    Raises:
        ModelError: unknown name, unsupported family, damaged or incomplete checkpoint, no room.
        ValueError: if ``max_pixels`` makes no sense, or holds less than one token.
    """
    if max_pixels is not None and max_pixels < 1:
        raise ValueError(f"max_pixels={max_pixels}: must be at least 1")
    quantization.check_choice(quantize)
    place = find_device(device)
    kind = find_dtype(dtype, place)
    folder = find_folder(name)
    family = find_family(folder, name)
    with _named(name), quiet():
        config = _read_config(folder, family, _again(name, folder))
        recipe = read_recipe(folder, family.default_recipe)
        family.check_recipe(config, recipe)
    asked = recipe if max_pixels is None else replace(recipe, max_pixels=max_pixels)
    family.check_recipe(config, asked)  # what is wrong now is the caller's value, not the model
    with _named(name), quiet():
        loaded = _load(name, folder, family, config, asked, place, kind, quantize)
        if max_pixels is not None and loaded.step_tokens == family.most_step_tokens(
            loaded.config, read_preprocessing(folder), recipe, loaded.template.encode
        ):
            _log.warning("--max-pixels %d changes nothing for %s", max_pixels, name)
    return loaded


def _read_config(folder: Path, family: type[FamilyAdapter], again: str) -> Any:
    import transformers

    model_class: Any = getattr(transformers, family.model_class)
    config = supported.model_config(folder, model_class.config_class, again)
    trained.check_layers(config.get_text_config())
    return config


def _load(
    name: str,
    folder: Path,
    family: type[FamilyAdapter],
    config: Any,
    recipe: Recipe,
    place: torch.device,
    dtype: torch.dtype,
    quantize: str,
) -> FamilyAdapter:
    import transformers

    again = _again(name, folder)
    own = quantization.own_method(supported.read_config(folder))
    how = quantization.options(quantize, own, dtype, place)
    stored = intact.check_files(folder, again)
    tokenizer = tokens.read_tokenizer(folder, again)
    model_class: Any = getattr(transformers, family.model_class)
    tokens.check_special(tokenizer, config)
    if own is None:  # else its packed numbers do not tell what they become
        room.check_room(room.need(stored.values(), dtype, quantize), place)
    model, info = model_class.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # `check_loaded` names them
        **how,
    )
    sound.check_loaded(info)
    model.requires_grad_(False).eval()
    if "device_map" not in how:
        model.to(place)
    sound.check_finite(model)
    return family(model, tokenizer, folder, recipe, name, fingerprint(folder))


def find_folder(name: str) -> Path:
    """Where a model's files are; hub ids are resolved through the hub's own cache.

    Raises:
        ModelError: says what names there are.
    """
    if name == EMBEDDED:
        folder = Path(str(files("longtake.models.embedded") / "weights"))
        if not (folder / "config.json").is_file():
            raise ModelError(f"{EMBEDDED}: {folder} is missing; reinstall longtake")
        return folder
    folder = Path(name).expanduser()
    with _named(name):
        if folder.is_dir():
            _check_folder(folder)
            return folder
        if folder.is_file():
            raise ModelError(
                "is a file: give the folder of a checkpoint, with its config, tokenizer and "
                "safetensors"
            )
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name!r} is not a model{_meant(name)}: give {EMBEDDED!r}, a folder with a "
            f"checkpoint, or a hub id (owner/name) of one of these families: {', '.join(FAMILIES)}"
        )
    folder = hub.fetch(name)
    with _named(name):
        _check_folder(folder)
    return folder


def _check_folder(folder: Path) -> None:
    """Raises ModelError or OSError if it is not a whole model's."""
    if (folder / supported.CONFIG).is_file():
        return
    if (folder / "adapter_config.json").is_file() or any(folder.glob("*.gguf")):
        raise ModelError(intact.why_none(folder))
    raise ModelError(f"holds no {supported.CONFIG}, so it is no model folder")


def _meant(name: str) -> str:
    found = difflib.get_close_matches(name, [EMBEDDED], n=1, cutoff=0.7)
    return f" (did you mean {found[0]}?)" if found else ""


def _again(name: str, folder: Path) -> str:
    """How its files are fetched once more."""
    if name == EMBEDDED:
        return "reinstall longtake"
    is_here = Path(name).expanduser().is_dir()
    return "download it again" if is_here else f"run hf download {name} --force-download"


def find_family(folder: Path, name: str) -> type[FamilyAdapter]:
    """The adapter for a checkpoint, by its config.

    Raises:
        ModelError: if the config cannot be read, or the family is not supported.
    """
    with _named(name):
        return family_class(supported.check_family(supported.read_config(folder), FAMILIES))


def family_class(model_type: str) -> type[FamilyAdapter]:
    """The adapter of one of `FAMILIES`."""
    path, adapter = FAMILIES[model_type]
    found: type[FamilyAdapter] = getattr(import_module(path), adapter)
    return found


def find_device(name: str) -> torch.device:
    """What a device's name means here.

    Raises:
        ModelError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device={name!r}: use auto, cpu, cuda or cuda:N") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device={name!r}: this machine has no CUDA device; use --device cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        there = ", ".join(f"cuda:{i}" for i in range(torch.cuda.device_count()))
        raise ModelError(f"device={name!r}: there is no such GPU; there are {there}")
    if place.type == "meta":
        raise ModelError(f"device={name!r}: holds shapes and no numbers; use --device cpu")
    try:
        torch.zeros(1, device=place)
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        raise ModelError(
            f"device={name!r}: cannot be used here ({first_line(error)}); use --device cpu"
        ) from error
    return place


def find_dtype(name: str, place: torch.device) -> torch.dtype:
    """What a dtype's name means on a device.

    Raises:
        ModelError: if it is not known.
    """
    if name == "auto":
        return torch.bfloat16 if place.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ModelError(f"dtype={name!r}: known are auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Give errors the model's name; those of other libraries become ours."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # whatever is wrong with a foreign checkpoint, in a line
        if room.is_out_of_memory(error):
            raise room.NotEnoughMemory(
                f"{name}: memory ran out while it was loaded; use {room.LESS}, or end what else "
                "uses it"
            ) from error
        raise ModelError(f"{name}: {_what_failed(error)}") from error


def _what_failed(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"cannot be read: {where}{error.strerror}"
    if isinstance(error, ImportError):
        return f"needs a library that is not there: {first_line(error)}"
    return f"cannot be loaded: {first_line(error)}"
