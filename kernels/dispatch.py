"""Which implementation of each kernel runs, visibly.

`attend` and `score_chunks` are what the rest calls.  `describe` tells a person what would run
on a device and why; `force` names one for a test or a comparison.  Every implementation is held
against the plain twin, ``reference``, which is also the fallback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from longtake.kernels import attention, scoring

Attend = Callable[[Tensor, Tensor, Tensor, float, "Tensor | None"], Tensor]
ScoreChunks = Callable[[Tensor, Tensor], Tensor]

ATTEND: Mapping[str, Attend] = {
    "reference": attention.attend_reference,
    "sdpa": attention.attend_sdpa,
}
SCORE_CHUNKS: Mapping[str, ScoreChunks] = {
    "reference": scoring.score_chunks_reference,
    "batched": scoring.score_chunks_batched,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs for one kernel on one kind of device."""

    kernel: str
    implementation: str
    reason: str


_CHOICES: Mapping[tuple[str, str], Choice] = {
    ("attend", "cpu"): Choice(
        "attend", "sdpa", "the library's own, half the time of plain products"
    ),
    ("attend", "cuda"): Choice("attend", "sdpa", "the library's own; not measured yet"),
    ("score_chunks", "cpu"): Choice("score_chunks", "batched", "threads share the layers"),
    ("score_chunks", "cuda"): Choice("score_chunks", "batched", "one launch for all layers"),
}
_forced: dict[str, str] = {}


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """See `attention.attend_reference`."""
    return ATTEND[chosen("attend", query.device)](query, key, value, scale, mask)


def score_chunks(query: Tensor, keys: Tensor) -> Tensor:
    """See `scoring.score_chunks_reference`."""
    return SCORE_CHUNKS[chosen("score_chunks", keys.device)](query, keys)


def chosen(kernel: str, device: torch.device) -> str:
    """Name of the implementation that runs for ``kernel`` on ``device``."""
    if kernel in _forced:
        return _forced[kernel]
    choice = _CHOICES.get((kernel, device.type))
    return choice.implementation if choice else "reference"


def describe(device: torch.device | str) -> list[Choice]:
    """One choice a kernel, with its reason."""
    kind = torch.device(device).type
    found = []
    for kernel in ("attend", "score_chunks"):
        if kernel in _forced:
            found.append(Choice(kernel, _forced[kernel], "forced"))
        else:
            plain = Choice(kernel, "reference", f"nothing else is made for {kind}")
            found.append(_CHOICES.get((kernel, kind), plain))
    return found


@contextmanager
def force(kernel: str, implementation: str) -> Iterator[None]:
    """Run one implementation everywhere while the context lasts.  For tests and comparisons.

    Raises:
        ValueError: names the kernels or implementations there are.
    """
    known: dict[str, Mapping[str, object]] = {"attend": ATTEND, "score_chunks": SCORE_CHUNKS}
    if kernel not in known:
        raise ValueError(f"kernel={kernel!r}: known are {', '.join(known)}")
    if implementation not in known[kernel]:
        raise ValueError(
            f"implementation={implementation!r}: {kernel} has {', '.join(known[kernel])}"
        )
    before = _forced.get(kernel)
    _forced[kernel] = implementation
    try:
        yield
    finally:
        if before is None:
            del _forced[kernel]
        else:
            _forced[kernel] = before
