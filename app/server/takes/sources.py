"""The sources of one take: cameras and files that it watches, cameras that are pushed.

Each has an id of its own, "s1", and a name that no other has.  Their number is bounded; those that
are over make room.  What visitors may name is known to `visitors`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from longtake.inbox import MOST_CAMERAS
from longtake.live_watch import LiveWatch
from longtake.seeing import NotAlone
from longtake.server.own_places import without_places
from longtake.server.takes import visitors
from longtake.server.takes.camera_names import check_name, free_name
from longtake.server.takes.counts import Counts
from longtake.server.takes.file_source import FileSource
from longtake.server.takes.lens import Lens
from longtake.server.takes.pushed_camera import PushedCamera
from longtake.server.takes.refusals import Ending, NoSuchSource, SourceInTheWay, TooMany
from longtake.server.takes.source_state import SourceState, shown_address
from longtake.server.takes.uploads import Checked
from longtake.server.takes.watched_source import WatchedSource
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.encoded import size_of
from longtake.streaming.errors import SourceError
from longtake.streaming.masks import Mask

if TYPE_CHECKING:
    from longtake.inbox import Pushed
    from longtake.server.config import ServeConfig
    from longtake.streaming.passage import Passage
    from longtake.take import Take
    from longtake.watch import Watch

MOST_PUSHED = MOST_CAMERAS  # names under which a take was ever pushed frames
STOP_S = 1.0  # for all cameras together, where their connections hang


class Source(Protocol):
    """One of a take's sources."""

    camera: str
    lens: Lens

    @property
    def runs(self) -> bool:
        """Its frames' times run with the clock."""
        ...

    def state(self, id: str) -> SourceState: ...

    def halt(self) -> None: ...

    def stop(self, wait_s: float = ...) -> None: ...

    def forget(self) -> None: ...


class Sources:
    """Of one take; any thread may call.

    Args:
        capture: how cameras are opened.
        passage: through which visitors' addresses are reached; made when first asked for.
        changed: called when a source comes or goes.
        ended: called when one that was watched has been seen to its end, from a thread of its own.
    """

    def __init__(
        self,
        take: Take,
        config: ServeConfig,
        capture: CaptureConfig,
        passage: Callable[[], Passage],
        changed: Callable[[], object],
        ended: Callable[[], object],
    ) -> None:
        self._take, self._config, self._capture = take, config, capture
        self._passage, self._changed, self._ended = passage, changed, ended
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._coming: list[str] = []  # names of those that are being opened
        self._pushed: set[str] = set()  # names of which the take has ever accepted a frame
        self._gone = Counts()
        self._last = 0
        self._is_closed = False

    # ---------------------------------------------------------------- watched

    def add(
        self,
        address: str,
        *,
        camera: str = "",
        masks: Sequence[Mask] = (),
        capture: CaptureConfig | None = None,
        trusted: bool = False,
    ) -> SourceState:
        """Watch an address; may take as long as it takes to open it."""
        settings = self._capture if capture is None else capture
        if not trusted:
            visitors.check_address(address, self._config.allow_sources)
            address, settings = address.strip(), visitors.as_visitor(settings)
            if visitors.is_network(address):
                settings = replace(settings, passage=self._passing(address))
        if masks:
            settings = replace(settings, masks=(*settings.masks, *masks))
        with self._room(camera) as name:
            return self._watch(address, name, settings)

    def _passing(self, address: str) -> Passage:
        """The way to a visitor's address.  What is surely forbidden is refused now; that a host is
        not found may change, and its state will tell it."""
        passage = self._passage()
        try:
            passage.check(address)
        except SourceError:
            raise
        except OSError:
            pass
        return passage

    def add_file(
        self, checked: Checked, *, name: str, camera: str, on_seen: Callable[[], object]
    ) -> SourceState:
        """Watch an upload."""
        with self._room(camera) as camera_name:
            return self._watch(
                str(checked.path),
                camera_name,
                visitors.as_visitor(self._capture),
                name=name,
                checked=checked,
                on_seen=on_seen,
            )

    def _watch(
        self,
        address: str,
        camera: str,
        settings: CaptureConfig,
        *,
        name: str | None = None,
        checked: Checked | None = None,
        on_seen: Callable[[], object] = lambda: None,
    ) -> SourceState:
        stop_s = None if checked is None else checked.stop_s
        try:
            watch = self._take.watch(address, camera=camera, stop_s=stop_s, capture=settings)
        except NotAlone as error:
            raise self._not_alone(shown_address(address) if name is None else name) from error
        except RuntimeError as error:  # another source is in its way, or the take is closed
            raise SourceInTheWay(str(error).replace(address, name or address)) from error
        except SourceError as error:
            if name is not None:  # where an upload lies is nobody's business
                error.args = tuple(str(arg).replace(address, name) for arg in error.args)
            raise
        source: Source
        if isinstance(watch, LiveWatch):
            source = WatchedSource(self._take, watch)
        else:
            size = None if checked is None else checked.size
            source = FileSource(self._take, watch, name=name, size=size)
        state = self._put(source)
        when_seen(watch, on_seen, self._ended)
        return state

    def check_file(self, name: str, camera: str) -> None:
        """Whether a file could be watched now, before all of it is sent.

        Raises as `add_file` does where something is in its way.
        """
        with self._room(camera), self._lock:
            beside = [s for id, s in self._sources.items() if not s.state(id).is_over]
        if any(not isinstance(source, PushedCamera) for source in beside):
            raise self._not_alone(name)
        if any(source.runs and source.state("").state == "live" for source in beside):
            raise SourceInTheWay(
                f"{name}: frames are being pushed as they are taken, and a file has a time of its "
                "own: end that, or open another take for the file"
            )

    @staticmethod
    def _not_alone(name: str) -> SourceInTheWay:
        return SourceInTheWay(
            f"{name}: another source is being watched in this take, and a file is seen alone: "
            "remove the one or the other, or open another take"
        )

    # ---------------------------------------------------------------- pushed

    @contextmanager
    def claim(self, camera: str, on_removed: Callable[[], object]) -> Iterator[PushedCamera]:
        """A camera that is the visitor's while he pushes: of the wanted name, with a number where
        that is in use."""
        check_name(camera)
        with self._lock:
            self._check_open()
            self._make_room()
            name = free_name(camera, self._names())
            self._check_pushed(name)
            self._let_ended_go(name)
            held = PushedCamera(self._take, name, on_removed)
            id = self._number(held)
        self._changed()
        try:
            yield held
        finally:
            with self._lock:
                self._let_go(id)
            self._changed()

    def push(
        self,
        data: bytes,
        camera: str | PushedCamera,
        age_s: float = 0.0,
        pts_s: float | None = None,
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one JPEG or PNG, of a camera that was claimed, or by a name: one that nobody claimed
        is a source while it sends."""
        size_of(data)  # what is no picture makes no source
        if isinstance(camera, PushedCamera):
            id, pushing = self._claimed(camera)
        else:
            id, pushing = self._unclaimed(camera)
        try:
            pushed = pushing.push(data, age_s=age_s, pts_s=pts_s, wall_s=wall_s)
        except BaseException:
            with self._lock:
                if not pushing.is_claimed and not pushing.has_come:
                    self._let_go(id)
            raise
        if pushed.accepted:
            with self._lock:
                self._pushed.add(pushing.camera)
        return replace(pushed, reason=without_places(pushed.reason))

    def _claimed(self, camera: PushedCamera) -> tuple[str, PushedCamera]:
        """With its id."""
        with self._lock:
            self._check_open()
            for id, source in self._sources.items():
                if source is camera:
                    return id, camera
        raise Ending(f"camera {camera.camera!r} was removed")

    def _unclaimed(self, camera: str) -> tuple[str, PushedCamera]:
        """The one of this name that sends, or a new one; with its id."""
        check_name(camera)
        with self._lock:
            self._check_open()
            self._let_ended_go(camera)
            for id, source in self._sources.items():
                if isinstance(source, PushedCamera) and source.camera == camera:
                    if source.is_claimed:
                        raise SourceInTheWay(
                            f"camera={camera!r}: belongs to somebody who is pushing; push under "
                            "another name"
                        )
                    return id, source
            if camera in self._names():
                raise SourceInTheWay(
                    f"camera={camera!r}: is watched here already; push under another name"
                )
            self._check_pushed(camera)
            self._make_room()
            pushing = PushedCamera(self._take, camera)
            return self._number(pushing), pushing

    def _check_pushed(self, camera: str) -> None:
        """Takes remember the names of pushed cameras for good, and only so many."""
        if camera not in self._pushed and len(self._pushed) >= MOST_PUSHED:
            raise TooMany(
                f"camera={camera!r}: this take has seen frames of {MOST_PUSHED} cameras, as many "
                "as may be pushed in one; push under a name that it knows, or open another take",
                retry_after_s=60.0,
            )

    def _let_ended_go(self, camera: str) -> None:
        """Under the lock: pushed cameras of this name of which nothing comes any more."""
        for id, source in list(self._sources.items()):
            if isinstance(source, PushedCamera) and source.camera == camera:
                if source.state(id).is_over:
                    self._let_go(id)

    # ---------------------------------------------------------------- all of them

    def remove(self, id: str) -> None:
        """Watch it no further; what came is still seen.

        Raises:
            NoSuchSource: if there is none of this id.
        """
        with self._lock:
            source = self._let_go(id)
            known = ", ".join(self._sources) or "none"
        if source is None:
            raise NoSuchSource(f"source {id!r}: there is no such one; there is {known}")
        source.stop()
        self._changed()

    def all(self) -> list[SourceState]:
        """How they stand, in the order in which they came."""
        with self._lock:
            sources = list(self._sources.items())
        states = [source.state(id) for id, source in sources]
        gone = {state.id for state in states if state.kind == "push" and state.is_over}
        if gone:
            with self._lock:
                for id in gone:
                    self._let_go(id)
        return [state for state in states if state.id not in gone]

    def counts(self) -> dict[str, tuple[int, int]]:
        """Frames that came and frames that were dropped of each camera, of all its sources so far.
        These numbers never fall."""
        with self._lock:
            return self._gone.with_more(s.state(id) for id, s in self._sources.items())

    def lens(self, camera: str) -> Lens | None:
        """Of a camera by its name; of two the one that came last."""
        with self._lock:
            found = [each for each in self._sources.values() if each.camera == camera]
        return found[-1].lens if found else None

    @property
    def run(self) -> bool:
        """Session time runs with the clock: some source's frames come as they are taken."""
        with self._lock:
            return any(source.runs for source in self._sources.values())

    def forget(self) -> None:
        """What lenses showed is not shown any more."""
        with self._lock:
            sources = list(self._sources.values())
        for source in sources:
            source.forget()

    def close(self) -> None:
        """Stop all of them, for ever.  May be called twice."""
        with self._lock:
            self._is_closed = True
            sources = list(self._sources.values())
        until_s = time.monotonic() + STOP_S
        for source in sources:
            source.halt()
        for source in sources:
            source.stop(max(0.0, until_s - time.monotonic()))

    # ---------------------------------------------------------------- room and names

    @contextmanager
    def _room(self, camera: str) -> Iterator[str]:
        """A place and a name, while a source is being opened."""
        check_name(camera)
        with self._lock:
            self._check_open()
            self._make_room()
            taken = self._names()
            name = free_name(camera, taken) if camera == "" else camera
            if name in taken:
                raise SourceInTheWay(
                    f"camera={camera!r}: another source of this take has this name; choose another"
                )
            self._coming.append(name)
        try:
            yield name
        finally:
            with self._lock:
                self._coming.remove(name)
            self._changed()

    def _put(self, source: Source) -> SourceState:
        with self._lock:
            id = self._number(source)
            is_late = self._is_closed
        if is_late:
            source.stop()
        return source.state(id)

    def _number(self, source: Source) -> str:
        """Under the lock."""
        self._last += 1
        id = f"s{self._last}"
        self._sources[id] = source
        return id

    def _let_go(self, id: str) -> Source | None:
        """Under the lock: it is no source any more, and what came of it stays counted."""
        source = self._sources.pop(id, None)
        if source is not None:
            self._gone.add(source.state(id))
        return source

    def _make_room(self) -> None:
        """Under the lock: those that are over are let go where there are too many."""
        most = self._config.max_sources
        for id, source in list(self._sources.items()):
            if len(self._sources) + len(self._coming) < most:
                return
            if source.state(id).is_over:
                self._let_go(id)
        if len(self._sources) + len(self._coming) >= most:
            raise TooMany(
                f"{most} sources are watched or pushed in this take already: remove one first, or "
                "open another take"
            )

    def _names(self) -> set[str]:
        """Under the lock: of those that are not over."""
        names = {s.camera for id, s in self._sources.items() if not s.state(id).is_over}
        return names | set(self._coming)

    def _check_open(self) -> None:
        if self._is_closed:
            raise Ending("this take is being closed")


def when_seen(watch: Watch | LiveWatch, *then: Callable[[], object]) -> None:
    """Call these in order once all of it was seen, or nothing more will be."""

    def wait() -> None:
        while not watch.is_seen(3600.0):
            pass
        for call in then:
            with suppress(Exception):  # the take is being closed
                call()

    threading.Thread(target=wait, name="longtake-seen", daemon=True).start()
