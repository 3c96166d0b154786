"""``longtake ask``: watch what must be watched, then answer, and show it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.ask_output import as_json, print_evidence, repairs
from longtake.streaming.errors import SourceNotFound, redact
from longtake.streaming.sources import has_scheme
from longtake.ui.view import clock

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.engine import Engine
    from longtake.take import Take
    from longtake.watch import Watch


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was typed."""

    words: tuple[str, ...]
    model: str
    memory: Path | None
    fps: float | None
    start_s: float | None
    stop_s: float | None
    between_s: tuple[float, float] | None
    at_s: float | None
    window_s: float | None
    top_k: int | None
    ram_bytes: int | None
    disk_bytes: int | None
    temperature: float
    top_p: float
    seed: int
    evidence_dir: Path | None
    device: str
    dtype: str
    as_json: bool

    def __post_init__(self) -> None:
        if self.start_s is not None and self.stop_s is not None and self.stop_s <= self.start_s:
            raise ValueError(
                f"--to {self.stop_s:g}: must be later than --from {self.start_s:g} (seconds)"
            )
        if any(not question.strip() for question in self.questions):
            raise ValueError("a question is empty: ask something")
        if not self.questions:
            raise ValueError('no question: longtake ask VIDEO "what colour was the star?"')
        if self.video is None and self.memory is None:
            raise ValueError("no video: name a file or folder first, or a --memory that has one")

    @property
    def video(self) -> str | None:
        """The first word, where it is a source rather than a question."""
        if not self.words:
            return None
        first = self.words[0]
        if self.memory is None or has_scheme(first) or _exists(first):
            return first
        return None

    @property
    def questions(self) -> tuple[str, ...]:
        return self.words if self.video is None else self.words[1:]


def run(request: Request) -> None:
    """Do it.  Errors are raised; `longtake.cli` says them in one line."""
    from longtake.engine import Engine
    from longtake.memory.config import MemoryConfig
    from longtake.memory.folder import CATALOG
    from longtake.models.decode import Decoding
    from longtake.settings import TakeConfig

    if request.video is not None and not has_scheme(request.video) and not _exists(request.video):
        raise SourceNotFound(f"{redact(request.video)}: no such file or folder")
    is_new = request.memory is not None and not (request.memory / CATALOG).is_file()
    if is_new and request.video is None:
        raise ValueError(
            f"--memory {request.memory}: there is no memory yet, and no video to make one from"
        )
    if request.evidence_dir is not None:
        request.evidence_dir.mkdir(parents=True, exist_ok=True)
    decoding = Decoding(temperature=request.temperature, top_p=request.top_p, seed=request.seed)
    memory = MemoryConfig(disk_bytes=request.disk_bytes)
    if request.ram_bytes is not None:
        memory = replace(memory, ram_bytes=request.ram_bytes)
    config = TakeConfig(
        fps=request.fps,
        window_s=request.window_s,
        top_k=request.top_k,
        decoding=decoding,
        memory=memory,
    )
    with Engine(request.model, device=request.device, dtype=request.dtype) as engine:
        _tell_limits(engine)
        with engine.open(request.memory, config) as take:
            watch, elapsed_s = _watch(take, request)
            answers = [_answer(take, request, i, q) for i, q in enumerate(request.questions)]
            if request.as_json:
                folder = None if request.memory is None else str(request.memory)
                stats = take.stats()
                print(json.dumps(as_json(engine.adapter, folder, stats, watch, elapsed_s, answers)))


def parse_time(flag: str, text: str | None) -> float | None:
    """``90``, ``1:30`` or ``0:01:30`` -> seconds.

    Raises:
        ValueError: names the flag and the forms that are understood.
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    bad = not 1 <= len(parts) <= 3 or any(not 0 <= p < float("inf") for p in parts)
    if bad or any(p >= 60 for p in parts[1:]):
        raise ValueError(f"{flag} {text}: must be seconds (90), m:ss (1:30) or h:mm:ss")
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds


def parse_between(texts: tuple[str, str] | None) -> tuple[float, float] | None:
    if texts is None:
        return None
    first, last = (parse_time("--between", text) for text in texts)
    assert first is not None and last is not None
    if last < first:
        raise ValueError(f"--between {texts[0]} {texts[1]}: the second time must not be earlier")
    return first, last


def _exists(word: str) -> bool:
    try:
        return Path(word).expanduser().exists()
    except OSError:  # too long for a file name: a question
        return False


# -------------------------------------------------------------------- watching


def _watch(take: Take, request: Request) -> tuple[Watch | None, float]:
    """See the video to its end, showing how far it is; seconds that it took."""
    if request.video is None:
        if take.stats().chunks == 0:
            raise ValueError(f"--memory {request.memory}: is empty; name a video to fill it")
        return None, 0.0
    begun = time.monotonic()
    watch = take.watch(request.video, start_s=request.start_s or 0.0, stop_s=request.stop_s)
    with _progress(watch, take) as show:
        while not watch.is_seen():
            show()
            _wait(watch, 0.1)
    report = watch.wait()
    elapsed_s = time.monotonic() - begun
    if watch.is_known:
        _say(f"{watch.address}: seen before; answering from memory")
    if not report.complete:
        promised = f" of {clock(report.promised_s)}" if report.promised_s else ""
        _say(
            f"{watch.address}: {report.end_reason}; seen to {clock(report.ended_s or 0)}{promised}"
        )
    mended = repairs(watch)
    if mended:
        _say(f"{watch.address}: " + ", ".join(f"{n} {name}" for name, n in mended.items()))
    return watch, elapsed_s


def _wait(watch: Watch, seconds: float) -> None:
    try:
        watch.wait(seconds)
    except TimeoutError:
        pass


@contextmanager
def _progress(watch: Watch, take: Take) -> Iterator[Any]:
    """A bar on stderr where that is a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("watching"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=watch.promised_s)
    begun, frames_before = time.monotonic(), take.stats().frames

    def show() -> None:
        stats = take.stats()
        frames = stats.frames - frames_before
        rate = frames / max(1e-6, time.monotonic() - begun)
        seen_s = max(0.0, stats.newest_s - watch.offset_s)
        words = f"{clock(seen_s)}  {frames} frames  {rate:.0f}/s  {stats.chunks} chunks"
        bar.update(task, completed=seen_s, description=words)

    with bar:
        yield show


def _tell_limits(engine: Engine) -> None:
    note = engine.adapter.recipe.note
    if note:
        from longtake.models.loader import FAMILIES

        _say(
            f"the {engine.adapter.name} model {note}; for real footage give --model with a "
            f"folder or hub id of {' or '.join(FAMILIES)}"
        )


# -------------------------------------------------------------------- answering


def _answer(take: Take, request: Request, number: int, question: str) -> tuple[Answer, list[str]]:
    """Ask, print, and write the pictures; the paths of those."""
    asking = take.stream(question, at_s=request.at_s, between_s=request.between_s)
    try:
        if not request.as_json:
            print(f"Q  {question}\nA  ", end="", flush=True)
            for piece in asking:
                print(piece, end="", flush=True)
            print()
        answer = asking.result()
    except BaseException:
        asking.cancel()
        raise
    pictures = _write_pictures(request.evidence_dir, number, answer)
    if not request.as_json:
        print_evidence(answer, pictures, take.stats().newest_s)
    return answer, pictures


def _write_pictures(folder: Path | None, number: int, answer: Answer) -> list[str]:
    if folder is None:
        return []
    written = []
    for rank, moment in enumerate(answer.evidence, 1):
        if moment.thumbnail is not None:
            when = clock(moment.start_s).replace(":", "-")
            path = folder / f"question{number + 1}_{rank}_{when}.jpg"
            path.write_bytes(moment.thumbnail)
            written.append(str(path))
    return written


def _say(text: str) -> None:
    print(f"longtake: {text}", file=sys.stderr)
