"""Does this model compute here what it computes in plain transformers?

A short clip and a question go through an `Engine` whose window is longer than the clip; then the
same embeddings, at the same positions, go through unmodified transformers classes that are
loaded apart.  The logits of every token must agree (law 1 of docs/architecture.md), and so must
the token that greedy decoding begins with.  What loading takes, and how a difference is told to a
person, is not known here.

A position axes, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from torch import Tensor

from longtake.engine import Engine
from longtake.models.base import Adapter, Image, Step
from longtake.models.decode import Decoding
from longtake.settings import TakeConfig

# Share of the greatest logit; both sides in float32.  Rounding grows with the logits, so a bound
# on their difference alone would be strict for one family and loose for another.  Random weights of
# all six families were within 9e-7 of it with 3 layers, within 3.3e-6 with 28.
TOLERANCE = 1e-5
QUESTION = "what was there?"
_STEPS = 3
_SIDE_PX = 112  # of the clip's pictures: models that keep a picture's size see few tokens
_SEED = 0
_MASKS, _FEATURES = "visual_pos_masks", "deepstack_visual_embeds"  # Qwen3-VL's


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the two are apart."""

    max_abs_error: float
    tolerance: float  # of that, by the size of the plain model's logits
    tokens_compared: int
    same_first_token: bool

    @property
    def passed(self) -> bool:  # false for what is not a number
        return self.max_abs_error <= self.tolerance and self.same_first_token

    def as_json(self) -> dict[str, float | int | bool | None]:
        """Null for an error that is no finite number, which JSON does not have."""
        return {
            "max_abs_error": self.max_abs_error if math.isfinite(self.max_abs_error) else None,
            "tolerance": self.tolerance if math.isfinite(self.tolerance) else None,
            "tokens_compared": self.tokens_compared,
            "same_first_token": self.same_first_token,
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What went through the engine, and what came out of it."""

    embeds: Tensor  # [S, C]: sink and clip
    extra: dict[str, Any]  # further keywords of the decoder, for sink and clip together
    prompt_ids: Tensor  # int64 [T - S]: the question in its template
    positions: Tensor  # int64 [A, T]
    logits: Tensor  # float32 [T, V], on the CPU


class _Listening:
    """An adapter that keeps the steps and the decoder's outputs that pass through it."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.parts: list[Step] = []  # the sink first
        self.hidden: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def sink(self) -> Step:
        self.parts.append(self._adapter.sink())
        return self.parts[-1]

    def steps(self, *words: Any, **named: Any) -> list[Step]:
        made = self._adapter.steps(*words, **named)
        self.parts += made
        return made

    def decode_step(self, *words: Any) -> Tensor:
        self.hidden.append(self._adapter.decode_step(*words))
        return self.hidden[-1]


def listen(adapter: Adapter) -> Heard:
    """Show the clip to an engine, ask, and keep what its decoder computed.

    Raises:
        ValueError: if the model is not loaded in float32, or was trained for too short a context.
    """
    if adapter.dtype is not torch.float32:
        raise ValueError(f"{adapter.name} is in {adapter.dtype}: it is compared in float32")
    listening = _Listening(adapter)
    fps, images = adapter.recipe.fps, clip(adapter)
    config = TakeConfig(
        fps=fps,
        window_s=(len(images) + 1) / fps,
        mailbox_frames=len(images),
        decoding=Decoding(max_tokens=1),
    )
    with Engine(cast(Adapter, listening)) as engine, engine.open(None, config) as take:
        for i, image in enumerate(images):
            take.push(image, i / fps)
        take.drain()
        take.ask(QUESTION)
    prompt_ids = adapter.prompt(QUESTION).ids
    *seen, _blind, asked = listening.hidden
    assert len(seen) == len(listening.parts) and len(asked) == len(prompt_ids)
    text = torch.arange(len(prompt_ids)).expand(adapter.shape.axes, -1)
    with torch.inference_mode():
        logits = [adapter.logits(hidden).float().cpu() for hidden in (*seen, asked)]
    return Heard(
        torch.cat([part.embeds for part in listening.parts]),
        join_extra(listening.parts),
        prompt_ids,
        place([*(part.positions for part in listening.parts), text]),
        torch.cat(logits),
    )


def clip(adapter: Adapter) -> list[Image]:
    """Small pictures of noise, enough for a few steps."""
    drawn = np.random.default_rng(_SEED)
    shape = (_SIDE_PX, _SIDE_PX, 3)
    count = _STEPS * adapter.recipe.frames_per_step
    return [drawn.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def place(offsets: Sequence[Tensor]) -> Tensor:
    """Position ids ``[A, T]`` of parts ``[A, t]``, each one behind the greatest before it.

    Written apart from the memory's own layout, which it is to be held against.
    """
    placed, behind = [], 0
    for part in offsets:
        placed.append(part.cpu().long() + behind)
        behind = int(placed[-1].max()) + 1
    return torch.cat(placed, 1)


def join_extra(parts: Sequence[Step]) -> dict[str, Any]:
    """What parts give the decoder beside embeddings, as one sequence's; {} where none does.

    Raises:
        ValueError: for a keyword whose parts are not known to be joined here.
    """
    names = {name for part in parts for name in part.extra}
    if not names:
        return {}
    if names != {_MASKS, _FEATURES}:
        raise ValueError(f"{', '.join(sorted(names - {_MASKS, _FEATURES}))}: cannot be joined")
    place = parts[0].embeds.device
    nothing = [torch.zeros(1, part.tokens, dtype=torch.bool, device=place) for part in parts]
    masks = [part.extra.get(_MASKS, none) for part, none in zip(parts, nothing, strict=True)]
    levels = zip(*(part.extra[_FEATURES] for part in parts if part.extra), strict=True)
    return {_MASKS: torch.cat(masks, 1), _FEATURES: [torch.cat(level) for level in levels]}


@torch.inference_mode()
def compare(heard: Heard, folder: Path, device: torch.device) -> Parity:
    """Load the checkpoint once more, in transformers' own classes, and hold the two together."""
    classes: Any = transformers
    model = classes.AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="sdpa",
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    model.eval().to(device)
    plain = _plain_logits(model, heard, device)
    allowed = TOLERANCE * float(plain.abs().max())
    first = int(heard.logits[-1].argmax())
    return Parity(
        max_abs_error=float((plain - heard.logits).abs().max()),
        tolerance=allowed,
        tokens_compared=len(heard.logits),
        same_first_token=bool(plain[-1, first] >= plain[-1].max() - allowed),  # or tied with it
    )


def _plain_logits(model: Any, heard: Heard, device: torch.device) -> Tensor:
    """Float32 ``[T, V]`` on the CPU: one forward of the whole model over all tokens.

    Deepstack features are given to the decoder alone: the whole model takes them from pixels.
    """
    asked = model.get_input_embeddings()(heard.prompt_ids.to(device))
    embeds = torch.cat([heard.embeds.to(device), asked])
    positions = heard.positions.to(device)
    where = positions if positions.shape[0] == 1 else positions[:, None]
    given = {"inputs_embeds": embeds[None], "position_ids": where, "use_cache": False}
    if not heard.extra:
        logits = model(**given).logits[0]
    else:
        no_vision = torch.zeros(1, len(asked), dtype=torch.bool, device=device)
        masks = torch.cat([heard.extra[_MASKS].to(device), no_vision], 1)
        features = [level.to(device) for level in heard.extra[_FEATURES]]
        deepstack = {_MASKS: masks, _FEATURES: features}
        hidden = model.get_decoder()(**given, **deepstack)[0][0]
        logits = model.get_output_embeddings()(hidden)
    plain: Tensor = logits.float().cpu()
    return plain
