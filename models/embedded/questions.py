"""Questions about a film, with the one right answer and the time that holds it.

Three kinds are in the language: the colour of a shape, the shape of a colour, and whether
something was there.  Whatever else is asked is answered with `UNKNOWN_KIND`, and what was
never seen with `NOT_SEEN`: both are trained answers, not special cases.

Every kind has paraphrases to train on, combined from parts, and others that are held out: the
same words in sentences that were never trained.
Knows films (`world`); nothing of models or tensors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from longtake.models.embedded.world import COLORS, PAIRS, SHAPES, Film, Thing

NOT_SEEN = "I have not seen that"
UNKNOWN_KIND = "I do not know that kind of question"
KINDS = ("color", "shape", "exist")

# Held out: never trained on, though every word is.  {r} is the referent: 'star', 'red star'.
HELD_OUT: dict[str, tuple[str, ...]] = {
    "color": (
        "which colour was the {r}?",
        "what colour did the {r} have?",
        "can you tell me what colour the {r} was?",
        "do you remember the colour of the {r}?",
    ),
    "shape": (
        "which shape was the {r} thing?",
        "what shape did the {r} object have?",
        "can you tell me the shape of the {r} object?",
        "what was the shape of the {r} thing?",
    ),
    "exist": (
        "was there any {r}?",
        "did you see a {r}?",
        "have you seen any {r} in the video?",
        "do you remember any {r}?",
    ),
}


def _combine(*choices: Sequence[str]) -> set[str]:
    """Every way to choose one of each, as a sentence."""
    return {" ".join(" ".join(words).split()) for words in product(*choices)}


_POLITE = ("do you know", "can you say", "can you tell me", "do you remember")
_TAILS = ("", "in the video")


def _color_phrases() -> set[str]:
    asked = ("what colour", "which colour")
    return (
        _combine(asked, ("was the {r}", "is the {r}", "did the {r} have"), _TAILS)
        | _combine(("tell me", *_POLITE), ("the colour of the {r}",))
        | _combine(("", "tell me", *_POLITE), asked, ("the {r} was", "the {r} had"))
        | _combine(("what was", "what is"), ("the colour of the {r}",))
        | _combine(("the {r} was", "the {r} is", "the {r} had"), asked)
    )


def _shape_phrases() -> set[str]:
    asked, nouns = ("what shape", "which shape"), ("thing", "object")
    return (
        _combine(asked, ("was {r}", "is {r}"), _TAILS)
        | _combine(asked, ("was the {r}", "is the {r}"), nouns)
        | _combine(asked, ("did the {r}",), nouns, ("have",))
        | _combine(("which", "what"), nouns, ("was {r}", "is {r}"))
        | _combine(("what was the {r}", "what is the {r}"), nouns, _TAILS)
        | _combine(("tell me", *_POLITE), ("the shape of the {r}", "what the {r}"), nouns)
        | _combine(
            ("tell me", *_POLITE), ("what shape", "which thing", "which object"), ("was {r}",)
        )
        | _combine(("what was", "what is"), ("the shape of the {r}",), nouns)
    )


def _exist_phrases() -> set[str]:
    some = ("a {r}", "any {r}")
    openers = ("was there", "is there", "did you see", "have you seen", "do you see")
    return (
        _combine(openers, (*some, "the {r}"), ("", "in the video", "there"))
        | _combine(("do you remember", "can you remember"), (*some, "the {r}"), _TAILS)
        | _combine(("did", "does"), (*some, "the {r}"), ("appear",), _TAILS)
        | _combine(("has",), (*some, "the {r}"), ("appeared",), _TAILS)
        | _combine(("was", "is"), (*some, "the {r}"), ("there", "in the video"))
        | _combine((*_POLITE,), ("if there was", "if you saw"), some)
    )


def _without_held_out(phrases: set[str], kind: str) -> tuple[str, ...]:
    return tuple(sorted(phrases - {phrase.strip("?.") for phrase in HELD_OUT[kind]}))


PHRASES: dict[str, tuple[str, ...]] = {
    "color": _without_held_out(_color_phrases(), "color"),
    "shape": _without_held_out(_shape_phrases(), "shape"),
    "exist": _without_held_out(_exist_phrases(), "exist"),
}
# Not in the language.  {u} is a word that nobody taught.
_UNANSWERED = (
    *_combine(("when", "where", "why", "how"), ("was the {r}", "did the {r} move", "is the {r}")),
    *_combine(
        ("when", "where"), ("did the {r} appear", "did you see the {r}", "have you seen a {r}")
    ),
    *_combine(("how many",), ("{r}", "things", "{u}"), ("were there", "did you see", "are there")),
    *_combine(_POLITE, ("when", "where", "why", "how many"), ("the {r} was", "{r} there were")),
    *_combine(_POLITE, ("who", "what", "how"), ("was there", "was in the video", "the {r} did")),
    *_combine(("which way",), ("did the {r} move", "did the {u} go", "was the {r}")),
    *_combine(("how long", "how big", "how {u}"), ("was the {r}", "is the {r} thing")),
    *_combine(
        ("what was", "what is"), ("before the {r}", "after the {r}", "in the video", "there")
    ),
    *_combine(("who was", "who is", "what did you see"), ("", "there", "in the video")),
)
_UNKNOWN_WORDS = (
    *_combine(("was there", "did you see", "have you seen"), ("a {u}", "any {u}", "a {c} {u}")),
    *_combine(("is there", "do you remember"), ("a {u}", "the {u} {s}", "any {u} {s}"), _TAILS),
    *_combine(
        ("what colour", "which colour"), ("was the", "is the"), ("{u}", "{u} {u}", "{u} {s}")
    ),
    *_combine(("tell me", "do you know"), ("the colour of", "the shape of"), ("the {u}",)),
    *_combine(("what", "which"), ("shape was the {u}", "object was {u}", "thing was {u}")),
    *_combine(("what is", "what was", "who is", "why does"), ("the {u}", "the {u} {u}", "{u} {u}")),
    *_combine(("did", "does", "is", "can"), ("the {u}", "the {r}"), ("{u}", "{u} the {u}")),
    *_combine(("{u}",), ("", "{u}", "{u} {u}", "the {r}", "the {u}", "the {c} {u}", "me the {r}")),
)
FOREIGN: tuple[str, ...] = tuple(sorted((*_UNANSWERED, *_UNKNOWN_WORDS)))
FOREIGN_HELD_OUT: tuple[str, ...] = (
    "how many {r} have you seen?",
    "how often was the {r} there?",
    "when has the {r} appeared?",
    "where is the {r} thing?",
    "who is in the {u}?",
    "what colour did the {u} have?",
    "do you see any {u}?",
    "what happened after the {r}?",
    "how {u} was the {c} thing?",
)
UNTAUGHT = "untaughtword"  # any word outside the vocabulary; the tokenizer maps them all to one


@dataclass(frozen=True, slots=True)
class Referent:
    """What a question is about; None leaves an attribute open."""

    shape: str | None
    color: str | None

    def fits(self, thing: Thing) -> bool:
        return self.shape in (None, thing.shape) and self.color in (None, thing.color)

    def words(self) -> str:
        if self.shape is None:
            return f"{self.color} thing"
        return self.shape if self.color is None else f"{self.color} {self.shape}"


@dataclass(frozen=True, slots=True)
class Question:
    """``spans``: when the film showed the referent until ``asked_s``, as (first, last) seconds."""

    kind: str  # of KINDS, or 'foreign'
    text: str
    answer: str
    asked_s: float
    referent: Referent | None
    spans: tuple[tuple[float, float], ...]


def ask_about(
    rng: random.Random, film: Film, thing: Thing, kind: str, asked_s: float, held_out: bool = False
) -> Question | None:
    """A question of ``kind`` about ``thing``, or None where more than one answer would be right."""
    seen = [t for t in film.things if t.start_s < asked_s]
    if kind == "color":
        referent, answer = Referent(thing.shape, None), thing.color
    elif kind == "shape":
        referent, answer = Referent(None, thing.color), thing.shape
    else:
        attributes = rng.choices(
            ((thing.shape, thing.color), (thing.shape, None), (None, thing.color)), (6, 1, 1)
        )[0]
        referent, answer = Referent(*attributes), "yes"
    alike = [t for t in seen if referent.fits(t)]
    if thing not in alike or (kind != "exist" and len(alike) > 1):
        return None
    return _ask(rng, kind, referent, answer, alike, asked_s, held_out)


def ask_absent(
    rng: random.Random, film: Film, kind: str, asked_s: float, held_out: bool = False
) -> Question | None:
    """About something the film had not shown by then; mostly a mix of attributes seen apart."""
    seen = [t for t in film.things if t.start_s < asked_s]
    shape, color = rng.choice(PAIRS)
    if kind == "exist" and seen and rng.random() < 0.7:
        shape, color = rng.choice(seen).shape, rng.choice(seen).color
    if kind == "color":
        referent, answer = Referent(shape, None), NOT_SEEN
    elif kind == "shape":
        referent, answer = Referent(None, color), NOT_SEEN
    else:
        whole = rng.choices(((shape, color), (shape, None), (None, color)), (6, 1, 1))[0]
        referent, answer = Referent(*whole), "no"
    if any(referent.fits(t) for t in seen):
        return None
    return _ask(rng, kind, referent, answer, (), asked_s, held_out)


def ask_foreign(rng: random.Random, asked_s: float, held_out: bool = False) -> Question:
    """Something outside the language: the answer is `UNKNOWN_KIND`."""
    shape, color = rng.choice(PAIRS)
    referent = rng.choice((Referent(shape, color), Referent(shape, None)))
    phrase = rng.choice(FOREIGN_HELD_OUT if held_out else FOREIGN)
    text = phrase.format(r=referent.words(), s=shape, c=color, u=UNTAUGHT)
    return Question("foreign", _mend_article(text), UNKNOWN_KIND, asked_s, None, ())


def words() -> list[str]:
    """Every word that occurs in a question of the language, sorted."""
    found = set(SHAPES) | set(COLORS) | {"thing", "object"}
    for phrases in (*PHRASES.values(), *HELD_OUT.values(), FOREIGN, FOREIGN_HELD_OUT):
        for phrase in phrases:
            plain = phrase.format(r="", s="", c="", u="")
            found.update(plain.replace("?", "").replace(".", "").split())
    return sorted(found | {"an"})


def _ask(
    rng: random.Random,
    kind: str,
    referent: Referent,
    answer: str,
    alike: Sequence[Thing],
    asked_s: float,
    held_out: bool,
) -> Question:
    phrase = rng.choice((HELD_OUT if held_out else PHRASES)[kind])
    spoken = str(referent.color) if kind == "shape" else referent.words()
    spans = tuple((t.start_s, min(t.end_s, asked_s)) for t in alike)
    return Question(kind, _mend_article(phrase.format(r=spoken)), answer, asked_s, referent, spans)


def _mend_article(text: str) -> str:
    return text.replace(" a orange", " an orange")
