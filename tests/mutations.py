"""Mistakes on one side of a comparison: parity that would not notice them proves nothing.

Each mistake returns how far the answer's first logits are then from the correct twin's, or None
for a model that cannot make it.  The comparison is law 2's: everything recalled, float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from longtake.models.base import Past
from longtake.models.positions import Rotary, axis_map
from tests import streams
from tests.conformance import ALL, Heard, Twins, dense_logits, hear, sees_window
from tests.dense import Sees, View, contiguous
from tests.streams import Listening

LEAST = 100  # times the tolerance


class WithoutDeepstack(Listening):
    def decode_step(self, embeds: Tensor, past: Past, _extra: dict[str, Any]) -> Tensor:
        return super().decode_step(embeds, past, {})


def wrong_axes(twins: Twins) -> float | None:
    """M-RoPE's axes rolled by one frequency."""
    frequency = twins.decoder.rotary_emb.inv_freq
    axes = axis_map(frequency.numel(), twins.decoder.config)
    if int(axes.max()) == 0:
        return None
    return _turned(twins, Rotary(frequency, axes.roll(1)))


def wrong_frequencies(twins: Twins) -> float:
    """1 % off."""
    frequency = twins.decoder.rotary_emb.inv_freq
    axes = axis_map(frequency.numel(), twins.decoder.config)
    return _turned(twins, Rotary(frequency * 1.01, axes))


def wrong_positions(twins: Twins) -> float:
    """The twin leaves one place free before every part."""
    heard = _heard(twins.adapter)
    whole = sees_window(heard.held, heard.question)

    def sees(layer: int, part: int) -> View:
        before = list(whole(layer, part))
        context = [heard.parts[i] for i in (*before, part)]
        late = torch.cat([torch.full((p.offsets.shape[1],), i) for i, p in enumerate(context)])
        return View(before, contiguous(context) + late)

    return _apart(twins, heard, sees)


def no_deepstack(twins: Twins) -> float | None:
    listening = WithoutDeepstack(twins.adapter)
    heard = _heard(listening)
    return _apart(twins, heard) if any(part.deepstack for part in heard.parts) else None


def no_key_bias(twins: Twins) -> float | None:
    """Left out by the twin."""
    if twins.decoder.layers[0].self_attn.k_proj.bias is None:
        return None
    heard = _heard(twins.adapter)
    keys = [layer.self_attn.k_proj for layer in twins.decoder.layers]
    with _without(keys, "bias", None):
        return _apart(twins, heard)


def no_key_norm(twins: Twins) -> float | None:
    """Left out by the twin."""
    if not hasattr(twins.decoder.layers[0].self_attn, "k_norm"):
        return None
    heard = _heard(twins.adapter)
    with _without([layer.self_attn for layer in twins.decoder.layers], "k_norm", nn.Identity()):
        return _apart(twins, heard)


def no_sink(twins: Twins) -> float:
    """Not seen by the twin's chunks and question."""
    heard = _heard(twins.adapter)
    whole = sees_window(heard.held, heard.question)
    return _apart(twins, heard, lambda layer, part: list(whole(layer, part))[1:])


MISTAKES: dict[str, Callable[[Twins], float | None]] = {
    "axes rolled by one": wrong_axes,
    "frequencies 1 % off": wrong_frequencies,
    "positions off by one per chunk": wrong_positions,
    "deepstack left out": no_deepstack,
    "key bias left out": no_key_bias,
    "key norm left out": no_key_norm,
    "sink left out": no_sink,
}
ONLY_FOR = {  # the others can make them all
    "axes rolled by one": ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    "deepstack left out": ("qwen3_vl",),
    "key bias left out": ("llava_onevision", "qwen2_vl", "qwen2_5_vl"),
    "key norm left out": ("internvl", "qwen3_vl"),
}


def _heard(adapter: Any) -> Heard:
    return hear(adapter, 24, top_k=ALL)


def _turned(twins: Twins, rotary: Rotary) -> float:
    listening = Listening(twins.adapter)
    listening.rotary = rotary  # type: ignore[attr-defined]
    return _apart(twins, _heard(listening))


def _apart(twins: Twins, heard: Heard, sees: Sees | None = None) -> float:
    sees = sees or sees_window(heard.held, heard.question)
    theirs = dense_logits(twins, heard.parts, sees)
    return streams.worst(heard.logits[-1][-1], theirs[-1][-1])


@contextmanager
def _without(modules: list[Any], name: str, instead: Any) -> Iterator[None]:
    """Replace an attribute of each for a while."""
    held = [getattr(module, name) for module in modules]
    try:
        for module in modules:
            setattr(module, name, instead)
        with torch.no_grad():
            yield
    finally:
        for module, value in zip(modules, held, strict=True):
            setattr(module, name, value)
