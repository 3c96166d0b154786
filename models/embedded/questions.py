"""Questions about a film, with the one right answer and the time that holds it.

Three kinds are in the language: the colour of a shape, the shape of a colour, and whether
something was there.  Whatever else is asked is answered with `UNKNOWN_KIND`, and what was
never seen with `NOT_SEEN`: both are trained answers, not special cases.

Every kind has paraphrases to train on and others, in the same words, that are held out.
Knows films (`world`); nothing of models or tensors.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from longtake.models.embedded.world import COLORS, PAIRS, SHAPES, Film, Thing

NOT_SEEN = "I have not seen that"
UNKNOWN_KIND = "I do not know that kind of question"
KINDS = ("color", "shape", "exist")

# {r} is the referent: 'star', 'red', 'red star', 'red thing'.
PHRASES: dict[str, tuple[str, ...]] = {
    "color": (
        "what colour was the {r}?",
        "what colour is the {r}?",
        "which colour did the {r} have?",
        "tell me the colour of the {r}.",
        "the {r} was what colour?",
        "what was the colour of the {r}?",
        "do you know what colour the {r} was?",
        "can you say which colour the {r} had?",
    ),
    "shape": (
        "what shape was {r}?",
        "which object was {r}?",
        "what was the {r} thing?",
        "what shape is the {r} thing?",
        "tell me the shape that was {r}.",
        "what shape was the {r} object?",
        "which shape did the {r} thing have?",
        "do you know the shape of the {r} thing?",
        "can you say what the {r} object was?",
    ),
    "exist": (
        "did a {r} appear?",
        "was there a {r}?",
        "have you seen a {r}?",
        "did you see any {r}?",
        "was a {r} there?",
        "is there a {r} in the video?",
        "do you remember a {r}?",
        "has a {r} appeared in the video?",
    ),
}
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
# Not in the language.  {u} is a word that nobody taught.
FOREIGN: tuple[str, ...] = (
    "how many {r} were there?",
    "how many things were there?",
    "how many {u} did you see?",
    "when did the {r} appear?",
    "when was the {r} there?",
    "where was the {r}?",
    "where is the {r}?",
    "which way did the {r} move?",
    "how did the {r} move?",
    "how big was the {r}?",
    "how long was the {r} there?",
    "who was there?",
    "who was in the video?",
    "why did the {r} move?",
    "what is happening now?",
    "what did you see?",
    "what was in the video?",
    "describe the {u}",
    "tell me about the {r}",
    "what colour was the {u}?",
    "what colour is the {u} {u}?",
    "which colour did the {u} {s} have?",
    "tell me the colour of the {u}",
    "was there a {u}?",
    "was there a {c} {u}?",
    "did you see any {u}?",
    "is there a {u} in the video?",
    "have you seen a {u} {s}?",
    "what was the {u} thing?",
    "what shape was the {u}?",
    "what {u} the {u}?",
    "what is the {u} {u} {u}?",
    "who {u} the {u} {u}?",
    "did the {u} {u} the {u}?",
    "does the {r} {u}?",
    "{u} {u} {u}",
    "{u} the {r} {u}?",
    "what was the {r} {u} {u}?",
    "what was before the {r}?",
    "what was there after the {r}?",
)
FOREIGN_HELD_OUT: tuple[str, ...] = (
    "how many {r} did you see?",
    "how often was the {r} there?",
    "when did you see the {r}?",
    "where did the {r} move?",
    "who is the {u}?",
    "what colour is the {u}?",
    "did you see a {u}?",
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
