"""``longtake narrate``: watch, and show lines as they are spoken, or as soon as their end is known.

Whatever ends it, what was said so far is complete output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from longtake.cli.common import say
from longtake.cli.names import shown
from longtake.cli.show import as_json
from longtake.cli.subtitles import VTT_HEAD, srt_cue, vtt_cue
from longtake.cli.watching import Watched, check_sources, opened, progress, tell
from longtake.modes.round_stream import LINE
from longtake.narration.narration import Line, Narration
from longtake.narration.telling import Telling
from longtake.ui.view import clock

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take
    from longtake.watch import Watch

Form = Literal["text", "json", "jsonl", "srt", "vtt"]

SCHEMA, LINE_SCHEMA = "longtake.narrate/1", "longtake.line/1"
KNOWN = "what colour was the star?"  # a request that the embedded model understands
_LOOK_S = 0.1  # how often the progress is shown anew


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    videos: tuple[str, ...]
    settings: Settings
    telling: Telling
    sampling: Mapping[str, Any]  # fields of `Decoding` that flags may set; None: not given
    memory: Path | None = None
    start_s: float | None = None
    stop_s: float | None = None
    form: Form = "text"

    def __post_init__(self) -> None:
        if "" in self.videos:
            raise ValueError("a word is empty: it is no video (an unset variable?)")
        check_sources(self.videos, self.memory, self.start_s, self.stop_s)

    @property
    def settled(self) -> Telling:
        """In the mode whose paper has a decoding of its own, flags change that one."""
        if self.settings.take.mode != "streamingvlm":
            return self.telling
        given = {name: value for name, value in self.sampling.items() if value is not None}
        return replace(self.telling, decoding=replace(LINE, **given))


def make_telling(
    request: str | None,
    every_s: float,
    rule: str | None,
    ratio: float | None,
    threshold: float | None,
) -> Telling:
    """From flags; what is None is as by default.

    Raises:
        ValueError: if a value makes no sense, or belongs to another rule.
    """
    for flag, value, of in (("ratio", ratio, "livestar"), ("threshold", threshold, "silence")):
        if value is not None:
            if rule not in (None, of):
                raise ValueError(f"--{flag} {value:g}: belongs to --rule {of}, not to {rule}")
            rule = of
    given = {"request": request, "rule": rule, "ratio": ratio, "threshold": threshold}
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return Telling(every_s=every_s, **known)


@dataclass
class Shown:
    """Lines on their way to stdout."""

    form: Form
    out: TextIO
    begin_s: float = 0.0  # session time of the 0 that is shown
    lines: list[Line] = field(default_factory=list)  # for one object at the end
    count: int = 0
    _has_begun: bool = False

    @property
    def wants_whole(self) -> bool:
        return self.form in ("json", "srt", "vtt")

    @property
    def is_on_terminal(self) -> bool:
        return self.form != "json" and self.out.isatty()

    def begin(self) -> None:
        """There is a video: what stands before all lines."""
        if self.form == "vtt" and not self._has_begun:
            self._print(VTT_HEAD)
        self._has_begun = True

    def line(self, line: Line) -> None:
        self.count += 1
        start_s = line.start_s - self.begin_s
        if self.form == "json":
            self.lines.append(line)
        elif self.form == "jsonl":
            said = {"schema": LINE_SCHEMA, "start_s": start_s, "text": line.text}
            self._print(json.dumps(said) + "\n")
        elif self.form == "text":
            self._print(f"{clock(start_s)}  {shown(line.text)}\n")
        else:
            assert line.end_s is not None
            end_s = line.end_s - self.begin_s
            if self.form == "srt":
                self._print(srt_cue(self.count, start_s, end_s, line.text))
            else:
                self._print(vtt_cue(start_s, end_s, line.text))

    def _print(self, text: str) -> None:
        print(text, end="", file=self.out, flush=True)


def run(request: Request) -> int:
    """Do it; returns the exit code.  Errors are raised; `longtake.cli` says them in one line."""
    telling, show = request.settled, Shown(request.form, sys.stdout)
    watched: list[Watched] = []
    with opened(request.settings, request.memory) as take:
        _tell_limits(take)
        is_whole = False
        try:
            for i in range(len(request.videos)):
                _narrate(take, request, telling, i, show, watched)
            is_whole = True
        finally:
            if request.form == "json" and watched:
                shown_json = _as_json(take, request, telling, watched, show, is_whole)
                print(json.dumps(shown_json), flush=True)
    return 0


def _narrate(
    take: Take, request: Request, telling: Telling, i: int, show: Shown, watched: list[Watched]
) -> None:
    """The video of that place; it joins ``watched`` as soon as it is open."""
    begun, count = time.monotonic(), len(request.videos)
    with _begun(take, telling, show) as narration:
        watch = take.watch(request.videos[i], start_s=request.start_s or 0.0, stop_s=request.stop_s)
        show.begin()
        if count == 1:
            show.begin_s = watch.offset_s
        try:
            with _bar(watch, take, f"{i + 1} of {count}  " if count > 1 else "", show) as look:
                while not narration.is_over:
                    look()
                    line = narration.poll(_LOOK_S, whole=show.wants_whole)
                    if line is not None:
                        show.line(line)
        except KeyboardInterrupt:
            seen_s = max(0.0, take.stats().newest_s - watch.offset_s)
            say(f"{watch.address}: narrated to {clock(seen_s)}")
            raise
        finally:
            watched.append(Watched(watch, time.monotonic() - begun))
    watch.wait()
    if watch.is_known:
        say(f"{watch.address}: seen before; there is nothing new in it to narrate")
    else:
        tell(watch)


@contextmanager
def _begun(take: Take, telling: Telling, show: Shown) -> Iterator[Narration]:
    """A narration; however it ends, what was said is shown."""
    narration = take.narrate(
        telling.request,
        every_s=telling.every_s,
        rule=telling.rule,
        ratio=telling.ratio,
        threshold=telling.threshold,
        decoding=telling.decoding,
    )
    try:
        yield narration
    finally:
        narration.close()
        while (line := narration.poll(whole=show.wants_whole)) is not None:
            show.line(line)


@contextmanager
def _bar(watch: Watch, take: Take, number: str, show: Shown) -> Iterator[Callable[[], None]]:
    """How far it is, unless the lines themselves show that."""
    if show.is_on_terminal:
        yield lambda: None
        return
    with progress(watch, take, number) as look:
        yield look


def _as_json(
    take: Take,
    request: Request,
    telling: Telling,
    watched: list[Watched],
    show: Shown,
    is_whole: bool,
) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md."""
    is_complete = is_whole and all(w.watch.report.complete for w in watched)
    told = as_json(take, request.memory, watched, [], is_complete)
    del told["answers"]
    lines = [
        {
            "start_s": line.start_s - show.begin_s,
            "end_s": None if line.end_s is None else line.end_s - show.begin_s,
            "text": line.text,
        }
        for line in show.lines
    ]
    return told | {"schema": SCHEMA, "request": telling.request, "lines": lines}


def _tell_limits(take: Take) -> None:
    adapter = take.adapter
    if adapter.recipe.world_version is not None:
        say(
            f"the {adapter.name} model was not trained to narrate: it answers --request anew at "
            f'each moment, so ask what it knows, such as --request "{KNOWN}"'
        )
