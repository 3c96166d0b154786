"""What the page needs of whatever stands behind it, said by the page itself.

Everything is in plain values: session seconds, names, text.  Who fulfils it is not known here.
Whatever it refuses it raises as `Refused`, in words that may be shown to a visitor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


class Refused(Exception):
    """What cannot be done, and the way out, in words for a visitor: no login, no inner path."""


@dataclass(frozen=True, slots=True)
class TakeLink:
    """A take that can be looked at."""

    id: str
    model: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A moment that is shown with its picture."""

    start_s: float
    end_s: float
    score: float  # 0 to 1
    camera: str = ""
    number: int | None = None  # of the chunk whose picture is shown; None: there is none


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment that was found."""

    moment: Shown
    matched: tuple[str, ...]  # by what: keys, caption
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    text: str
    evidence: tuple[Shown, ...]  # best first
    as_of_s: float  # the newest moment that it could know
    staleness_s: float
    coverage: float  # share of the chosen past that was there in time, 0 to 1
    is_partial: bool
    missing: tuple[str, ...] = ()  # stretches that are not held, in words


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertWish:
    """An alert as it was typed."""

    condition: str
    every_s: float
    cooldown_s: float
    confirm: int
    threshold: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeWish:
    """Settings of a new take; None: as the model or the operator has them."""

    model: str | None = None
    fps: float | None = None
    window_s: float | None = None
    top_k: int | None = None
    ram_gb: float | None = None
    disk_gb: float | None = None
    ladder: str | None = None  # what becomes of old memories


class Answering(Protocol):
    """An answer on its way."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Pieces of its text.  Raises `Refused`."""

    async def reply(self) -> Reply:
        """The whole of it.  Raises `Refused`."""

    def stop(self) -> None:
        """End it with what there is; more than once is fine, and so is after its end."""


class Seat(Protocol):
    """A visitor's camera whose frames come one call each."""

    @property
    def name(self) -> str:
        """Of the camera, as the take knows it."""

    async def push(self, image: NDArray[Any]) -> None:
        """One frame, uint8 RGB ``[H, W, 3]``.  Raises `Refused`."""

    def leave(self) -> None:
        """Its name is free again; more than once is fine."""


class Backend(Protocol):
    """Takes, by id.  Whatever has one raises `Refused` where there is none of it."""

    @property
    def models(self) -> Sequence[str]:
        """What a new take may be opened with, the default first."""

    def takes(self) -> Sequence[TakeLink]:
        """Those that are open."""

    def on_forget(self, listener: Callable[[str], object]) -> None:
        """Call it with the id of a take, from any thread, when some of its past is forgotten: what
        was said about it may tell of that."""

    def find(self, take: str | None) -> str:
        """The id of an open take; None: of the one that a visitor sees who names none."""

    def examples(self, take: str) -> Sequence[str]:
        """Questions that its model can answer."""

    async def ask(
        self,
        take: str,
        question: str,
        *,
        conversation: str | None,
        between_s: tuple[float, float] | None,
    ) -> Answering: ...

    async def search(
        self, take: str, words: str, *, between_s: tuple[float, float] | None
    ) -> Sequence[Hit]: ...

    async def probe(self, address: str) -> str:
        """What is there, in words."""

    async def add_source(self, take: str, address: str, camera: str) -> str:
        """Begin to watch; returns its name, or its address without a login."""

    async def add_alert(self, take: str, wish: AlertWish) -> str:
        """Returns its name."""

    async def narrate(self, take: str, *, is_on: bool) -> None: ...

    async def open(self, wish: TakeWish) -> str:
        """Returns the id of a new take."""

    async def seat(self, take: str) -> Seat: ...
