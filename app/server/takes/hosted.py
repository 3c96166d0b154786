"""One take on a server: its sources, alerts, narration, questions, and whoever looks at it.

It outlives no take and serves no protocol: routes, sockets and the page are told in their own
terms what happens here.  All methods may be called from any thread; those that may wait, for the
worker, a disk or a camera, say so.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.server.takes.asking_log import AskingLog
from longtake.server.takes.closing import Closing
from longtake.server.takes.hosted_state import state_of
from longtake.server.takes.in_turn import in_turn
from longtake.server.takes.lens import Lens
from longtake.server.takes.listeners import Listeners
from longtake.server.takes.places import Places
from longtake.server.takes.pushed_camera import PushedCamera
from longtake.server.takes.recent import Recent
from longtake.server.takes.refusals import NothingSeen
from longtake.server.takes.source_state import SourceState
from longtake.server.takes.sources import Sources
from longtake.server.takes.standing_alerts import AlertState, StandingAlerts
from longtake.server.takes.standing_narration import StandingNarration
from longtake.server.takes.timeline import timeline_of
from longtake.server.takes.uploads import check
from longtake.streaming.masks import Mask

if TYPE_CHECKING:
    from longtake.alerts.event import AlertEvent
    from longtake.answer import Answer
    from longtake.asking import Asking
    from longtake.inbox import Pushed
    from longtake.memory.forgetting import Forgotten
    from longtake.narration.narration import Line
    from longtake.server.config import ServeConfig
    from longtake.settings import TakeConfig
    from longtake.streaming.passage import Passage
    from longtake.take import Take

STATE_S = 0.5  # a state, or a timeline, this old is as good as a new one
MOST_TIMELINES = 16
QUESTION = "question"  # kind of the event that is logged


class Hosted:
    """Made by `Hall.open`.

    Args:
        config: what bounds its sources and uploads.
        passage: through which visitors' addresses are reached; made when first asked for.
        folder: of its memory, where the server made it and may remove it.
        exports: places of those that lie on the disk, of all takes.
    """

    def __init__(
        self,
        id: str,
        take: Take,
        *,
        model: str,
        settings: TakeConfig,
        config: ServeConfig,
        passage: Callable[[], Passage],
        folder: Path | None = None,
        exports: Places,
    ) -> None:
        self.id, self.take, self.model, self.settings = id, take, model, settings
        self.folder, self.exports = folder, exports
        self.opened_wall_s, self._opened_s = time.time(), take.now_s
        self.viewers = self.missed = 0  # who look now; what slow ones among them did not get
        self.answers = AskingLog()
        self.on_change: Listeners[None] = Listeners()  # worth telling viewers at once
        self.on_close: Listeners[Closing] = Listeners()
        self.on_answer: Listeners[Answer] = Listeners()
        self.on_failure: Listeners[Exception] = Listeners()  # a question got no answer
        self.on_forget: Listeners[None] = Listeners()  # what was said of it is not to be shown
        self.questions_open = 0  # that wait, or are being answered
        self._config = config
        self._lock = threading.Lock()
        self._closing: Closing | None = None
        self._noting: set[asyncio.Task[None]] = set()
        self._alerts = StandingAlerts(take, self._fired)
        self._narration = StandingNarration(take)
        self._sources = Sources(
            take, config, settings.capture, passage, changed=self._changed, ended=self._ended
        )
        self._state: Recent[tuple[dict[str, Any], str]] = Recent(STATE_S, 1)
        self._timelines: Recent[dict[str, Any]] = Recent(STATE_S, MOST_TIMELINES)

    # ---------------------------------------------------------------- sources

    def add_source(
        self,
        address: str,
        *,
        camera: str = "",
        masks: Sequence[Mask] = (),
        trusted: bool = False,
    ) -> SourceState:
        """Watch a camera or a stream; may wait until it is known what it is.

        What goes wrong with a camera later is told by its state.

        Args:
            camera: its name; where it is empty and the empty one is in use, one is made.
            masks: blacked out in what it shows, beside the take's.
            trusted: the operator's own; else a visitor's, who may name network cameras alone,
                through the server's passage, and what the operator allows.

        Raises:
            SourceError: if it cannot be watched; `SourceForbidden` if a visitor may not.
            ValueError: if a value makes no sense, or another source is in its way.
            TooMany: if there are as many sources as may be.
        """
        self._narration.renew()
        return self._sources.add(address, camera=camera, masks=masks, trusted=trusted)

    def add_file(self, path: Path, *, name: str, camera: str = "") -> SourceState:
        """Watch an upload from its beginning to its end; the file is removed when it has been
        seen, and where it is refused.  Waits until it is known what it is.

        Args:
            name: as it is shown.

        Raises:
            SourceError: if it is no video.
            ValueError: if it is too large or too long, or another source is in its way.
            TooMany: if there are as many sources as may be.
        """

        def remove() -> None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

        try:
            checked = check(path, self._config)
            self._narration.renew()
            return self._sources.add_file(
                checked, name=shown_name(name), camera=camera, on_seen=remove
            )
        except BaseException:
            remove()
            raise

    def check_file(self, name: str, camera: str = "") -> None:
        """Whether `add_file` would be refused as things stand; looks at no file, and does not wait.

        Raises:
            SourceInTheWay, TooMany: if so.
        """
        self._sources.check_file(shown_name(name), camera)

    def remove_source(self, id: str) -> None:
        """Watch it no further; what came is still seen.  A pushing camera is told to leave.  May
        wait for about a second.

        Raises:
            NoSuchSource: if there is none of this id.
        """
        self._sources.remove(id)

    def sources(self) -> list[SourceState]:
        """How they stand, in the order in which they came; pushed cameras too."""
        return self._sources.all()

    def lens(self, camera: str) -> Lens | None:
        """Through which previews of a camera are seen; None where there is no such camera."""
        return self._sources.lens(camera)

    # ---------------------------------------------------------------- pushed cameras

    @contextmanager
    def claim(
        self, camera: str = "", on_removed: Callable[[], object] = lambda: None
    ) -> Iterator[PushedCamera]:
        """A camera that is the visitor's own while he pushes; `push` its frames with it.

        Args:
            camera: the wanted name; one in use gets a number.
            on_removed: called when somebody removes this source: leave then.

        Raises:
            ValueError: if the name is too long.
            TooMany: if there are as many sources as may be, or as many names of them.
        """
        self._narration.renew_soon()
        with self._sources.claim(camera, on_removed) as claimed:
            yield claimed

    def push(
        self,
        data: bytes,
        *,
        camera: str | PushedCamera = "",
        age_s: float = 0.0,
        pts_s: float | None = None,
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one JPEG or PNG, as `Take.push` does; counted among the take's sources, and seen by
        viewers.  Decodes it where the take wants it.

        Args:
            camera: what `claim` gave, refused once the source was removed; or a name that nobody
                has claimed.

        Raises as `Take.push` does, and `Ending` where the take, or the camera, is taken away,
        `SourceInTheWay` for a name that is another source's, and `TooMany` for one source, or one
        name, too many.
        """
        return self._sources.push(data, camera, age_s, pts_s, wall_s)

    # ---------------------------------------------------------------- alerts and lines

    def add_alert(self, condition: str, **settings: Any) -> AlertState:
        """Watch for something from now on; settings as `Take.alert` takes them.  Waits for the
        worker.

        Raises as `Take.alert` does.
        """
        state = self._alerts.add(condition, settings)
        self._changed()
        return state

    def pause_alert(self, id: str) -> AlertState:
        """Judge it no more until it is resumed.  Raises `NoSuchAlert`."""
        state = self._alerts.pause(id)
        self._changed()
        return state

    def resume_alert(self, id: str) -> AlertState:
        """Judge it again.  Raises `NoSuchAlert`."""
        state = self._alerts.resume(id)
        self._changed()
        return state

    def remove_alert(self, id: str) -> None:
        """For good.  Raises `NoSuchAlert`."""
        self._alerts.remove(id)
        self._changed()

    def alert(self, id: str) -> AlertState:
        """Raises `NoSuchAlert`."""
        return self._alerts.find(id)

    def alerts(self) -> list[AlertState]:
        """All of them, in the order in which they were added."""
        return self._alerts.all()

    def narrate(self, **settings: Any) -> None:
        """Lines about what is seen from now on; settings as `Take.narrate` takes them.  Waits for
        the worker.

        Raises as `Take.narrate` does.
        """
        self._narration.begin(settings)
        self._changed()

    def stop_narrating(self) -> None:
        """Say no more.  May be called twice."""
        self._narration.stop()
        self._changed()

    @property
    def is_narrating(self) -> bool:
        return self._narration.is_wanted

    def line(self) -> Line | None:
        """The newest line of the narration; None where there is none."""
        return self._narration.line()

    # ---------------------------------------------------------------- questions and the past

    async def ask(self, question: str, **options: Any) -> Asking:
        """Ask; options as `Take.submit` takes them.  The question is logged, and how long its
        answer takes is kept.

        Raises as `Take.submit` does, and `NothingSeen` before there is anything to ask about.
        """
        try:
            asking = await self._submit(question, options)
        except Exception as error:
            self.on_failure.tell(error)
            raise
        noting = asyncio.create_task(self._note(question, asking))
        self._noting.add(noting)
        noting.add_done_callback(self._noting.discard)
        return asking

    async def _submit(self, question: str, options: dict[str, Any]) -> Asking:
        if not self.take.has_seen:
            raise NothingSeen(
                f"take {self.id}: nothing has been seen yet; start a camera or add a video first"
            )
        if not options.get("choices"):  # before an answer is begun, which may be streamed
            await asyncio.to_thread(self.take.check_room, question, options.get("decoding"))
        if options.get("recall") is None:
            return self.take.submit(question, **options)
        # models that it needs may have to be loaded
        return await asyncio.to_thread(self.take.submit, question, **options)

    async def _note(self, question: str, asking: Asking) -> None:
        with self._lock:
            self.questions_open += 1
        try:
            with suppress(Exception):  # read-only takes and full disks log nothing; it is answered
                await asyncio.to_thread(self.take.log, QUESTION, QUESTION, question)
            answer = await asking.aresult()
        except Exception as error:  # told to whoever asked
            self.answers.note_failure()
            self.on_failure.tell(error)
            return
        finally:
            with self._lock:
                self.questions_open -= 1
        self.answers.note(answer)
        self.on_answer.tell(answer)
        self._changed()

    def forget(self, start_s: float, end_s: float, *, camera: str | None = None) -> Forgotten:
        """As `Take.forget`, and nothing that was shown or said lies here any more.  Waits."""
        try:
            return self.take.forget(start_s, end_s, camera=camera)
        finally:
            self._sources.forget()
            self._narration.forget()
            self.answers.clear()
            self.on_forget.tell(None)
            self._state.clear()
            self._timelines.clear()
            self._changed()

    # ---------------------------------------------------------------- how it stands

    def state(self) -> dict[str, Any]:
        """As JSON; computed at most twice a second while nothing changes, however many look."""
        return self.told()[0]

    def state_text(self) -> str:
        """`state` as it is sent: made once for all who look."""
        return self.told()[1]

    def told(self) -> tuple[dict[str, Any], str]:
        """`state` and `state_text` of the same moment."""
        return self._state.get(None, self._stand)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Frames that came and frames that were dropped, by camera; also of sources that are gone,
        so that they never fall."""
        return self._sources.counts()

    def alert_counts(self) -> tuple[int, int]:
        """Judgements and events of all alerts, also of those that were removed."""
        return self._alerts.counts()

    def _stand(self) -> tuple[dict[str, Any], str]:
        state = state_of(self)
        return state, json.dumps(state, allow_nan=False)

    def timeline(
        self, start_s: float | None = None, end_s: float | None = None, width: int = 600
    ) -> dict[str, Any]:
        """As JSON; what was computed half a second ago is given again.

        Raises:
            ValueError: if these are not two times in order, or the width makes no sense.
        """
        key = start_s, end_s, width
        return self._timelines.get(key, lambda: timeline_of(self, start_s, end_s, width))

    @property
    def last_event(self) -> int:
        """Number of the newest event in the take's log; 0 before the first.  Never waits."""
        return self.take.last_event

    def wall_s(self, at_s: float) -> float | None:
        """Unix time of a session time, where it runs with the clock; None where it is not known."""
        if at_s < self._opened_s or not self._sources.run:
            return None
        return time.time() - (self.take.now_s - at_s)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Somebody looks at it meanwhile."""
        with self._lock:
            self.viewers += 1
        try:
            yield
        finally:
            with self._lock:
                self.viewers -= 1

    def miss_previews(self, count: int) -> None:
        """A slow viewer did not get so many."""
        with self._lock:
            self.missed += count

    # ---------------------------------------------------------------- end

    @property
    def closing(self) -> Closing | None:
        """Why it is being closed; None while it is open."""
        return self._closing

    def announce(self, closing: Closing) -> None:
        """Tell all who look that it is being closed; only the first reason counts."""
        with self._lock:
            is_first, self._closing = self._closing is None, self._closing or closing
        if is_first:
            self.on_close.tell(closing)

    def close(self, closing: Closing, *, forget: bool = False) -> None:
        """Tell all who look, end answers with what there is, close the take.  Waits.

        Args:
            forget: forget all of its past first.

        Raises what the first part of it that failed raised; all of it is closed.
        """
        self.announce(closing)
        ends: list[Callable[[], object]] = [
            self._sources.close,
            self._narration.stop,
            self.take.cancel,
        ]
        if forget:
            self.on_forget.tell(None)
            ends.append(lambda: self.take.forget(0.0, self.take.now_s))
        in_turn(*ends, self.take.close)

    def _fired(self, event: AlertEvent) -> None:
        self._changed()

    def _ended(self) -> None:
        """A watched source is at its end.  Narrations end with the last one of them, and frames may
        be pushed beside."""
        if any(not source.is_over for source in self.sources()):
            self._narration.renew()
        self._changed()

    def _changed(self) -> None:
        self._state.clear()
        self.on_change.tell(None)


def shown_name(name: str) -> str:
    """Of an upload: what a browser calls it, without a path, on one short line."""
    last = name.replace("\\", "/").rpartition("/")[2]
    printable = "".join(letter for letter in last if letter.isprintable())
    return printable[:100] or "upload"
