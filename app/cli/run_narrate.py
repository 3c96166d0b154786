"""``longtake narrate``: watch, and show lines as they are spoken, or as soon as their end is known.

Whatever ends it, what was said so far is complete output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from longtake.cli.common import say
from longtake.cli.following import LOOK_S
from longtake.cli.groups import Ending, Group, Watched, begin, end, status, tell_seen
from longtake.cli.live_flags import Until
from longtake.cli.live_line import Silent
from longtake.cli.names import shown
from longtake.cli.show import as_json
from longtake.cli.sources import Sources
from longtake.cli.subtitles import VTT_HEAD, srt_cue, vtt_cue
from longtake.cli.watching import opened
from longtake.modes.round_stream import LINE
from longtake.narration.narration import Line, Narration
from longtake.narration.telling import Telling
from longtake.ui.view import clock

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.take import Take

Form = Literal["text", "json", "jsonl", "srt", "vtt"]

SCHEMA, LINE_SCHEMA = "longtake.narrate/1", "longtake.line/1"
KNOWN = "what colour was the star?"  # a request that the embedded model understands


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    videos: tuple[str, ...]
    settings: Settings
    telling: Telling
    sampling: Mapping[str, Any]  # fields of `Decoding` that flags may set; None: not given
    memory: Path | None = None
    names: tuple[str, ...] = ()  # of cameras
    start_s: float | None = None
    stop_s: float | None = None
    until: Until | None = None
    form: Form = "text"

    def __post_init__(self) -> None:
        if "" in self.videos:
            raise ValueError("a word is empty: it is no video (an unset variable?)")
        _ = self.sources  # refuses what cannot work

    @cached_property
    def sources(self) -> Sources:
        return Sources(
            addresses=self.videos,
            capture=self.settings.take.capture,
            names=self.names,
            memory=self.memory,
            start_s=self.start_s,
            stop_s=self.stop_s,
        )

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
        ending = Ending(request.until)
        is_whole = False
        try:
            groups = begin(take, request.sources)
            while len(watched) < len(request.videos) and not ending.is_over:
                _narrate(take, groups, telling, ending, show, watched)
            is_whole = True
        finally:
            if request.form == "json" and watched:
                shown_json = _as_json(take, request, telling, watched, show, is_whole)
                print(json.dumps(shown_json), flush=True)
    return 0


def _narrate(
    take: Take,
    groups: Iterator[Group],
    telling: Telling,
    ending: Ending,
    show: Shown,
    watched: list[Watched],
) -> None:
    """The next file, or all live sources; they join ``watched`` as soon as they are open."""
    begun = time.monotonic()
    with _begun(take, telling, show) as narration:
        group = next(groups)
        show.begin()
        if len(group.watches) == 1 and not group.place:
            show.begin_s = group.watches[0].offset_s
        try:
            _follow(take, group, narration, ending, show)
        except KeyboardInterrupt:
            tell_seen(take, group, "narrated")
            raise
        finally:
            spent_s = time.monotonic() - begun
            watched += [Watched(watch, spent_s) for watch in group.watches]
    end(group, ending.spent_s, "seen before; there is nothing new in it to narrate")


def _follow(take: Take, group: Group, narration: Narration, ending: Ending, show: Shown) -> None:
    """Show lines until there are no more, or it is time to end."""
    with nullcontext(Silent()) if _shows_itself(group, show) else status(take, group) as shown:
        while not narration.is_over and not ending.is_over:
            shown.show()
            line = narration.poll(LOOK_S, whole=show.wants_whole)
            if line is not None:
                with shown.aside():
                    show.line(line)


def _shows_itself(group: Group, show: Shown) -> bool:
    """Lines on a terminal tell how far a file is; of a camera they do not tell all."""
    return show.is_on_terminal and not group.live


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


def _as_json(
    take: Take,
    request: Request,
    telling: Telling,
    watched: list[Watched],
    show: Shown,
    is_whole: bool,
) -> dict[str, Any]:
    """The object that ``--json`` prints; documented in docs/json.md."""
    is_complete = is_whole and all(w.is_whole for w in watched)
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
