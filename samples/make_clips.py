"""Draw clips whose answers are known, to try longtake on: ``make_clips.py --out DIR``.

DIR gets `demo.mp4` (4 minutes), `short.mp4` (40 s), `second.mp4` (half the first one's length,
25 frames/s); with ``--hour`` `hour.mp4` (60 minutes) instead.  Beside them lies `answers.json`,
a list of

    {"clip": "demo.mp4", "question": "...", "answers": ["red"], "span_s": [12.0, 20.0]}

Each clip is asked about something early, something late, something that never was, and one
thing that the embedded model does not understand.  Any of `answers` is right, whatever the
case; `span_s` is when the clip last showed what is asked about, null where it never did.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from longtake.models.embedded.filming import write_film
from longtake.models.embedded.questions import (
    UNKNOWN_KIND,
    Question,
    ask_about,
    ask_absent,
)
from longtake.models.embedded.world import Film, Thing, long_film

ANSWERS = "answers.json"
SHORTEST_S = 16
SMALL = 2  # scale of the hour: 192 x 192 pixels are enough for a model that sees 96 x 96
SAID = {
    "color": "What color was the {}?",
    "shape": "What shape was the {}?",
    "exist": "Was there a {}?",
    "foreign": "How many things were there?",
}


class Clip(NamedTuple):
    """A file to be drawn."""

    name: str
    seconds: int
    fps: int
    scale: int = 4


class Known(TypedDict):
    """A question whose answer is known."""

    clip: str
    question: str
    answers: list[str]
    span_s: list[float] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for clips and answers")
    parser.add_argument("--seed", type=int, default=1, help="another number, other clips")
    parser.add_argument("--hour", action="store_true", help="hour.mp4 instead of the short clips")
    lengths = "length of demo.mp4 (4), or of hour.mp4 (60)"
    parser.add_argument("--minutes", type=float, help=lengths)
    chosen = parser.parse_args()
    minutes = (60.0 if chosen.hour else 4.0) if chosen.minutes is None else chosen.minutes
    seconds = round(minutes * 60)
    if seconds < SHORTEST_S:
        parser.error(f"--minutes {minutes:g}: a clip needs at least 0.27 ({SHORTEST_S} s)")
    make(chosen.out, chosen.seed, an_hour(seconds) if chosen.hour else short_ones(seconds))


def an_hour(seconds: int) -> list[Clip]:
    return [Clip("hour.mp4", seconds, 2, SMALL)]


def short_ones(seconds: int) -> list[Clip]:
    second = Clip("second.mp4", max(SHORTEST_S, seconds // 2), 25)
    return [Clip("demo.mp4", seconds, 4), Clip("short.mp4", min(40, seconds), 8), second]


def make(folder: Path, seed: int, clips: Sequence[Clip | tuple[str, int, int]]) -> list[Known]:
    """Draw clips, and write what is known about them beside them; returns it.

    What `answers.json` says of other clips stays there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known: list[Known] = []
    drawn = set()
    for clip in (Clip(*given) for given in clips):
        drawn.add(clip.name)
        rng = random.Random(f"{clip.name} {seed}")
        film = long_film(rng, clip.seconds)
        draw(film, folder / clip.name, clip)
        known += ask_all(rng, clip.name, film)
    others = [k for k in read_answers(folder) if k["clip"] not in drawn]
    part = folder / f"{ANSWERS}.part"
    part.write_text(json.dumps([*others, *known], indent=1) + "\n")
    part.replace(folder / ANSWERS)
    return known


def read_answers(folder: Path) -> list[Known]:
    """What is known about the clips in a folder."""
    if not (folder / ANSWERS).is_file():
        return []
    known: list[Known] = json.loads((folder / ANSWERS).read_text())
    return known


def draw(film: Film, path: Path, clip: Clip) -> None:
    """Every picture goes into the file as it is drawn; a dot says that a tenth is done."""
    begun = time.monotonic()
    print(f"drawing {path}: {clip.seconds} s at {clip.fps} frames/s ", end="", flush=True)

    def tell(done: int, total: int) -> None:
        dots = 10 * done // total - 10 * (done - 1) // total
        if dots:
            print("." * dots, end="", flush=True)

    write_film(film, path, fps=clip.fps, scale=clip.scale, on_progress=tell)
    size = path.stat().st_size
    print(f" {size / 1e6:.1f} MB in {time.monotonic() - begun:.1f} s")


def ask_all(rng: random.Random, clip: str, film: Film) -> list[Known]:
    """Early, late, twice what never was, and what is not understood; asked at the film's end."""
    end_s = float(film.seconds)
    early = [q for q in (_ask(rng, film, t, ("color", "shape")) for t in film.things) if q]
    lasting = [t for t in reversed(film.things) if t.end_s - t.start_s >= 4]
    late = [q for t in lasting if (q := _ask(rng, film, t, ("color", "exist")))]
    never = [_ask_absent(rng, film, "exist"), _ask_absent(rng, film, "color")]
    foreign = Question("foreign", SAID["foreign"], UNKNOWN_KIND, end_s, None, ())
    asked = [*early[:1], *late[:1], *(q for q in never if q), foreign]
    return [_known(clip, question) for question in asked]


def _ask(rng: random.Random, film: Film, thing: Thing, kinds: tuple[str, ...]) -> Question | None:
    """Of the first kind that has one right answer."""
    questions = (ask_about(rng, film, thing, kind, float(film.seconds)) for kind in kinds)
    return next((q for q in questions if q), None)


def _ask_absent(rng: random.Random, film: Film, kind: str) -> Question | None:
    """None where the film showed everything that can be asked about."""
    tries = (ask_absent(rng, film, kind, float(film.seconds)) for _ in range(1000))
    return next((q for q in tries if q), None)


def _known(clip: str, question: Question) -> Known:
    span = list(question.spans[-1]) if question.spans else None
    about = question.referent.words() if question.referent else ""
    text = SAID[question.kind].format(about).replace(" a orange", " an orange")
    return Known(clip=clip, question=text, answers=[question.answer], span_s=span)


if __name__ == "__main__":
    main()
