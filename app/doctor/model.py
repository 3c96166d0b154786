"""One model on this machine: how long it takes to load and to see, and whether it computes right.

Times are measured in the dtype that was asked for; the comparison is always in float32, where
rounding cannot hide a mistake.  The model is loaded for each in turn, never twice at once.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from longtake.checkpoint import read_weights
from longtake.doctor import parity
from longtake.doctor.checks import Check
from longtake.doctor.machine import ram_bytes
from longtake.doctor.parity import Parity
from longtake.models.base import Adapter
from longtake.models.loader import find_folder, load
from longtake.ui.view import bytes_text

_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was loaded."""

    name: str
    family: str
    device: str
    dtype: str
    load_s: float
    encode_s: float  # vision, a frame
    weights_bytes: int  # parameters in this dtype
    free_bytes: int | None  # of the device's memory, after loading; None: not known


def find_model(name: str, device: str, dtype: str) -> Model:
    """Load it and let it see.

    Raises:
        ModelError: if it cannot be loaded.
    """
    begun = time.perf_counter()
    adapter = load(name, device=device, dtype=dtype)
    _wait_for(adapter.device)
    load_s = time.perf_counter() - begun
    weights = read_weights(find_folder(name))
    assert weights is not None  # it was loaded from them
    return Model(
        name=name,
        family=adapter.family,
        device=str(adapter.device),
        dtype=str(adapter.dtype).removeprefix("torch."),
        load_s=load_s,
        encode_s=_encode_s(adapter),
        weights_bytes=weights.parameters * adapter.dtype.itemsize,
        free_bytes=_free_bytes(adapter.device),
    )


def judge_model(model: Model) -> Iterator[Check]:
    text = f"{model.name}: {model.family}, {model.device}, {model.dtype}"
    yield Check("model", "model", "ok", text)
    yield Check("model", "loading", "ok", f"{model.load_s:.2f} s")
    yield Check("model", "seeing", "ok", f"{model.encode_s * 1e3:.1f} ms a frame")
    free = "" if model.free_bytes is None else f", {bytes_text(model.free_bytes)} left free"
    yield Check("model", "weights", "ok", f"{bytes_text(model.weights_bytes)}{free}")


def find_parity(name: str, device: str) -> Parity:
    """Compare it with plain transformers, in float32.

    Raises:
        ModelError: if it cannot be loaded.
    """
    adapter = load(name, device=device, dtype="float32")
    place, heard = adapter.device, parity.listen(adapter)
    del adapter
    _free(place)
    return parity.compare(heard, find_folder(name), place)


def judge_parity(found: Parity) -> Iterator[Check]:
    text = (
        f"within {found.max_abs_error:.2g} of plain transformers over {found.tokens_compared} "
        f"tokens (float32, allowed {found.tolerance:g})"
    )
    if found.passed:
        yield Check("model", "parity", "ok", text)
    else:
        advice = (
            "answers of this model are not to be trusted here: try --device cpu, or another "
            "version of transformers or torch"
        )
        yield Check("model", "parity", "problem", text.replace("within", "off by", 1), advice)


def _encode_s(adapter: Adapter) -> float:
    """Seconds of vision a frame; the first run is thrown away."""
    side, each = adapter.frame_side, adapter.recipe.frames_per_step
    grey = np.full((max(1, side * 9 // 16), side, 3), 128, np.uint8)
    times = []
    for _ in range(_REPEATS + 1):
        begun = time.perf_counter()
        with torch.inference_mode():
            adapter.steps([grey] * each, [float(i) for i in range(each)])
        _wait_for(adapter.device)
        times.append((time.perf_counter() - begun) / each)
    return statistics.median(times[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _free_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return ram_bytes()[1]


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
