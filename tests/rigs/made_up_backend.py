"""A page's backend that is told what to answer, and remembers what it was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from longtake.ui.needs import (
    AlertWish,
    Backend,
    Hit,
    Refused,
    Reply,
    Seat,
    Shown,
    TakeLink,
    TakeWish,
)


class MadeUpAnswering:
    """Says its pieces; with `waits` it says no more until it is stopped."""

    def __init__(self, pieces: Sequence[str], reply: Reply | Refused, waits: bool) -> None:
        self._pieces, self._reply, self._waits = pieces, reply, waits
        self.is_stopped = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        for piece in self._pieces:
            yield piece
        if self._waits:
            await self.is_stopped.wait()

    async def reply(self) -> Reply:
        if isinstance(self._reply, Refused):
            raise self._reply
        return self._reply

    def stop(self) -> None:
        self.is_stopped.set()


class MadeUpSeat:
    def __init__(self, name: str) -> None:
        self.name, self.shown, self.has_left = name, 0, asyncio.Event()

    async def push(self, image: NDArray[Any]) -> None:
        self.shown += 1

    def leave(self) -> None:
        self.has_left.set()


class MadeUpBackend:
    """Of the takes ``live`` and ``kitchen``."""

    def __init__(self) -> None:
        self.pieces: Sequence[str] = ("a red", " ring")
        self.reply: Reply | Refused = answer("a red ring")
        self.waits = False
        self.refusal: Refused | None = None
        self.asked: list[dict[str, Any]] = []
        self.answerings: list[MadeUpAnswering] = []
        self.wishes: list[AlertWish | TakeWish] = []
        self.hits: list[Hit] = []
        self.seats: list[MadeUpSeat] = []
        self.sources: list[tuple[str, str, str]] = []
        self.forgetting: list[Callable[[str], object]] = []

    @property
    def models(self) -> Sequence[str]:
        return ["embedded"]

    def takes(self) -> Sequence[TakeLink]:
        return [TakeLink("live", "embedded"), TakeLink("kitchen", "embedded")]

    def on_forget(self, listener: Callable[[str], object]) -> None:
        self.forgetting.append(listener)

    def find(self, take: str | None) -> str:
        if take not in (None, "live", "kitchen"):
            raise Refused(f"take {take}: is not open; there is live, kitchen")
        return take or "live"

    def examples(self, take: str) -> Sequence[str]:
        return ["What is happening now?"]

    async def ask(
        self,
        take: str,
        question: str,
        *,
        conversation: str | None,
        between_s: tuple[float, float] | None,
    ) -> MadeUpAnswering:
        self._check()
        self.asked.append(
            {
                "take": take,
                "question": question,
                "conversation": conversation,
                "between_s": between_s,
            }
        )
        self.answerings.append(MadeUpAnswering(self.pieces, self.reply, self.waits))
        return self.answerings[-1]

    async def search(
        self, take: str, words: str, *, between_s: tuple[float, float] | None
    ) -> Sequence[Hit]:
        self._check()
        return self.hits

    async def probe(self, address: str) -> str:
        self._check()
        return f"{address}\nlive, <h264>"

    async def add_source(self, take: str, address: str, camera: str) -> str:
        self._check()
        self.sources.append((take, address, camera))
        return camera or address

    async def add_alert(self, take: str, wish: AlertWish) -> str:
        self._check()
        self.wishes.append(wish)
        return "alert"

    async def narrate(self, take: str, *, is_on: bool) -> None:
        self._check()

    async def open(self, wish: TakeWish) -> str:
        self._check()
        self.wishes.append(wish)
        return "kitchen"

    async def seat(self, take: str) -> Seat:
        self._check()
        self.seats.append(MadeUpSeat(f"webcam {len(self.seats)}"))
        return self.seats[-1]

    def _check(self) -> None:
        if self.refusal is not None:
            raise self.refusal


def answer(text: str, **more: Any) -> Reply:
    """A whole one."""
    settled: dict[str, Any] = {
        "evidence": (Shown(12.0, 15.0, 0.5, "", 3),),
        "as_of_s": 65.0,
        "staleness_s": 0.0,
        "coverage": 1.0,
        "is_partial": False,
    }
    return Reply(text, **(settled | more))


def fulfils() -> Backend:
    """For the type checker: it is what a page needs."""
    return MadeUpBackend()
