"""What the codecs cost and what they save: bytes, speed, and the error that attention sees.

Part of ``longtake bench memory``.  Bytes are those of the layers alone, of the shapes of two known
models, beside what ReKV (arXiv 2503.00540) states.  A record's header, positions and search vectors
come to that whatever the codec: for 7B models 60 KB a chunk, and up to a page a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from longtake.bench.frame import Row, Say, compared, interleave, median, timed
from longtake.bench.logit_error import Layer, logit_error, seen_by, spread, synthetic
from longtake.memory.codecs import CODECS, Codec, LayerShape, make_codec
from longtake.memory.codecs.affine import CHANNELS, Affine
from longtake.memory.codecs.halves import Halves
from longtake.memory.codecs.unbiased import PREFIX
from longtake.models.loader import load

GIB = 2**30
# "18.8 GB/h" in the paper: 57,344 B x 196 tokens x 1,800 frames an hour, in GiB
REKV = Row("ReKV, LLaVA-OneVision-7B at 0.5 fps, as published", 18.8, "GiB/h")
BIAS_NORM = 900.0  # of a head: Qwen2.5-7B's are 605 in its first layer, 921 in its last
FILM_S = 60
TURNS = 20  # layers a timed run encodes or decodes
SHARED = "4 bits, channels share steps"  # what is not done here, to be beside what is


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's chunks, and how many come in a second."""

    name: str
    layers: int
    layer: LayerShape
    chunks_per_s: float

    def rate(self, nbytes: int) -> float:
        """Bytes a second where a layer is stored in so many."""
        return nbytes * self.layers * self.chunks_per_s


LLAVA = Shape("LLaVA-OneVision-7B", 28, LayerShape(4, 196, 128, torch.bfloat16), 0.5)
QWEN = Shape("Qwen2.5-VL-7B", 28, LayerShape(4, 256, 128, torch.bfloat16), 1.0)
SHAPES = (LLAVA, QWEN)  # 196 tokens a frame at 0.5 fps as in ReKV; 128 a frame, in pairs, at 2 fps


def rows(repeats: int, say: Say) -> list[Row]:
    """Bytes, speed and logit errors of every codec.

    Raises:
        ValueError: for a number of repeats that makes no sense.
    """
    return [*_bytes(), *_speed(repeats, say), *_synthetic_errors(), *_real_errors(say)]


def _bytes() -> list[Row]:
    """Plain codecs only: without the bias a layer takes as many bytes."""
    found = []
    for shape in SHAPES:
        layer = synthetic(shape.layer, BIAS_NORM, chunks=1)
        raw: dict[str, Row] = {}
        for name in dict.fromkeys(name.removeprefix(PREFIX) for name in CODECS):
            nbytes = len(make_codec(name).encode(*layer.chunks[0]))
            per_token = nbytes * shape.layers / shape.layer.tokens
            per_hour = shape.rate(nbytes) * 3600 / GIB
            for value, unit, what in ((per_token, "B/token", "token"), (per_hour, "GiB/h", "hour")):
                title = f"{shape.name}, {name}: KV of a{'n' * (what == 'hour')} {what}"
                plain = raw.setdefault(unit, Row(title, value, unit))
                found.append(plain if name == "raw" else compared(title, value, unit, plain))
    return [REKV, *found]


def _speed(repeats: int, say: Say) -> list[Row]:
    """In the caller's threads, beside what the model makes of a stream."""
    layer = synthetic(QWEN.layer, BIAS_NORM, chunks=1)
    jobs: dict[str, Callable[[], float]] = {}
    for name in CODECS:
        codec = make_codec(name, layer.bias)
        jobs[f"encode {name}"] = _encoding(codec, *layer.chunks[0])
        jobs[f"decode {name}"] = _decoding(codec, *layer.chunks[0])
    nbytes = QWEN.layer.nbytes
    makes = Row(f"{QWEN.name} at 2 fps makes", QWEN.rate(nbytes) / 1e6, "MB/s")
    found = interleave(jobs, repeats, say)
    return [makes] + [
        compared(name, TURNS * nbytes / median(times) / 1e6, "MB/s", makes)
        for name, times in found.items()
    ]


def _encoding(codec: Codec, keys: Tensor, values: Tensor) -> Callable[[], float]:
    def turns() -> None:
        for _ in range(TURNS):
            codec.encode(keys, values)

    return lambda: timed(turns)


def _decoding(codec: Codec, keys: Tensor, values: Tensor) -> Callable[[], float]:
    data = codec.encode(keys, values)
    out = torch.empty_like(keys), torch.empty_like(values)

    def turns() -> None:
        for _ in range(TURNS):
            codec.decode(data, QWEN.layer, *out)

    return lambda: timed(turns)


def _synthetic_errors() -> list[Row]:
    found = []
    for norm in (0.0, BIAS_NORM):
        layers = [synthetic(LLAVA.layer, norm)]
        found += _errors(f"synthetic keys, bias {norm:g}", layers)
    return found


def _real_errors(say: Say) -> list[Row]:
    say(f"keys of a drawn film of {FILM_S} s")
    layers = seen_by(load("embedded", device="cpu"), FILM_S)
    return _errors("embedded model's keys", layers)


def _errors(title: str, layers: list[Layer]) -> list[Row]:
    biases = [layer.bias for layer in layers if layer.bias is not None]
    norm = max((float(bias.norm(dim=1).max()) for bias in biases), default=0.0)
    found = [
        Row(f"{title}: greatest bias of a head", norm, "norm"),
        Row(f"{title}: rms of logits", spread(layers), "logit"),
    ]
    for name in CODECS:
        error = logit_error(layers, partial(make_codec, name))
        found += _pair(f"{title}, {name}", error.rms, error.greatest)
    shared = Affine(4, CHANNELS, 32)
    error = logit_error(layers, lambda bias: Halves("shared", 1, shared, shared))
    return found + _pair(f"{title}, {SHARED}", error.rms, error.greatest)


def _pair(title: str, rms: float, greatest: float) -> list[Row]:
    return [
        Row(f"{title}: rms error", rms, "logit"),
        Row(f"{title}: greatest error", greatest, "logit"),
    ]
