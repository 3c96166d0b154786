"""Which of the words that were typed are videos, and which are questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from longtake.streaming.folders import CLIP_SUFFIXES
from longtake.streaming.sources import has_scheme


class Words(NamedTuple):
    videos: tuple[str, ...]
    questions: tuple[str, ...]


def sort_words(words: Sequence[str], has_memory: bool) -> Words:
    """Videos come first: words that exist, have a scheme, are ``-``, or look like the name of a
    clip or a camera.

    Where no memory holds a take, the first word is a video whatever it looks like.

    Raises:
        ValueError: for an empty question.
    """
    if "" in words:
        raise ValueError("a word is empty: it is no video and no question (an unset variable?)")
    count = 0
    while count < len(words) and is_source(words[count]):
        count += 1
    if count == 0 and words and not has_memory:
        count = 1
    questions = tuple(words[count:])
    if any(not question.strip() for question in questions):
        raise ValueError("a question is empty: ask something")
    return Words(tuple(words[:count]), questions)


def is_source(word: str) -> bool:
    if word == "-" or has_scheme(word) or word.startswith("/dev/video"):
        return True
    looks_like_one = not any(c.isspace() for c in word) and Path(word).suffix in CLIP_SUFFIXES
    try:
        return looks_like_one or Path(word).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # no name that a file can have: a question
        return False
