"""What the page needs (`longtake.ui.needs`), of the takes of a server.

Work that waits is done on threads of its own; questions wait on none.  Errors are told in the same
words as over HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import cv2
from numpy.typing import NDArray
from pydantic import ValidationError

from longtake.answer import Answer, Moment
from longtake.memory.marks import Gap
from longtake.moments import Found
from longtake.server.page.look import Looks
from longtake.server.page.look_words import told_look
from longtake.server.routes.asking import Waiting
from longtake.server.routes.errors import printable_words, problem_of
from longtake.server.routes.pools import Pools
from longtake.server.routes.schemas import AddAlert, Ask, OpenTake
from longtake.server.routes.takes import settings_of
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted
from longtake.ui.needs import AlertWish, Hit, Refused, Reply, Shown, TakeLink, TakeWish
from longtake.ui.view import span

HITS = 12  # moments that a search shows
MOST_MISSING = 3  # gaps that an answer names
QUALITY = 90  # of a frame that came as pixels
GIB = 1 << 30
EXAMPLES = (
    "What is happening now?",
    "What changed in the last minute?",
    "What was seen first?",
)


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever goes wrong within is told in words for a visitor."""
    try:
        yield
    except Refused:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Refused(printable_words(f"{field}: {first['msg']}")) from None
    except Exception as error:
        raise Refused(problem_of(error).message) from error


class PageBackend:
    """Used from the server's event loop alone."""

    def __init__(self, hall: Hall) -> None:
        self._hall, self._pools = hall, Pools()
        self._looks = Looks(hall.config, hall.settings.capture)

    def close(self) -> None:
        """Returns at once; nobody waits any more for work that is under way."""
        self._pools.close()

    def on_forget(self, listener: Callable[[str], object]) -> None:
        self._hall.each(lambda hosted: hosted.on_forget.add(lambda _: listener(hosted.id)))

    @property
    def models(self) -> Sequence[str]:
        return self._hall.models

    def takes(self) -> Sequence[TakeLink]:
        return [TakeLink(each.id, each.model) for each in self._hall.all()]

    def find(self, take: str | None) -> str:
        with refusing():
            return self._hall.find(take).id

    def examples(self, take: str) -> Sequence[str]:
        with refusing():
            is_drawn = self._hall.find(take).take.adapter.recipe.world_version is not None
        return _of_the_drawn_world() if is_drawn else EXAMPLES

    async def ask(
        self,
        take: str,
        question: str,
        *,
        conversation: str | None,
        between_s: tuple[float, float] | None,
    ) -> Answering:
        with refusing():
            checked = Ask(
                question=question,
                conversation=conversation,
                between_s=None if between_s is None else list(between_s),
            )
            asking = await self._hall.find(take).ask(
                checked.question, conversation=checked.conversation, between_s=between_s
            )
            return Answering(asking)

    async def search(
        self, take: str, words: str, *, between_s: tuple[float, float] | None
    ) -> Sequence[Hit]:
        with refusing():
            hosted = self._hall.find(take)
            found = await self._pools.blocking.run(hosted.take.search, words, HITS, between_s)
            return [_hit(each) for each in found]

    async def probe(self, address: str) -> str:
        with refusing():
            return told_look(await self._pools.blocking.run(self._looks.at, address))

    async def add_source(self, take: str, address: str, camera: str) -> str:
        with refusing():
            hosted = self._hall.find(take)
            state = await self._pools.blocking.run(hosted.add_source, address, camera=camera)
            return state.camera or state.address

    async def add_alert(self, take: str, wish: AlertWish) -> str:
        with refusing():
            checked = AddAlert(
                condition=wish.condition,
                every_s=wish.every_s,
                cooldown_s=wish.cooldown_s,
                confirm=wish.confirm,
                threshold=wish.threshold,
            )
            settings = checked.model_dump(exclude={"condition"})
            hosted = self._hall.find(take)
            state = await self._pools.blocking.run(hosted.add_alert, checked.condition, **settings)
            return state.name

    async def narrate(self, take: str, *, is_on: bool) -> None:
        with refusing():
            hosted = self._hall.find(take)
            if is_on:
                await self._pools.blocking.run(hosted.narrate)
            else:
                await self._pools.acts.run(hosted.stop_narrating)

    async def open(self, wish: TakeWish) -> str:
        with refusing():
            body = OpenTake(
                model=wish.model,
                fps=wish.fps,
                window_s=wish.window_s,
                top_k=wish.top_k,
                ram_bytes=_bytes(wish.ram_gb),
                disk_bytes=_bytes(wish.disk_gb),
                ladder=wish.ladder,
            )
            settings = settings_of(body, self._hall.settings)
            hosted = await self._pools.opens.run(
                self._hall.open, None, model=wish.model, settings=settings
            )
            return hosted.id

    async def seat(self, take: str) -> PushingSeat:
        with refusing():
            return PushingSeat(self._hall.find(take), self._pools)


class Answering:
    """One question's answer, as the page takes it."""

    def __init__(self, asking: Waiting) -> None:
        self._asking = asking

    async def __aiter__(self) -> AsyncIterator[str]:
        with refusing():
            async for piece in self._asking:
                yield piece

    async def reply(self) -> Reply:
        with refusing():
            return _reply(await self._asking.aresult())

    def stop(self) -> None:
        self._asking.cancel()


class PushingSeat:
    """A camera's name that is a visitor's own until he leaves, or somebody removes the source."""

    def __init__(self, hosted: Hosted, pools: Pools) -> None:
        self._hosted, self._pools, self._held = hosted, pools, ExitStack()
        self._is_removed = False
        self._camera = self._held.enter_context(hosted.claim(on_removed=self._remove))
        self.name = self._camera.camera

    def _remove(self) -> None:
        self._is_removed = True

    async def push(self, image: NDArray[Any]) -> None:
        if self._is_removed:
            raise Refused("this camera was removed; start it again to show it again")
        with refusing():
            await self._pools.frames.run(self._show, image)

    def _show(self, image: NDArray[Any]) -> None:
        is_encoded, jpeg = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY)
        )
        assert is_encoded
        self._hosted.push(jpeg.tobytes(), camera=self._camera)

    def leave(self) -> None:
        self._held.close()


def _of_the_drawn_world() -> Sequence[str]:
    """For models that know nothing else: one of each kind that they were trained on."""
    from longtake.models.embedded.questions import HELD_OUT, Referent

    about = {
        "color": Referent("star", None),
        "shape": Referent(None, "red"),
        "exist": Referent("ring", "blue"),
    }
    asked = (HELD_OUT[kind][0].format(r=who.words()) for kind, who in about.items())
    return tuple(each.replace("thing thing", "thing").capitalize() for each in asked)


def _reply(answer: Answer) -> Reply:
    return Reply(
        text=answer.text,
        evidence=tuple(_shown(moment) for moment in answer.evidence),
        as_of_s=answer.as_of_s,
        staleness_s=answer.staleness_s,
        coverage=answer.coverage,
        is_partial=answer.partial,
        missing=tuple(_missing(gap) for gap in answer.gaps[:MOST_MISSING]),
    )


def _missing(gap: Gap) -> str:
    return f"{span(gap.start_s, gap.end_s)} ({gap.reason})"


def _hit(found: Found) -> Hit:
    return Hit(_shown(found), found.matched, found.caption)


def _shown(moment: Moment | Found) -> Shown:
    return Shown(moment.start_s, moment.end_s, moment.score, moment.camera, moment.number)


def _bytes(gb: float | None) -> int | None:
    return None if gb is None else max(1, round(gb * GIB))
