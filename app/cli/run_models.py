"""``longtake models``: print what `longtake.checkpoint` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longtake.checkpoint import Checkpoint, Stream, Weights, read
from longtake.cli.common import say
from longtake.cli.names import as_text, shown
from longtake.models.discovery import on_this_machine
from longtake.models.loader import FAMILIES, family_class
from longtake.ui.view import bytes_text

SCHEMA = "longtake.models/1"
_WIDTHS = {"float32": 4, "bfloat16": 2}  # bytes of a number
_UNKNOWN = "not known"


def run(folders: tuple[Path, ...], as_json: bool) -> None:
    """Look, and show it.

    Raises:
        ValueError: if one of ``folders`` is not there.
    """
    classes = {name: family_class(name).model_class for name in FAMILIES}
    private: list[Path] = []

    def leave_out(folder: Path, error: OSError) -> None:
        private.append(folder)
        say(f"{folder}: left out ({error.strerror})")

    found = [read(name, folder) for name, folder in on_this_machine(folders, leave_out)]
    for folder in folders:
        inside = folder.expanduser()
        looked_at = [model.folder for model in found] + private
        if not any(inside == there or inside in there.parents for there in looked_at):
            say(f"{folder}: holds no checkpoint (a folder with config.json)")
    if as_json:
        families = [{"name": name, "class": known} for name, known in classes.items()]
        print(
            json.dumps(
                {"schema": SCHEMA, "families": families, "models": [_json(m) for m in found]}
            )
        )
        return
    print("families that longtake runs, and their classes in transformers:\n")
    width = max(map(len, classes))
    for name, known in classes.items():
        print(f"  {name:<{width}}  {known}")
    print("\nmodels on this machine:")
    for model in found:
        print(f"\n  {shown(model.name)}")
        for name, value in _lines(model):
            print(f"    {name:<11}{shown(value)}")


def _lines(model: Checkpoint) -> Iterator[tuple[str, str]]:
    family = model.model_type if model.is_supported else f"not supported ({model.model_type})"
    yield "family", str(family)
    if model.weights is None:
        yield "weights", _UNKNOWN if model.trouble else "no safetensors files"
    else:
        yield from _weights_lines(model.weights, model.quantized)
    if model.stream is not None:
        yield from _stream_lines(model.stream)
    if model.trouble:
        yield "trouble", model.trouble


def _weights_lines(weights: Weights, quantized: str | None) -> Iterator[tuple[str, str]]:
    on_disk = f"{bytes_text(weights.disk_bytes)} on disk"
    if quantized is None:
        yield "parameters", f"{weights.parameters:,}"
        yield "weights", f"{on_disk}; {_in_memory(weights.parameters)}"
    else:
        yield "weights", f"{on_disk}, quantised ({quantized})"
    if weights.missing:
        yield "missing", f"{', '.join(weights.missing)}: the counts above are without these"


def _stream_lines(stream: Stream) -> Iterator[tuple[str, str]]:
    step = stream.token_numbers
    yield (
        "window",
        f"{_in_memory(stream.window_tokens * step)} for {stream.window_s:g} s, "
        f"{stream.window_tokens} tokens; the device sets aside three times that",
    )
    yield (
        "hour",
        f"{_in_memory(stream.hour_tokens * step)} in the memory, at {stream.fps:g} frames/s, "
        f"{stream.step_tokens} tokens a step",
    )


def _in_memory(numbers: int) -> str:
    return " or ".join(f"{bytes_text(numbers * w)} {name}" for name, w in _WIDTHS.items())


def _json(model: Checkpoint) -> dict[str, Any]:
    weights, stream = model.weights, model.stream
    is_whole = weights is not None and model.quantized is None
    return {
        "name": as_text(model.name),
        "folder": as_text(model.folder),
        "family": model.model_type if model.is_supported else None,
        "model_type": model.model_type and as_text(model.model_type),
        "quantized": model.quantized,
        "parameters": weights.parameters if weights and is_whole else None,
        "disk_bytes": weights and weights.disk_bytes,
        "missing": [as_text(name) for name in weights.missing] if weights else [],
        "weights_bytes": (
            _by_dtype(lambda width: weights.parameters * width) if weights and is_whole else None
        ),
        "fps": stream and stream.fps,
        "window_s": stream and stream.window_s,
        "step_tokens": stream and stream.step_tokens,
        "window_tokens": stream and stream.window_tokens,
        "window_bytes": stream and _by_dtype(stream.window_bytes),
        "hour_bytes": stream and _by_dtype(stream.hour_bytes),
        "trouble": as_text(model.trouble) or None,
    }


def _by_dtype(size: Any) -> dict[str, int]:
    return {name: size(width) for name, width in _WIDTHS.items()}
