"""The embedded model on films and phrasings it was not trained on, through `longtake.Engine`.

    python benchmarks/embedded_heldout.py --json results.json

Films of five minutes are written as real H.264 files and taken in by `take.watch`; then each is
asked about things that left at least 200 s before its end.  One memory, five readings:

    recall    as it runs: the window and the best chunks of each layer
    oracle    the window and the right chunks (at most four), filled up to four with random ones
    window    the window alone: what an engine without memory can do
    blind     no video at all: what the words alone give away
    near      as it runs, asked (`at_s`) while the thing is in the window: what it can see at all

Kinds: color, shape; exist, with as many no as yes, and most of the no mixing a shape and a
color that were seen apart; absent, the color or shape of what was never there; foreign, not in
the language.  All phrases are held out; --trained-phrases tells memory from language.  An answer
is right if it is the known one, whatever the case.  Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from longtake import Engine, Take
from longtake.bench.clip import SCALE
from longtake.bench.needle_full import SPOKEN
from longtake.bench.statistics import wilson
from longtake.hardware import machine
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.questions import (
    Question,
    ask_about,
    ask_absent,
    ask_foreign,
)
from longtake.models.embedded.world import COLORS, PAIRS, SHAPES, Film, Thing, long_film
from longtake.settings import TakeConfig

SECONDS, FAR_S = 300, 200
CHUNK_S = 2  # two frames a chunk, one frame a second
MOST_RELEVANT = 4
YES, NO, FOREIGN = 4, 4, 2  # far questions a film; color and shape have two each
NEAR = {"color": 2, "shape": 2, "exist_yes": 2, "exist_no": 2, "foreign": 2}
FAR_CONDITIONS = ("recall", "oracle", "window", "blind")
CONDITIONS = ("near", *FAR_CONDITIONS)
KINDS = ("color", "shape", "exist_yes", "exist_no", "absent", "foreign")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer."""

    kind: str
    condition: str
    expected: str
    said: str
    phrase: str
    evidence_is_right: bool | None  # of the best moment; None where nothing could be right

    @property
    def is_right(self) -> bool:
        return self.said.casefold() == self.expected.casefold()


class Job(NamedTuple):
    """One film to make, watch and ask about."""

    seed: int
    number: int
    is_sparse: bool  # leaves out two shapes and two colors, to ask about those
    held_out: bool  # phrases that were not trained


class Outcome(NamedTuple):
    job: Job
    verdicts: list[Verdict]
    film_s: float  # seconds that drawing and writing took
    ingest_s: float
    ask_s: float


# -------------------------------------------------------------------- one film, in a worker

_engine: Engine | None = None
_config = TakeConfig()


def start_worker(model: str, top_k: int | None) -> None:
    """Each worker process has a model of its own and one thread."""
    global _engine, _config
    torch.set_num_threads(1)
    _engine, _config = Engine(model), TakeConfig(top_k=top_k, decoding=SPOKEN)


def judge_film(job: Job) -> Outcome:
    assert _engine is not None
    rng = random.Random(f"held out {job.seed} {job.number} {job.is_sparse}")
    film, missing = sparse_film(rng) if job.is_sparse else (long_film(rng, SECONDS), [])
    with (
        TemporaryDirectory(prefix="longtake-heldout-") as folder,
        _engine.open(config=_config) as take,
    ):
        begun = time.perf_counter()
        clip = Path(folder) / "film.mp4"
        write_film(film, clip, fps=1, scale=SCALE)
        written = time.perf_counter()
        take.watch(clip).wait()
        seen = time.perf_counter()
        if job.is_sparse:
            asked = absent_questions(rng, film, missing, job.held_out)
            verdicts = [v for q in asked for v in far(take, rng, q)]
        else:
            asked = far_questions(rng, film, job.held_out)
            verdicts = [v for q in asked for v in far(take, rng, q)]
            verdicts += [near(take, q) for q in near_questions(rng, film, job.held_out)]
        done = time.perf_counter()
    return Outcome(job, verdicts, written - begun, seen - written, done - seen)


def sparse_film(rng: random.Random) -> tuple[Film, list[tuple[str, str]]]:
    """A film without two shapes and two colors, and those as (kind asked for, word)."""
    shapes, colors = rng.sample(SHAPES, 2), rng.sample(list(COLORS), 2)
    pairs = [(s, c) for s, c in PAIRS if s not in shapes and c not in colors]
    rng.shuffle(pairs)
    return Film(rng, SECONDS, pairs=pairs), [
        *(("color", shape) for shape in shapes),
        *(("shape", color) for color in colors),
    ]


def absent_questions(
    rng: random.Random, film: Film, missing: Sequence[tuple[str, str]], held_out: bool
) -> list[Question]:
    """One for each thing that is missing, as `ask_absent` happens upon them."""
    left = dict.fromkeys(missing)
    found = []
    while left:
        question = ask_absent(rng, film, rng.choice(("color", "shape")), float(SECONDS), held_out)
        if question is None or question.referent is None:
            continue
        word = question.referent.shape or question.referent.color or ""
        if (question.kind, word) in left:
            del left[question.kind, word]
            found.append(question)
    return found


def far_questions(rng: random.Random, film: Film, held_out: bool) -> list[Question]:
    """Asked at the end; what they are about was last seen `FAR_S` before."""
    end_s = float(film.seconds)
    things = [t for t in film.things if t.end_s <= end_s - FAR_S]
    found: list[Question] = []
    for kind, count in (("color", 2), ("shape", 2), ("exist", YES)):
        tries = (
            ask_about(rng, film, thing, kind, end_s, held_out)
            for _ in range(4)  # 'exist' leaves an attribute open now and then
            for thing in rng.sample(things, len(things))
        )
        gone = (q for q in tries if q and all(e <= end_s - FAR_S for _, e in q.spans))
        found += distinct(gone, count)
    found += distinct(absences(rng, film, end_s, held_out), NO)
    return [*found, *(ask_foreign(rng, end_s, held_out) for _ in range(FOREIGN))]


def near_questions(rng: random.Random, film: Film, held_out: bool) -> list[Question]:
    """Asked when the thing has been there for two chunks, or as long as it lasts."""
    found: dict[str, list[Question]] = defaultdict(list)
    for thing in rng.sample(film.things, len(film.things)):
        asked_s = near_s(thing)
        for kind in ("color", "shape", "exist"):
            question = ask_about(rng, film, thing, kind, asked_s, held_out)
            if question is not None:
                found[label(question)].append(question)
        found["exist_no"] += distinct(absences(rng, film, asked_s, held_out), 1)
        found["foreign"].append(ask_foreign(rng, asked_s, held_out))
    return [q for kind, count in NEAR.items() for q in found[kind][:count]]


def near_s(thing: Thing) -> float:
    """End of the thing's second chunk, or of its last one where that comes first."""
    first, last = int(thing.start_s) // CHUNK_S, (math.ceil(thing.end_s) - 1) // CHUNK_S
    return float((min(first + 1, last) + 1) * CHUNK_S)


def absences(
    rng: random.Random, film: Film, asked_s: float, held_out: bool
) -> Iterator[Question | None]:
    for _ in range(300):
        yield ask_absent(rng, film, "exist", asked_s, held_out)


def distinct(questions: Iterable[Question | None], count: int) -> list[Question]:
    """The first ``count`` that are about different things."""
    found: dict[Any, Question] = {}
    for question in questions:
        if question is not None and question.referent not in found:
            found[question.referent] = question
        if len(found) == count:
            break
    return list(found.values())


def far(take: Take, rng: random.Random, question: Question) -> list[Verdict]:
    """One question in each far condition."""
    right = relevant(question)
    chosen = rng.sample(right, min(MOST_RELEVANT, len(right)))
    wrong = rng.sample(range((SECONDS - 50) // CHUNK_S), 4 * MOST_RELEVANT)
    chosen = (chosen + [c for c in wrong if c not in right])[:MOST_RELEVANT]

    def nothing(scope: Any, layers: int) -> list[list[int]]:
        return [[] for _ in range(layers)]

    def known(scope: Any, layers: int) -> list[list[int]]:
        return [chosen for _ in range(layers)]

    options: dict[str, dict[str, Any]] = {
        "recall": {},
        "oracle": {"select": known},
        "window": {"select": nothing},
        "blind": {"select": nothing, "with_window": False},
    }
    return [judge(take, question, name, **options[name]) for name in FAR_CONDITIONS]


def near(take: Take, question: Question) -> Verdict:
    # The last frame that may be known came a second before: one frame a second.
    return judge(take, question, "near", at_s=question.asked_s - 1)


def judge(take: Take, question: Question, condition: str, **options: Any) -> Verdict:
    answer = take.ask(question.text, **options)
    is_right = None
    if question.spans and answer.evidence:
        best = answer.evidence[0]
        is_right = any(best.start_s < end and best.end_s >= start for start, end in question.spans)
    return Verdict(
        label(question), condition, question.answer, answer.text, question.text, is_right
    )


def label(question: Question) -> str:
    if question.kind == "exist":
        return f"exist_{question.answer}"
    return question.kind if question.spans or question.kind == "foreign" else "absent"


def relevant(question: Question) -> list[int]:
    """Numbers of the chunks that show what the question is about."""
    found: set[int] = set()
    for start, end in question.spans:
        found.update(range(int(start) // CHUNK_S, (math.ceil(end) - 1) // CHUNK_S + 1))
    return sorted(found)


# -------------------------------------------------------------------- counting


class Tally:
    """Answers counted by seed, kind and condition, and written down after each film."""

    def __init__(self, settings: dict[str, Any], path: Path | None) -> None:
        self.settings, self.path = settings, path
        self.right: Counter[tuple[int, str, str]] = Counter()
        self.asked: Counter[tuple[int, str, str]] = Counter()
        self.found: Counter[int] = Counter()  # top evidence overlaps, of right recalled answers
        self.shown: Counter[int] = Counter()
        self.expected: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        self.mistakes: list[dict[str, Any]] = []
        self.films: Counter[int] = Counter()
        self.spent = [0.0, 0.0, 0.0]
        self.begun = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        seed = outcome.job.seed
        self.films[seed] += 1
        self.spent = [a + b for a, b in zip(self.spent, outcome[2:], strict=True)]
        for verdict in outcome.verdicts:
            key = (seed, verdict.kind, verdict.condition)
            self.asked[key] += 1
            self.right[key] += verdict.is_right
            if verdict.condition == "recall":
                self.expected[seed, verdict.kind][verdict.expected] += 1
                if verdict.is_right and verdict.evidence_is_right is not None:
                    self.shown[seed] += 1
                    self.found[seed] += verdict.evidence_is_right
            if not verdict.is_right and verdict.condition in ("near", "recall"):
                where = {"seed": seed, "film": outcome.job.number}
                self.mistakes.append(where | asdict(verdict))
        if self.path is not None:
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.as_json(), indent=1) + "\n")
            part.replace(self.path)

    def share(self, seeds: Sequence[int], kind: str, condition: str) -> tuple[int, int]:
        """Right answers and questions."""
        keys = [(seed, kind, condition) for seed in seeds]
        return sum(self.right[k] for k in keys), sum(self.asked[k] for k in keys)

    def majority(self, seeds: Sequence[int], kind: str) -> float:
        """Share of the answer that is right most often: what always saying it would get."""
        counts: Counter[str] = sum((self.expected[seed, kind] for seed in seeds), Counter())
        return max(counts.values(), default=0) / max(1, counts.total())

    def as_json(self) -> dict[str, Any]:
        films = sum(self.films.values())
        names = ("film", "ingest", "ask")
        return {
            "schema": "longtake.heldout/1",
            "machine": machine(),
            "settings": self.settings,
            "films": dict(self.films),
            "seconds_a_film": {
                n: round(s / films, 3) for n, s in zip(names, self.spent, strict=True)
            },
            "results": [
                {"seed": s, "kind": k, "condition": c, "right": self.right[s, k, c], "n": n}
                for (s, k, c), n in sorted(self.asked.items())
            ],
            "evidence": [
                {"seed": s, "overlaps": self.found[s], "n": n}
                for s, n in sorted(self.shown.items())
            ],
            "mistakes": self.mistakes,
        }


def print_tables(tally: Tally, seeds: Sequence[int]) -> None:
    """Markdown: one table a seed, and one of all."""
    print()
    for name, value in machine().items():
        print(f"- {name}: {value}")
    for group in [*([seed] for seed in seeds), *([list(seeds)] if len(seeds) > 1 else [])]:
        if not any(tally.films[seed] for seed in group):
            continue
        films = sum(tally.films[seed] for seed in group)
        title = f"Seed {group[0]}" if len(group) == 1 else "All seeds"
        print(f"\n{title}: {films} films of {SECONDS} s; right answers in %, 95 % interval, n\n")
        print(f"| kind | most common | {' | '.join(CONDITIONS)} |")
        print("|---" * (len(CONDITIONS) + 2) + "|")
        for kind in KINDS:
            cells = [cell(*tally.share(group, kind, condition)) for condition in CONDITIONS]
            print(f"| {kind} | {tally.majority(group, kind):.0%} | {' | '.join(cells)} |")
        cells = [balanced(tally, group, condition) for condition in CONDITIONS]
        print(f"| **exist balanced** | 50% | {' | '.join(cells)} |")
        shown = sum(tally.shown[seed] for seed in group)
        found = sum(tally.found[seed] for seed in group)
        print("\nBest evidence overlaps what is asked about, of right recalled answers: ", end="")
        print(cell(found, shown))
    spent = zip(("draw and write", "take in", "ask"), tally.spent, strict=True)
    films = max(1, sum(tally.films.values()))
    print("\nSeconds a film: " + ", ".join(f"{name} {s / films:.2f}" for name, s in spent))


def cell(right: int, asked: int) -> str:
    if not asked:
        return "-"
    low, high = wilson(right, asked)
    return f"{right / asked:.1%} [{low:.0%}-{high:.0%}] {asked}"


def balanced(tally: Tally, seeds: Sequence[int], condition: str) -> str:
    counts = [tally.share(seeds, f"exist_{answer}", condition) for answer in ("yes", "no")]
    if not all(asked for _, asked in counts):
        return "-"
    return f"{sum(right / asked for right, asked in counts) / 2:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="embedded", help="or a folder with its weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 202, 303])
    parser.add_argument(
        "--films", type=int, default=55, help="a seed; half as many more are sparse"
    )
    parser.add_argument("--top-k", type=int, help="chunks recalled in each layer; the model's own")
    parser.add_argument("--jobs", type=int, default=2, help="processes, each with one thread")
    parser.add_argument("--json", type=Path, help="keep counts and mistakes there, film by film")
    parser.add_argument(
        "--trained-phrases", action="store_true", help="ask in the words of training, to compare"
    )
    chosen = parser.parse_args()
    settings = {name: getattr(chosen, name) for name in ("model", "seeds", "films", "top_k")}
    settings["phrases"] = "trained" if chosen.trained_phrases else "held out"
    tally = Tally(settings, chosen.json)
    jobs = [
        Job(seed, number, is_sparse, not chosen.trained_phrases)
        for seed in chosen.seeds
        for is_sparse, count in ((False, chosen.films), (True, -(-chosen.films // 2)))
        for number in range(count)
    ]
    context, start = multiprocessing.get_context("spawn"), (chosen.model, chosen.top_k)
    try:
        with ProcessPoolExecutor(chosen.jobs, context, start_worker, start) as pool:
            for i, outcome in enumerate(pool.map(judge_film, jobs), 1):
                tally.add(outcome)
                if i % 5 == 0 or i == len(jobs):
                    passed_s = time.monotonic() - tally.begun
                    print(f"{i} of {len(jobs)} films, {passed_s / i:.1f} s each", flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is of the films that are done")
    print_tables(tally, chosen.seeds)


if __name__ == "__main__":
    main()
