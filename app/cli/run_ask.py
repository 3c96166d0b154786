"""``longtake ask``: watch what must be watched, then answer, and show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longtake.cli.common import say
from longtake.cli.endings import PARTIAL
from longtake.cli.groups import Watched
from longtake.cli.show import Told, answer_json, as_json, print_evidence, write_pictures
from longtake.cli.sources import Sources
from longtake.cli.subtitles import srt
from longtake.cli.watching import opened, watch_all
from longtake.cli.words import Words, sort_words

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take

Form = Literal["text", "json", "jsonl", "srt"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    words: tuple[str, ...]
    settings: Settings
    memory: Path | None = None
    names: tuple[str, ...] = ()  # of cameras
    start_s: float | None = None
    stop_s: float | None = None
    for_s: float | None = None
    between_s: tuple[float, float] | None = None
    at_s: float | None = None
    evidence_dir: Path | None = None
    form: Form = "text"
    strict: bool = False

    def __post_init__(self) -> None:
        if not self.sorted.questions:
            raise ValueError('no question: longtake ask VIDEO "what colour was the star?"')
        recordings = self.sources.recordings()
        if self.for_s is not None and (recordings or not self.sources.addresses):
            subject = recordings[0] if recordings else "the memory"
            raise ValueError(
                f"--for {self.for_s:g}: is how long a live source is seen, and {subject} is none; "
                "--to bounds a recording"
            )

    @cached_property
    def sources(self) -> Sources:
        return Sources(
            addresses=self.sorted.videos,
            capture=self.settings.take.capture,
            names=self.names,
            memory=self.memory,
            start_s=self.start_s,
            stop_s=self.stop_s,
        )

    @cached_property
    def sorted(self) -> Words:
        return sort_words(self.words, has_memory=self.memory is not None)


def run(request: Request) -> int:
    """Do it; returns the exit code.  Errors are raised; `longtake.cli` says them in one line."""
    if request.evidence_dir is not None:
        request.evidence_dir.mkdir(parents=True, exist_ok=True)
    videos, questions = request.sorted
    with opened(request.settings, request.memory, may_only_read=not videos) as take:
        watched = watch_all(take, request.sources, request.for_s)
        is_live = any(w.is_live for w in watched)
        if request.for_s is not None and watched and not is_live:
            say(f"{watched[0].watch.address}: is a recording, which --for does not bound")
        told = [_answer(take, request, i, q, is_live) for i, q in enumerate(questions)]
        is_complete = _is_complete(watched, told) and not take.stats().corrupt
        if request.form == "json":
            print(json.dumps(as_json(take, request.memory, watched, told, is_complete)))
        elif request.form == "srt":
            begin_s = watched[0].watch.offset_s if len(watched) == 1 else 0.0
            print(srt([t.answer for t in told], 1 / take.pace.fps, begin_s), end="")
    return PARTIAL if request.strict and not is_complete else 0


def _is_complete(watched: Sequence[Watched], told: Sequence[Told]) -> bool:
    """Nothing that was promised is missing, and every answer is whole."""
    seen = all(w.is_whole for w in watched)
    return seen and not any(t.answer.partial or t.answer.coverage < 1 for t in told)


def _answer(take: Take, request: Request, number: int, question: str, is_live: bool) -> Told:
    """Ask, and show the answer as it comes."""
    asking = take.stream(question, at_s=request.at_s, between_s=request.between_s)
    is_text = request.form == "text"
    try:
        if is_text:
            print(f"Q  {question}\nA  ", end="", flush=True)
            for piece in asking:
                print(piece, end="", flush=True)
            print()
        answer = asking.result()
    except BaseException:
        asking.cancel()
        raise
    told = Told(answer, write_pictures(request.evidence_dir, number, answer.evidence))
    if is_text:
        print_evidence(told, take.stats().newest_s, is_live=is_live)
    elif request.form == "jsonl":
        print(json.dumps({"schema": "longtake.answer/1", **answer_json(told)}), flush=True)
    return told
