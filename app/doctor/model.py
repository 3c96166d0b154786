"""One model on this machine: how long it takes to load and to see, and whether it computes right.

Times are measured in the dtype that was asked for; the comparison is always in float32 and with
whole weights, where rounding cannot hide a mistake.  The model is loaded for each in turn, never
twice at once.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from longtake.doctor import parity
from longtake.doctor.checks import Check
from longtake.doctor.machine import ram_bytes
from longtake.doctor.parity import Parity
from longtake.engine import Engine
from longtake.models import quantization, sound, supported
from longtake.models.base import Adapter
from longtake.models.loader import find_folder, load
from longtake.models.room import NotEnoughMemory
from longtake.settings import TakeConfig
from longtake.ui.view import bytes_text

_REPEATS = 3
_WINDOWS_SHARE = 0.5  # of free memory; questions and activations want the rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model that was loaded."""

    name: str
    family: str
    device: str
    dtype: str
    quantized: str | None  # by what method; None: its weights are whole
    load_s: float
    check_s: float  # of load_s, looking for NaN and infinity
    encode_s: float  # vision, a frame
    own_processor: bool  # pixels by the checkpoint's own video processor
    why_arithmetic: str | None  # why not; then they are made by `longtake.models.pixels`
    weights_bytes: int  # as they are held
    free_bytes: int | None  # of the device's memory, after loading; None: not known
    step_tokens: int  # the most that a step can have
    hour_bytes: int  # keys and values of an hour, as the memory keeps them
    window_s: float  # that a take has by default: its recipe's, within the trained context
    recipe_window_s: float
    window_bytes: int  # what `window_s` takes on the device
    widest_window_s: float  # that fits, into free memory and the trained context


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Why a model could not be held against plain transformers."""

    reason: str


def find_model(
    name: str, device: str, dtype: str, quantize: str = "none", max_pixels: int | None = None
) -> Model:
    """Load it and let it see.

    Raises:
        ModelError: if it cannot be loaded.
    """
    begun = time.perf_counter()
    adapter = load(name, device=device, dtype=dtype, quantize=quantize, max_pixels=max_pixels)
    _wait_for(adapter.device)
    load_s = time.perf_counter() - begun
    own = quantization.own_method(supported.read_config(find_folder(name)))
    pixels = getattr(adapter, "pixels", None)
    encode_s, free = _encode_s(adapter), _free_bytes(adapter.device)
    window_s, widest_s, window_bytes = _window(adapter, free)
    return Model(
        name=name,
        family=adapter.family,
        device=str(adapter.device),
        dtype=str(adapter.dtype).removeprefix("torch."),
        quantized=own or (None if quantize == "none" else quantize),
        load_s=load_s,
        check_s=_check_s(adapter),
        encode_s=encode_s,
        own_processor=pixels is not None and pixels.why_plain is None,
        why_arithmetic=None if pixels is None else pixels.why_plain,
        weights_bytes=sum(p.numel() * p.element_size() for p in _network(adapter).parameters()),
        free_bytes=free,
        step_tokens=adapter.step_tokens,
        hour_bytes=_hour_bytes(adapter),
        window_s=window_s,
        recipe_window_s=adapter.recipe.window_s,
        window_bytes=window_bytes,
        widest_window_s=widest_s,
    )


def judge_model(model: Model) -> Iterator[Check]:
    whole = "" if model.quantized is None else f", weights in {model.quantized}"
    text = f"{model.name}: {model.family}, {model.device}, {model.dtype}{whole}"
    yield Check("model", "model", "ok", text)
    checked = f"{model.check_s * 1e3:.0f} ms of it looking for NaN and infinity: none"
    yield Check("model", "loading", "ok", f"{model.load_s:.2f} s, {checked}")
    yield Check("model", "seeing", "ok", f"{model.encode_s * 1e3:.1f} ms a frame")
    if model.own_processor:
        yield Check("model", "pixels", "ok", "by the checkpoint's own video processor")
    else:
        text = f"by this package's own arithmetic ({model.why_arithmetic})"
        yield Check("model", "pixels", "ok", text)
    free = "" if model.free_bytes is None else f", {bytes_text(model.free_bytes)} left free"
    yield Check("model", "weights", "ok", f"{bytes_text(model.weights_bytes)}{free}")
    text = f"{model.step_tokens} tokens a step, {bytes_text(model.hour_bytes)} an hour"
    yield Check("model", "stream", "ok", text)
    text = (
        f"{model.window_s:g} s take {bytes_text(model.window_bytes)}; up to "
        f"{model.widest_window_s:.0f} s fit, and its recipe has {model.recipe_window_s:g} s"
    )
    if model.widest_window_s < model.window_s:  # which the trained context has room for
        advice = "lower --window, --fps or --max-pixels, or use --dtype bfloat16 or --quantize 4bit"
        yield Check("model", "window", "note", f"{text}: free memory ends there", advice)
    elif model.window_s < model.recipe_window_s:
        text += f": the default is {model.window_s:g} s, for the context that it was trained for"
        yield Check("model", "window", "note", text, "for a longer one lower --fps or --max-pixels")
    else:
        yield Check("model", "window", "ok", text)


def find_parity(name: str, device: str) -> Parity | NotCompared:
    """Compare it with plain transformers, in float32.

    Raises:
        ModelError: if it cannot be loaded, but for want of memory.
    """
    own = quantization.own_method(supported.read_config(find_folder(name)))
    if own is not None:
        return NotCompared(f"its weights are quantised ({own}), there are none in float32")
    try:
        adapter = load(name, device=device, dtype="float32")
    except NotEnoughMemory as error:
        return NotCompared(f"in float32 it does not fit here: {error}")
    place, heard = adapter.device, parity.listen(adapter)
    del adapter
    _free(place)
    return parity.compare(heard, find_folder(name), place)


def judge_parity(found: Parity | NotCompared) -> Iterator[Check]:
    if isinstance(found, NotCompared):
        advice = "compare it on a machine with more memory, or a checkpoint with whole weights"
        yield Check("model", "parity", "note", f"not compared: {found.reason}", advice)
        return
    text = (
        f"within {found.max_abs_error:.2g} of plain transformers over {found.tokens_compared} "
        f"tokens (float32, allowed {found.tolerance:.2g}), "
        f"{'the same' if found.same_first_token else 'another'} first token"
    )
    if found.passed:
        yield Check("model", "parity", "ok", text)
    else:
        advice = (
            "answers of this model are not to be trusted here: try --device cpu, or another "
            "version of transformers or torch"
        )
        yield Check("model", "parity", "problem", text.replace("within", "off by", 1), advice)


def _network(adapter: Adapter) -> torch.nn.Module:
    network: torch.nn.Module = adapter.model  # type: ignore[attr-defined]  # every family has it
    return network


def _check_s(adapter: Adapter) -> float:
    begun = time.perf_counter()
    sound.check_finite(_network(adapter))
    return time.perf_counter() - begun


def _window(adapter: Adapter, free: int | None) -> tuple[float, float, int]:
    """The window that a take has by default, the longest that fits, and bytes of the first.

    What fits is bounded by free memory and by the trained context.
    """
    step_s = adapter.recipe.frames_per_step / adapter.recipe.fps
    trained_s = (adapter.shape.trained_tokens // adapter.step_tokens - 1) * step_s
    with Engine(adapter) as engine, engine.open(None, TakeConfig()) as take:
        held, pace = take.stats().device_bytes, take.pace
    if free is None:
        return pace.window_s, trained_s, held
    steps = int(free * _WINDOWS_SHARE / held * pace.window_tokens) // adapter.step_tokens
    return pace.window_s, min(trained_s, steps * step_s), held


def _hour_bytes(adapter: Adapter) -> int:
    """Keys and values of an hour at the recipe's rate."""
    steps = math.ceil(3600 * adapter.recipe.fps / adapter.recipe.frames_per_step)
    sizes = adapter.shape
    a_token = 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * adapter.dtype.itemsize
    return steps * adapter.step_tokens * a_token


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
