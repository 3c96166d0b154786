"""A plan of recall from text: which strategies choose, and how many chunks each.

    model                                         the model's own recall
    model,recent:4                                and the four newest candidates
    times,uniform:16                              without the model's own
    model,embedding:google/siglip2-base-patch16-224:8

Nothing is loaded and no file is looked at here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longtake.strategies.base import MODEL, Strategy
from longtake.strategies.embedding import Embedding
from longtake.strategies.gallery import Galleries
from longtake.strategies.recent import Recent
from longtake.strategies.times import Times
from longtake.strategies.uniform import Uniform

COUNTED: dict[str, Callable[[int | None], Strategy]] = {
    "recent": Recent,
    "uniform": Uniform,
    "times": Times,
}
EMBEDDING = "embedding"
FORMS = f"{MODEL}, recent:N, uniform:N, times, {EMBEDDING}:MODEL:N (:N may be left out)"


@dataclass(frozen=True, slots=True)
class Plan:
    """Who chooses chunks for a question.  It belongs to one take, where a text-image model is
    part of it."""

    has_model: bool
    strategies: tuple[Strategy, ...]

    @property
    def models(self) -> list[str]:
        """The text-image models that it needs, by name."""
        return [each.model for each in self.strategies if isinstance(each, Embedding)]

    def most(self, top_k: int) -> int:
        """Chunks that all of them may choose."""
        counts = [strategy.count or top_k for strategy in self.strategies]
        return sum(counts) + (top_k if self.has_model else 0)

    def prepare(self) -> None:
        """Load what strategies need now; else the first question does.

        Raises:
            ModelError: if a text-image model cannot be used.
        """
        for strategy in self.strategies:
            if isinstance(strategy, Embedding):
                strategy.prepare()


def plan(text: str, galleries: Galleries | None = None) -> Plan:
    """Read a plan: strategies joined by commas, each with the number of its chunks.

    Args:
        galleries: of the take that it is for; None: its own.

    Raises:
        ValueError: names what is not understood, and the forms that are.
    """
    galleries = galleries or Galleries()
    items = [item.strip() for item in text.split(",")]
    if not text.strip():
        raise ValueError(f"a plan of recall is empty; give {FORMS}, joined by commas")
    has_model = False
    strategies: dict[str, Strategy] = {}
    for item in items:
        if not item:
            raise ValueError(f"recall {text!r}: nothing between two commas, or at an end")
        if item == MODEL:
            name, strategy = MODEL, None
        else:
            strategy = _strategy(item, galleries)
            name = strategy.name
        if name in strategies or (name == MODEL and has_model):
            raise ValueError(f"recall {text!r}: {name} twice; name it once, with one count")
        if strategy is None:
            has_model = True
        else:
            strategies[name] = strategy
    made = Plan(has_model, tuple(strategies.values()))
    try:
        galleries.check(made.models)
    except ValueError as error:
        raise ValueError(f"recall {text!r}: {error}") from error
    return made


def _strategy(item: str, galleries: Galleries) -> Strategy:
    kind, colon, rest = item.partition(":")
    if kind == EMBEDDING:
        model, count = _name_and_count(item, rest)
        return Embedding(model, count, galleries)
    if kind in COUNTED:
        return COUNTED[kind](_count(item, rest) if colon else None)
    if kind == MODEL:
        raise ValueError(f"recall {item!r}: the model's own recall takes no count; use top_k")
    raise ValueError(f"recall {item!r} is not known; there is {FORMS}")


def _name_and_count(item: str, rest: str) -> tuple[str, int | None]:
    """`NAME` or `NAME:N`; what is behind the last colon is a count where it is a number."""
    name, _, last = rest.rpartition(":")
    if name and _is_number(last):
        return name, _count(item, last)
    if not rest or rest[0] == ":" or rest[-1] == ":" or _is_number(rest):
        raise ValueError(
            f"recall {item!r}: which text-image model? Give {EMBEDDING}:MODEL, where MODEL is a "
            "hub id (google/siglip2-base-patch16-224) or a checkpoint folder"
        )
    return rest, None


def _count(item: str, text: str) -> int:
    if not _is_number(text) or int(text) < 1:
        raise ValueError(f"recall {item!r}: {text!r} is not a number of chunks, 1 or more")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
