"""``longtake memory search``: moments of a memory that words fit, without an answer in words.

The model that made the memory looks for them; nothing is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.common import config_file, say
from longtake.cli.endings import NOTHING_FOUND
from longtake.cli.names import as_text, shown
from longtake.ui.view import clock, span

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.moments import Found
    from longtake.take import Take


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    folder: str
    text: str
    given: Mapping[str, object]  # flags by their key in the configuration
    top: int = 10
    between_s: tuple[float, float] | None = None
    evidence_dir: Path | None = None
    as_json: bool = False

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError('nothing to search for: longtake memory search DIR "a red ring"')
        if self.top < 1:
            raise ValueError(f"--top {self.top}: must be at least 1")


def run(request: Request) -> int:
    """Look, and show what there is; exit code 6 if there is nothing."""
    from longtake.memory.survey import survey

    folder = Path(request.folder)
    seen = survey(folder)  # says what is wrong with it in better words
    if request.evidence_dir is not None:
        request.evidence_dir.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    if seen.chunks:
        with _opened(_settings(request.given, seen.model), folder) as take:
            found = take.search(request.text, request.top, request.between_s)
    pictures = [_write_picture(request.evidence_dir, rank, one) for rank, one in enumerate(found)]
    if request.as_json:
        print(json.dumps(_described(request, seen.model, found, pictures)))
    else:
        _print(found, pictures)
    if not found:
        say(f"{request.folder}: nothing found" if seen.chunks else f"{request.folder}: empty")
    return 0 if found else NOTHING_FOUND


def _settings(given: Mapping[str, object], model: str | None) -> Settings:
    """As they are gathered, but with the model that made the memory where none is named."""
    from longtake.config import DEFAULT, gather

    gathered = gather(config_file(), os.environ, given)
    if model is not None and gathered.origins["model"] == DEFAULT:
        return replace(gathered.settings, model=model)
    return gathered.settings


@contextmanager
def _opened(settings: Settings, folder: Path) -> Iterator[Take]:
    """The model, and a take on the memory that is read and not written."""
    from longtake.engine import Engine

    with (
        Engine(
            settings.model,
            device=settings.device,
            dtype=settings.dtype,
            quantize=settings.quantize,
            max_pixels=settings.max_pixels,
        ) as engine,
        engine.open(folder, settings.take, read_only=True) as take,
    ):
        yield take


def _write_picture(folder: Path | None, rank: int, found: Found) -> str | None:
    if folder is None or found.thumbnail is None:
        return None
    path = folder / f"found{rank + 1}_{clock(found.start_s).replace(':', '-')}.jpg"
    path.write_bytes(found.thumbnail)
    return str(path)


def _described(
    request: Request, model: str | None, found: Sequence[Found], pictures: Sequence[str | None]
) -> dict[str, Any]:
    return {
        "schema": "longtake.memory.search/1",
        "memory": as_text(request.folder),
        "model": model,
        "text": request.text,
        "moments": [
            {
                "start_s": one.start_s,
                "end_s": one.end_s,
                "score": round(one.score, 4),
                "camera": as_text(one.camera),
                "matched": list(one.matched),
                "caption": one.caption,
                "picture": None if picture is None else as_text(picture),
            }
            for one, picture in zip(found, pictures, strict=True)
        ],
    }


def _print(found: Sequence[Found], pictures: Sequence[str | None]) -> None:
    times = [span(one.start_s, one.end_s) for one in found]
    width = max(map(len, times), default=0)
    for one, when, picture in zip(found, times, pictures, strict=True):
        words = [f"{when:<{width}}", f"{one.score:>4.0%}", f"by {' and '.join(one.matched)}"]
        words += [shown(part) for part in (one.camera, one.caption, picture) if part]
        print("  ".join(words))
