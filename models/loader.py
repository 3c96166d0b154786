"""A name becomes a model: the one that ships, a local folder, or a hub id.

Weights are safetensors only and no code of a checkpoint is ever run.  Errors say what was asked
for, what there is, and what to do.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import torch

from longtake.models.base import Adapter, ModelError
from longtake.models.families.common import FamilyAdapter
from longtake.models.fingerprint import fingerprint
from longtake.models.recipe import read_recipe

EMBEDDED = "embedded"
FAMILIES: dict[str, tuple[str, str]] = {
    "llava_onevision": ("longtake.models.families.llava_onevision", "LlavaOnevision"),
    "qwen2_5_vl": ("longtake.models.families.qwen2_5_vl", "Qwen25VL"),
}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(name: str = EMBEDDED, *, device: str = "auto", dtype: str = "auto") -> Adapter:
    """Load a model, ready to see and to answer.

    Args:
        name: ``embedded``, a folder in the hub's layout, or a hub id (``owner/name``).
        device: ``auto`` (CUDA where there is one), or what torch understands.
        dtype: ``auto`` (bfloat16 on CUDA, float32 elsewhere), or one by name.

    Raises:
        ModelError: unknown name, unsupported family, damaged or incomplete checkpoint.
    """
    place = find_device(device)
    kind = find_dtype(dtype, place)
    folder = find_folder(name)
    adapter = find_family(folder, name)
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = getattr(transformers, adapter.model_class).from_pretrained(
            folder, dtype=kind, use_safetensors=True
        )
        model.requires_grad_(False).eval().to(place)
        recipe = read_recipe(folder, adapter.default_recipe)
        loaded: Adapter = adapter(model, tokenizer, folder, recipe, name, fingerprint(folder))
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, StrictDataclassError) as error:
        raise ModelError(f"{name}: cannot be loaded from {folder}: {_first_line(error)}") from error
    return loaded


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
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name}: holds no config.json, so it is no model folder")
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name!r} is not a model: give {EMBEDDED!r}, a folder with a checkpoint, or a hub id "
            f"(owner/name) of one of these families: {', '.join(FAMILIES)}"
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's errors have no common base
        raise ModelError(
            f"{name}: not on this machine, and the hub could not give it "
            f"({type(error).__name__}). Download it first (hf download {name}), or give its "
            f"folder; {EMBEDDED!r} is always there"
        ) from error


def find_family(folder: Path, name: str) -> type[FamilyAdapter]:
    """The adapter for a checkpoint, by its config.

    Raises:
        ModelError: if the config cannot be read, or the family is not supported.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{name}: {folder / 'config.json'}: {error}") from error
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise ModelError(
            f"{name}: is of the family {model_type!r}; supported are {', '.join(FAMILIES)}"
        )
    return family_class(model_type)


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
        raise ModelError(f"device={name!r}: {_first_line(error)}") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device={name!r}: this machine has no CUDA device; use --device cpu")
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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
