"""Films with their questions as tensors; a worker process makes them while the model trains.

B films, N chunks a film, Q questions in the batch, L layers, K chunks a question sees,
T question and answer tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from longtake.models.embedded import language, questions, world
from longtake.models.embedded.camera import photograph
from longtake.models.embedded.network import FRAMES_PER_STEP, GRID, STEP_TOKENS, VISUAL_TOKENS
from longtake.models.embedded.questions import Question
from longtake.models.embedded.vision_stage import label_cells, single_frames
from longtake.models.recipe import stamp_text

Batch = dict[str, Any]

KIND_SHARE = {"color": 1.2, "shape": 1.4, "exist": 1.8, "absent": 0.25, "foreign": 0.35}
WINDOW_CHUNKS = (1, 2, 3, 4, 4)  # what a question sees of its window, drawn for each
RECALLED_CHUNKS = (2, 3, 4, 4)
WITHHELD = 0.04  # questions whose right chunks are left out: the answer is NOT_SEEN
STAMP_LIMIT_S = 100 * 3600


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and the chunks that it may attend to."""

    question: Question
    answer: str
    chosen: tuple[int, ...]  # from memory, and right
    window: tuple[int, ...]
    distractors: tuple[int, ...]  # what else may be recalled
    near_misses: tuple[int, ...]  # those of them that share an attribute with the referent
    recalled: int  # chunks from memory in all
    relevant: tuple[int, ...]  # every chunk that shows the referent

    def draw_context(self, rng: random.Random) -> list[int]:
        """Chunk numbers for one layer, in time order: distractors are drawn afresh.

        Half of the time near misses come first, as they do when recall chooses.
        """
        extra = self.recalled - len(self.chosen)
        first = rng.sample(self.near_misses, len(self.near_misses)) if rng.random() < 0.5 else []
        rest = [c for c in self.distractors if c not in first]
        wrong = (first + rng.sample(rest, len(rest)))[:extra]
        return sorted({*self.chosen, *wrong, *self.window})


def chunks_of(question: Question) -> tuple[int, ...]:
    """Numbers of the chunks that show the referent."""
    found: set[int] = set()
    for start_s, end_s in question.spans:
        found.update(_chunks_between(start_s, end_s))
    return tuple(sorted(found))


def _chunks_between(start_s: float, end_s: float) -> range:
    """Chunks with a whole second in ``[start_s, end_s)``."""
    return range(int(start_s) // FRAMES_PER_STEP, (math.ceil(end_s) - 1) // FRAMES_PER_STEP + 1)


def give_context(rng: random.Random, film: world.Film, question: Question) -> Asked:
    """Choose window, right chunks and distractors as streaming would bring them."""
    last = int(question.asked_s) // FRAMES_PER_STEP - 1
    first = max(0, last + 1 - rng.choice(WINDOW_CHUNKS))
    window = tuple(range(first, last + 1))
    relevant = chunks_of(question)
    evicted = [c for c in relevant if c < first]
    inside = [c for c in relevant if c >= first]
    recalled, answer = rng.choice(RECALLED_CHUNKS), question.answer
    chosen: tuple[int, ...] = ()
    if evicted:
        if not inside and question.kind in ("color", "shape") and rng.random() < WITHHELD:
            answer = questions.NOT_SEEN
        else:
            count = min(rng.randint(1, recalled), len(evicted))
            chosen = tuple(rng.sample(evicted, count))
    distractors = tuple(c for c in range(first) if c not in relevant)
    recalled = min(recalled, len(distractors) + len(chosen))
    near = _near_misses(film, question, distractors)
    return Asked(question, answer, chosen, window, distractors, near, recalled, relevant)


def _near_misses(
    film: world.Film, question: Question, distractors: Sequence[int]
) -> tuple[int, ...]:
    referent = question.referent
    if referent is None:
        return ()
    shown = {
        c
        for t in film.things
        if t.shape == referent.shape or t.color == referent.color
        for c in _chunks_between(t.start_s, t.end_s)
    }
    return tuple(c for c in distractors if c in shown)


def ask_many(rng: random.Random, film: world.Film, count: int) -> list[Asked]:
    asked: list[Asked] = []
    names, shares = list(KIND_SHARE), list(KIND_SHARE.values())
    while len(asked) < count:
        asked_s = FRAMES_PER_STEP * rng.randint(2, film.seconds // FRAMES_PER_STEP)
        kind = rng.choices(names, shares)[0]
        seen = [t for t in film.things if t.start_s < asked_s]
        question: Question | None
        if kind == "foreign":
            question = questions.ask_foreign(rng, asked_s)
        elif kind == "absent":
            question = questions.ask_absent(rng, film, rng.choice(("color", "shape")), asked_s)
        elif kind == "exist" and rng.random() < 0.5:
            question = questions.ask_absent(rng, film, "exist", asked_s)
        else:
            question = questions.ask_about(rng, film, rng.choice(seen), kind, asked_s)
        if question is not None:
            asked.append(give_context(rng, film, question))
    return asked


def collate(
    rng: random.Random, films: Sequence[world.Film], asked: Sequence[Sequence[Asked]], layers: int
) -> Batch:
    """One list of questions a film, all films equally long.  Chunk ids: film * N + chunk."""
    chunks = films[0].seconds // FRAMES_PER_STEP
    flat = [(i, a) for i, row in enumerate(asked) for a in row]
    contexts = [[a.draw_context(rng) for _ in range(layers)] for _, a in flat]
    seen = torch.tensor([len(rows[0]) for rows in contexts])
    context = torch.full((layers, len(flat), int(seen.max())), -1)
    word_ids = {word: i for i, word in enumerate(language.vocabulary())}
    lines, ends = [], []
    for row, (film, a) in enumerate(flat):
        for layer in range(layers):
            shown = [film * chunks + c for c in contexts[row][layer]]
            context[layer, row, : len(shown)] = torch.tensor(shown)
        spoken = language.encode(a.question.text)
        answer = [word_ids[w] for w in a.answer.split()] + [language.END]
        lines.append((spoken, answer))
        ends.append(len(spoken) + len(language.turn_ids()) + len(answer))
    ids = torch.full((len(flat), max(ends)), language.PAD)
    labels, is_question = torch.full_like(ids, -100), torch.zeros_like(ids)
    for row, (spoken, answer) in enumerate(lines):
        begin = len(spoken) + len(language.turn_ids())
        ids[row, : ends[row]] = torch.tensor([*spoken, *language.turn_ids(), *answer])
        labels[row, begin : ends[row]] = torch.tensor(answer)
        is_question[row, : len(spoken)] = 1
    positive, negative = _contrast(films, flat, chunks)
    frames = [[photograph(f, float(t), rng) for t in range(f.seconds)] for f in films]
    return {
        "frames": torch.from_numpy(np.array(frames)).permute(0, 1, 4, 2, 3).contiguous(),
        "stamps": torch.tensor([_stamps(rng, chunks) for _ in films]),
        "context": context,
        "seen": seen,
        "ids": ids,
        "labels": labels,
        "asked": is_question,
        "positive": positive,
        "negative": negative,
        "grounded": _referent_tokens(films, flat, chunks),
        "film": torch.tensor([i for i, _ in flat]),
        "kinds": [a.question.kind for _, a in flat],
    }


def _stamps(rng: random.Random, chunks: int) -> list[list[int]]:
    """Stamps of one film, which begins anywhere in the supported range, early as often as late."""
    limit = rng.choice((600, 3600, STAMP_LIMIT_S)) - chunks * FRAMES_PER_STEP
    start = rng.randrange(limit)
    return [language.encode(stamp_text(start + c * FRAMES_PER_STEP)) for c in range(chunks)]


def _contrast(
    films: Sequence[world.Film], flat: Sequence[tuple[int, Asked]], chunks: int
) -> tuple[Tensor, Tensor]:
    """Masks ``[Q, B*N]``: chunks that show the referent, and chunks that cannot.

    A match in another film is neither, nor is the future.
    """
    content: list[list[list[world.Thing]]] = [[[] for _ in range(chunks)] for _ in films]
    for f, film in enumerate(films):
        for thing in film.things:
            for c in _chunks_between(thing.start_s, thing.end_s):
                content[f][c].append(thing)
    positive = torch.zeros(len(flat), len(films) * chunks, dtype=torch.bool)
    negative = torch.zeros_like(positive)
    for row, (own, a) in enumerate(flat):
        referent = a.question.referent
        if referent is None or not a.relevant:
            continue
        fits = [[any(referent.fits(t) for t in things) for things in film] for film in content]
        negative[row] = ~torch.tensor(fits).flatten()
        until = own * chunks + int(a.question.asked_s) // FRAMES_PER_STEP
        negative[row, until : (own + 1) * chunks] = False
        positive[row, [own * chunks + c for c in a.relevant]] = True
    return positive, negative & ~positive


def _referent_tokens(
    films: Sequence[world.Film], flat: Sequence[tuple[int, Asked]], chunks: int
) -> Tensor:
    """Mask ``[Q, N, tokens of a chunk]``: visual tokens that show the referent.

    Known only to the generator.
    """
    colors = list(world.COLORS)
    labels = [
        np.stack([label_cells(f.scene_at(t), t)[:, :2] for t in range(f.seconds)]) for f in films
    ]
    mask = torch.zeros(len(flat), chunks, STEP_TOKENS, dtype=torch.bool)
    for row, (film, a) in enumerate(flat):
        referent = a.question.referent
        if referent is None or not a.relevant or a.answer == questions.NOT_SEEN:
            continue
        hit = np.ones((films[film].seconds, GRID * GRID), bool)
        if referent.shape is not None:
            hit &= labels[film][..., 0] == world.SHAPES.index(referent.shape) + 1
        if referent.color is not None:
            hit &= labels[film][..., 1] == colors.index(referent.color) + 1
        mask[row, :, -VISUAL_TOKENS:] = torch.from_numpy(hit.reshape(chunks, VISUAL_TOKENS))
    return mask


class QuestionBatches(IterableDataset[Batch]):
    """Endless, from a seed; a resumed run passes another ``start``: no batch is seen twice."""

    def __init__(
        self, films: int, asked: int, layers: int, chunks: int, seed: int, start: str
    ) -> None:
        self.films, self.asked, self.layers, self.chunks = films, asked, layers, chunks
        self.seed = f"questions {seed} {start}"

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        rng = random.Random(self.seed)
        while True:
            films = [world.Film(rng, self.chunks * FRAMES_PER_STEP) for _ in range(self.films)]
            yield collate(rng, films, [ask_many(rng, f, self.asked) for f in films], self.layers)


class FrameBatches(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless single frames with labels, from a seed."""

    def __init__(self, count: int, seed: int, start: str) -> None:
        self.count, self.seed = count, f"frames {seed} {start}"

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        torch.set_num_threads(1)
        rng = random.Random(self.seed)
        while True:
            yield single_frames(rng, self.count)


def prefetched(dataset: IterableDataset[Any]) -> Iterator[Any]:
    """Batches from one worker process, three ahead."""
    return iter(DataLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=3))
