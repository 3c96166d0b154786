"""Questions and words: every answer is true of its film, every word is known or told to be not.

The truth is found again here by brute force: the film is looked through half-second by
half-second, without the code that made the question.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from longtake.models.embedded import language
from longtake.models.embedded.questions import (
    FOREIGN,
    FOREIGN_HELD_OUT,
    HELD_OUT,
    KINDS,
    NOT_SEEN,
    PHRASES,
    UNKNOWN_KIND,
    Question,
    Referent,
    ask_about,
    ask_absent,
    ask_foreign,
)
from longtake.models.embedded.world import COLORS, SHAPES, Film, long_film

SECONDS = 120
Seen = list[tuple[float, set[tuple[str, str]]]]


def look(film: Film, until_s: float) -> Seen:
    """What is there, by half-seconds, before ``until_s``."""
    return [
        (i / 2, {(t.shape, t.color) for t in film.things if t.start_s <= i / 2 < t.end_s})
        for i in range(int(until_s * 2))
    ]


def fits(referent: Referent, pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (shape, color)
        for shape, color in pairs
        if referent.shape in (None, shape) and referent.color in (None, color)
    }


def asked_of(film: Film, held_out: bool, seed: int) -> Iterator[Question]:
    """Questions of all kinds at many times."""
    rng = random.Random(seed)
    for asked_s in (8.0, 30.0, 63.0, float(film.seconds)):
        seen = [t for t in film.things if t.start_s < asked_s]
        for thing in seen:
            for kind in KINDS:
                if (q := ask_about(rng, film, thing, kind, asked_s, held_out)) is not None:
                    yield q
        for _ in range(30):
            for kind in KINDS:
                if (q := ask_absent(rng, film, kind, asked_s, held_out)) is not None:
                    yield q


def everything_that_can_be_said() -> set[str]:
    """Every question of the language."""
    pairs = [(s, c) for s in (None, *SHAPES) for c in (None, *COLORS) if s or c]
    found = set()
    for phrases in (PHRASES, HELD_OUT):
        for kind in KINDS:
            for phrase in phrases[kind]:
                if kind == "shape":
                    found |= {phrase.format(r=color) for color in COLORS}
                else:
                    found |= {phrase.format(r=Referent(*pair).words()) for pair in pairs}
    return found


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_answer_is_true_of_the_film(seed: int, held_out: bool) -> None:
    film = long_film(random.Random(seed), SECONDS)
    kinds = set()
    for question in asked_of(film, held_out, seed):
        assert question.referent is not None
        seen = look(film, question.asked_s)
        found = set().union(*(fits(question.referent, pairs) for _, pairs in seen))
        if question.kind == "exist":
            right = "yes" if found else "no"
        else:
            attribute = 1 if question.kind == "color" else 0
            answers = {pair[attribute] for pair in found}
            assert len(answers) <= 1, f"{question}: {answers} are all right"
            right = answers.pop() if answers else NOT_SEEN
        assert question.answer == right, question
        kinds.add((question.kind, right in ("no", NOT_SEEN)))
    assert kinds >= {(kind, False) for kind in KINDS} | {("exist", True)}


@pytest.mark.parametrize("seed", range(3))
def test_spans_are_when_the_thing_was_there(seed: int) -> None:
    film = long_film(random.Random(seed), SECONDS)
    for question in asked_of(film, False, seed):
        assert question.referent is not None
        for t, pairs in look(film, question.asked_s):
            is_told = any(start <= t < end for start, end in question.spans)
            assert is_told == bool(fits(question.referent, pairs)), f"{question} at {t} s"
        assert all(end <= question.asked_s for _, end in question.spans)


def test_most_absences_mix_what_was_seen_apart() -> None:
    film, rng = long_film(random.Random(1), SECONDS), random.Random(1)
    tries = [ask_absent(rng, film, "exist", 60.0) for _ in range(500)]
    pairs = [q.referent for q in tries if q and q.referent.shape and q.referent.color]  # type: ignore[union-attr]
    shapes, colors = (
        {getattr(t, a) for t in film.things if t.start_s < 60} for a in ("shape", "color")
    )
    mixed = [r for r in pairs if r.shape in shapes and r.color in colors]
    assert len(mixed) > len(pairs) / 2 > 50


def test_the_question_names_what_it_is_about() -> None:
    film = long_film(random.Random(2), SECONDS)
    for question in asked_of(film, True, 2):
        assert question.referent is not None
        words = set(re.findall(r"[a-z]+", question.text))
        named = (words & set(SHAPES), words & set(COLORS))
        wanted = (question.referent.shape, question.referent.color)
        assert named == tuple({w} if w else set() for w in wanted), question


def test_held_out_phrases_are_others_than_the_trained_ones() -> None:
    for kind in KINDS:
        assert not set(PHRASES[kind]) & set(HELD_OUT[kind])
    assert not set(FOREIGN) & set(FOREIGN_HELD_OUT)
    trained = {p for phrases in PHRASES.values() for p in phrases}
    spoken = {tuple(language.encode(p.format(r="star"))) for p in trained}
    for phrases in HELD_OUT.values():
        assert not {tuple(language.encode(p.format(r="star"))) for p in phrases} & spoken


def test_every_word_of_the_language_is_known() -> None:
    for text in sorted(everything_that_can_be_said()):
        assert language.UNKNOWN not in language.encode(text), text


def test_what_is_not_in_the_language_never_sounds_like_it() -> None:
    known = {tuple(language.encode(text)) for text in everything_that_can_be_said()}
    rng = random.Random(3)
    for held_out, phrases in ((False, FOREIGN), (True, FOREIGN_HELD_OUT)):
        texts = set()
        for _ in range(40 * len(phrases)):
            question = ask_foreign(rng, 10.0, held_out)
            assert question.answer == UNKNOWN_KIND
            assert tuple(language.encode(question.text)) not in known, question.text
            texts.add(question.text)
        assert len(texts) > len(phrases)


@pytest.mark.parametrize(
    "text", [NOT_SEEN, UNKNOWN_KIND, "yes", "no", *SHAPES, *COLORS, "what was the red thing"]
)
def test_what_is_encoded_comes_back(text: str) -> None:
    wanted = text.replace("color", "colour")
    assert language.tokenizer().decode(language.encode(text)) == wanted


def test_a_token_for_each_word_and_each_digit() -> None:
    assert len(language.encode("12:04:59")) == 8
    words = language.vocabulary()
    assert len(set(words)) == len(words)
    ids = language.tokenizer().get_vocab()
    assert [ids[word] for word in words] == list(range(len(words)))


def test_words_that_nobody_taught_become_one_token() -> None:
    assert language.encode("zebra") == [language.UNKNOWN] == language.encode("Quark")
    assert language.encode("was there a zebra") == [
        *language.encode("was there a"),
        language.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("typed", "taught"),
    [
        ("What color was the star?", "what colour was the star?"),
        ("WHAT COLOUR WAS THE STAR", "what colour was the star?"),
        ("was there   a red star ?!", "was there a red star?"),
        ("Tell me the color of the ring, please.", "tell me the colour of the ring please"),
    ],
)
def test_spelling_case_and_marks_do_not_matter(typed: str, taught: str) -> None:
    assert language.encode(typed) == language.encode(taught)


def test_the_sink_is_what_the_template_writes_before_a_video() -> None:
    message = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "hello"}]}
    written = language.tokenizer().apply_chat_template(
        [message], tokenize=False, add_generation_prompt=True
    )
    before, _, after = written.partition("<video>")
    assert tuple(language.encode(before)) == language.sink_ids()
    assert tuple(language.encode(after))[1:] == language.turn_ids()
