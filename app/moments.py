"""What a take shows of its past without an answer: pictures of a time, moments that were found."""

from __future__ import annotations

from dataclasses import dataclass, field

BY_KEYS, BY_CAPTION = "keys", "caption"  # what a moment was found by


@dataclass(frozen=True, slots=True)
class Picture:
    """A chunk as people see it.  Times are session seconds."""

    number: int
    start_s: float
    end_s: float
    camera: str = ""
    jpeg: bytes | None = field(default=None, repr=False)  # of its first frame
    caption: str | None = None  # what was said about that time


@dataclass(frozen=True, slots=True)
class Found:
    """A span of the stream that fits what was looked for.  Times are session seconds."""

    start_s: float
    end_s: float
    score: float  # share of the words' attention over all that was searched, 0 to 1
    camera: str = ""
    thumbnail: bytes | None = field(default=None, repr=False)  # JPEG
    matched: tuple[str, ...] = (BY_KEYS,)  # of BY_KEYS, BY_CAPTION
    caption: str | None = None  # the words, where they were found in one
    number: int | None = None  # of the chunk whose picture is shown
