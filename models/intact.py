"""Are a checkpoint's weights there, whole, and in a form that is read?  By their headers alone.

A safetensors file is 8 bytes of length, a JSON header with the place of every tensor, and the
tensors: its size is known before any of them is read.  What a model needs of them is not known
here, nor whether their numbers are sound (`models.sound`).

Source: the format as described at https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.models.base import ModelError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_POINTER = b"version https://git-lfs"  # what git leaves in place of a large file
_MOST_HEADER_BYTES = 100_000_000  # the format's own limit
_OTHER_FORMS = {
    ".gguf": "GGUF",
    ".bin": "pickled PyTorch",
    ".pt": "pickled PyTorch",
    ".pth": "pickled PyTorch",
    ".ckpt": "pickled PyTorch",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".onnx": "ONNX",
}
_WAY_OUT = {
    "GGUF": "take the original checkpoint that it was made from",
    "pickled PyTorch": "convert it where you trust it: load it in transformers and call "
    "save_pretrained, or take a revision of it with safetensors",
}
_NAMED = 3  # of what is wrong
ITEM_BYTES = {  # of a number, by the format's names
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor as it lies in its file."""

    dtype: str  # F32, BF16 ...
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def weight_files(folder: Path) -> list[Path]:
    """Those that loading reads, there or not; others beside them are the same in another form.

    Raises:
        OSError, ModelError: for an index that cannot be read.
    """
    index = folder / INDEX
    if (folder / SINGLE).is_file() or not index.is_file():
        return [folder / SINGLE] if (folder / SINGLE).is_file() else []
    return [folder / name for name in sorted(set(_weight_map(index).values()))]


def check_files(folder: Path, again: str) -> dict[str, Stored]:
    """Every tensor of a checkpoint by its name.

    Args:
        again: how these files are fetched once more.

    Raises:
        ModelError: if weights are missing, cut, damaged, or of another form than safetensors.
        OSError: if a file cannot be read.
    """
    files = weight_files(folder)
    if not files:
        raise ModelError(why_none(folder))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"{len(missing)} of {len(files)} weight files missing: {some(missing)}; {again}"
        )
    headers = {file.name: read_header(file, again) for file in files}
    if len(files) > 1 or files[0].name != SINGLE:
        _check_index(folder / INDEX, headers, again)
    return {name: stored for header in headers.values() for name, stored in header.items()}


def read_header(file: Path, again: str = "download it again") -> dict[str, Stored]:
    """The tensors of one file.

    Raises:
        ModelError: if it is cut, damaged, or not there at all but for a pointer to it.
        OSError: if it cannot be read.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(len(_POINTER))
        if head == _POINTER:
            raise ModelError(
                f"{file.name} is only git's pointer to the weights: git lfs pull fetches them"
            )
        length = int.from_bytes(head[:8], "little")
        if len(head) < 8 or not 2 <= length <= min(_MOST_HEADER_BYTES, size - 8):
            raise ModelError(f"{file.name} ({size:,} bytes) is damaged, or cut; {again}")
        opened.seek(8)
        raw = opened.read(length)
    try:
        header: dict[str, Any] = json.loads(raw)
        header.pop("__metadata__", None)
        ends = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        found = {
            name: Stored(entry["dtype"], tuple(map(int, entry["shape"])))
            for name, entry in header.items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f"{file.name}: its header is damaged; {again}") from error
    if size != ends:
        state = "cut" if size < ends else "damaged"
        raise ModelError(
            f"{file.name} is {state}: {size:,} bytes, and its header promises {ends:,}; {again}"
        )
    return found


def some(names: list[str]) -> str:
    """The first three, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not found or not all(isinstance(file, str) for file in found.values()):
            raise ValueError("names no files")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{index.name} is damaged: download it again") from error
    weight_map: dict[str, str] = found
    return weight_map


def _check_index(index: Path, headers: dict[str, dict[str, Stored]], again: str) -> None:
    """Every tensor that the index names must be in the file that it names."""
    astray = [
        f"{tensor} (in {file})"
        for tensor, file in _weight_map(index).items()
        if tensor not in headers[file]
    ]
    if astray:
        raise ModelError(
            f"{INDEX} names tensors that its files do not hold: {some(astray)}; the files are of "
            f"different versions: {again}"
        )


def why_none(folder: Path) -> str:
    """What a folder without weights that can be read holds in their place."""
    there = sorted(path.name for path in folder.iterdir() if path.is_file())
    safetensors = [name for name in there if name.endswith(".safetensors")]
    if "adapter_config.json" in there:
        return (
            "is an adapter (LoRA) without the model it belongs to: merge it into its base model "
            "(merge_and_unload in PEFT), save that, and give its folder"
        )
    if safetensors:
        return (
            f"holds {some(safetensors)}, and neither {SINGLE} nor {INDEX}: rename a single file "
            f"to {SINGLE}"
        )
    for name in there:
        form = _OTHER_FORMS.get(Path(name).suffix.lower())
        if form is not None and not name.startswith("training_args"):
            way_out = _WAY_OUT.get(form, "take a checkpoint in safetensors")
            return f"{name}: weights are read from safetensors only, not {form}; {way_out}"
    return f"holds no weights ({SINGLE}): download it whole"
