"""Moments that fit some words, found without an answer: by the model's keys, and by captions.

By keys: the words go through the decoder without video, as in a blind recall, and score the
chunks; shares, and neighbours that are one moment, are those of an answer's evidence.  By captions:
chunks whose time was spoken about in these words, also where only their picture is left.

L layers, N candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING

import torch

from longtake import scope
from longtake.asked import Asked
from longtake.candidates import Candidates
from longtake.memory.recall import peaks, shares
from longtake.moments import BY_CAPTION, BY_KEYS, Found
from longtake.recalling import blind_vectors, selection_of
from longtake.windows import read_window

if TYPE_CHECKING:
    from longtake.session import Session

Shares = dict[int, float]  # by chunk number; what was not scored is left out


@dataclass(frozen=True, slots=True)
class _Match:
    """Neighbouring chunks, numbers both included."""

    first: int
    last: int
    score: float
    matched: tuple[str, ...]
    caption: str | None = None

    def overlaps(self, other: _Match) -> bool:
        return self.first <= other.last and other.first <= self.last

    def lies_in(self, other: _Match) -> bool:
        return other.first <= self.first and self.last <= other.last


def search(
    session: Session, text: str, top: int, between_s: tuple[float, float] | None
) -> list[Found]:
    """At most `top` moments, best first.  The session is read and not changed.

    Those by keys and those by captions take turns, so that neither hides the other.  What a
    caption found is of its own span, and says so where it stood out by keys too; what keys found
    within that is left out.

    Raises:
        ValueError: if there is nothing to look for, or `top` or the times make no sense.
    """
    if top < 1:
        raise ValueError(f"top={top}: must be at least 1")
    asked = Asked(question=text, when=scope.When(between_s=between_s))
    by_keys, share = _by_keys(session, asked, top)
    by_captions = [_with_keys(match, by_keys) for match in _by_captions(session, asked, share)]
    by_keys = [m for m in by_keys if not any(m.lies_in(other) for other in by_captions)]
    in_turns = chain.from_iterable(zip_longest(by_keys, by_captions))
    chosen = islice((match for match in in_turns if match is not None), top)
    return [_found(session, match) for match in chosen]


@torch.inference_mode()
def _by_keys(session: Session, asked: Asked, top: int) -> tuple[list[_Match], Shares]:
    live = len(session.window.infos)
    known = scope.settle(asked.when, session.past(), live, session.window_shape)
    window, selection = read_window(session, known), selection_of(session, asked)
    candidates = Candidates(session, known, known.first, window, selection, top)
    if not len(candidates.numbers):
        return [], {}
    scored = candidates.scores(blind_vectors(session, session.adapter.prompt(asked.question)))
    sharpness = session.adapter.recipe.sharpness
    share = shares(scored.scores, session.adapter.shape.head_dim, sharpness)
    found = [
        _Match(peak.first, peak.last, peak.score, (BY_KEYS,))
        for peak in peaks(scored.numbers, share, top)
    ]
    return found, dict(zip(scored.numbers.tolist(), share.tolist(), strict=True))


def _by_captions(session: Session, asked: Asked, share: Shares) -> list[_Match]:
    """The chunks that each caption speaks of, those of the greatest shares first, of equal ones
    the newest."""
    held, between_s = session.held(), asked.when.between_s
    if between_s is not None:
        held = held[scope.touching(held, *between_s)]
    found = []
    for caption in session.captioned(asked.question):
        meant = held[scope.touching(held, caption.start_s, caption.end_s)]
        numbers = [info.number for info in meant if info.camera == caption.camera]
        if numbers:
            score = sum(share.get(number, 0.0) for number in numbers)
            match = _Match(numbers[0], numbers[-1], score, (BY_CAPTION,), caption.text)
            found.append(match)
    return sorted(found, key=lambda match: (-match.score, -match.first))


def _with_keys(match: _Match, by_keys: Sequence[_Match]) -> _Match:
    """Found by a caption: by keys too, where one of its chunks stood out."""
    if any(match.overlaps(other) for other in by_keys):
        return replace(match, matched=(BY_KEYS, BY_CAPTION))
    return match


def _found(session: Session, match: _Match) -> Found:
    begin, end = session.info(match.first), session.info(match.last)
    return Found(
        begin.start_s,
        end.end_s,
        match.score,
        begin.camera,
        session.thumbnail(match.first),
        match.matched,
        match.caption,
        match.first,
    )
