"""When a model speaks about a stream: at every moment, or only where there is something to say.

always     Asked at every moment.  The model may still begin with an end: nothing is said then.
livestar   A line stands while it stays likely.  Its reference is its perplexity at the moment it
           is spoken at, ``exp(-mean log p)`` over its own tokens, without the one that ends it;
           where its perplexity at a later moment exceeds ``ratio`` times that, another line is
           spoken.  The first line is always spoken.  This is the streaming verification decoding
           of LiveStar (arXiv 2511.05299), whose code leaves the end out too and has 1.03.  There
           the line stands in the context both times, said once already; here only where the
           stream keeps what was said (`streamingvlm`), and not yet for its reference.
silence    Silent while the probability that a line ends before it begins is ``threshold`` or
           more, and greater than any other token's; else the best line that is not silence.
           VideoLLM-online (arXiv 2406.11816; 0.725 in its demo).  Its silence is one token that
           was trained for it; here every token that ends an answer counts, added up.

Knows logits and tokens; nothing of streams or time.

V vocabulary, N tokens of a line.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from longtake.models.decode import Decoding
from longtake.narration.voice import Voice

RULES = ("livestar", "silence", "always")
RATIO, THRESHOLD = 1.03, 0.725


class Rule(Protocol):
    """Asked at each moment of one narration, in order."""

    @property
    def keeps(self) -> bool:
        """Silence means that the line before still holds."""
        ...

    def decide(self, voice: Voice) -> list[int]:
        """The line's tokens, without its end; none for silence."""
        ...


def perplexity(log_probs: Tensor) -> float:
    """Of a line, from the log-probabilities ``[N]`` of its tokens; N at least 1.

    Infinite where it is beyond a float's range.
    """
    if not len(log_probs):
        raise ValueError("a line without tokens has no perplexity")
    return float((-log_probs.double().mean()).exp())


def is_outdated(now: float, reference: float, ratio: float) -> bool:
    """Whether a line's perplexity has risen beyond ``ratio`` times its reference.

    A line that became impossible is outdated, whatever it was when it was spoken.
    """
    return now == math.inf or now > ratio * reference


def is_silent(logits: Tensor, silence: Collection[int], threshold: float) -> bool:
    """Whether nothing is said, from the logits ``[V]`` of a line's first token.

    Args:
        silence: tokens that are silence; their probabilities are added.
    """
    shares = logits.double().softmax(-1)
    quiet = sorted(silence)
    silent = float(shares[quiet].sum())
    shares[quiet] = 0.0
    return silent >= threshold and silent > float(shares.max())


@dataclass(slots=True)
class Always:
    decoding: Decoding
    keeps: bool = field(default=False, init=False)

    def decide(self, voice: Voice) -> list[int]:
        return heard(voice, voice.speak(self.decoding))


@dataclass(slots=True)
class LiveStar:
    decoding: Decoding
    ratio: float = RATIO
    keeps: bool = field(default=True, init=False)
    line: list[int] = field(default_factory=list, init=False)  # spoken last
    reference: float = field(default=math.inf, init=False)  # its perplexity then

    def decide(self, voice: Voice) -> list[int]:
        if self.line:
            now = perplexity(voice.log_probs(self.line))
            if not is_outdated(now, self.reference, self.ratio):
                return []
        self.line = heard(voice, voice.speak(self.decoding, never=voice.stop_ids))
        if self.line:
            self.reference = perplexity(voice.log_probs(self.line))
        return self.line


@dataclass(slots=True)
class Silence:
    decoding: Decoding
    threshold: float = THRESHOLD
    keeps: bool = field(default=False, init=False)

    def decide(self, voice: Voice) -> list[int]:
        if is_silent(voice.first_logits, voice.stop_ids, self.threshold):
            return []
        return heard(voice, voice.speak(self.decoding, never=voice.stop_ids))


def heard(voice: Voice, ids: list[int]) -> list[int]:
    """The line, or none where its tokens are no words."""
    return ids if voice.text(ids).strip() else []


def make_rule(name: str, decoding: Decoding, *, ratio: float, threshold: float) -> Rule:
    """The rule of that name, at the beginning of a narration."""
    if name == "livestar":
        return LiveStar(decoding, ratio)
    return Silence(decoding, threshold) if name == "silence" else Always(decoding)
