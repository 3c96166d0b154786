"""What comes back: an answer with the moments that support it."""

from __future__ import annotations

from dataclasses import dataclass, field

from longtake.memory.marks import Gap


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of the stream that the answer rests on.  Times are session seconds."""

    start_s: float
    end_s: float
    score: float  # share of the question's attention over the whole past, 0 to 1
    camera: str = ""
    thumbnail: bytes | None = field(default=None, repr=False)  # JPEG
    wall_s: float | None = None  # Unix time of its beginning, where it is known
    number: int | None = None  # of the chunk whose picture is shown


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the strings that an answer had to be."""

    text: str  # as it was given
    probability: float  # among the choices alone


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from the moment at which the question's turn came."""

    recall_s: float  # choosing chunks and bringing them, while the prompt goes through
    first_token_s: float
    total_s: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    question: str
    text: str
    evidence: tuple[Moment, ...]  # best first
    as_of_s: float  # session time of the newest frame that could be known
    staleness_s: float  # how far that is behind the newest frame that had come
    coverage: float  # chunks that arrived / chunks selected
    partial: bool  # cut short by a deadline, a cancel or the token limit
    timings: Timings
    choices: tuple[Choice, ...] = ()  # best first, of a question that had some
    mass: float | None = None  # probability that the model, left free, says exactly one of them
    gaps: tuple[Gap, ...] = ()  # newest stretches of what was asked about that are not held
