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
from longtake.server.takes import visitors
from longtake.server.takes.camera_names import check_name, free_name
from longtake.server.takes.file_source import FileSource
from longtake.server.takes.lens import Lens
from longtake.server.takes.pushed_camera import PushedCamera
from longtake.server.takes.refusals import Ending, NoSuchSource, SourceInTheWay, TooMany
from longtake.server.takes.source_state import SourceState
from longtake.server.takes.uploads import Checked
from longtake.server.takes.watched_source import WatchedSource
from longtake.streaming.capture_config import CaptureConfig
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
        self._pushed: set[str] = set()  # names that were ever pushed
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

    # ---------------------------------------------------------------- pushed

    @contextmanager
    def claim(self, camera: str, on_removed: Callable[[], object]) -> Iterator[str]:
        """A name that is the visitor's while he pushes: the empty one where it is free, else the
        wanted one, with a number where that is in use."""
        with self._lock:
            self._check_open()
            self._make_room()
            name = self._name_for_pushing(camera)
            self._pushed.add(name)
            held = PushedCamera(self._take, name, on_removed)
            id = self._number(held)
        self._changed()
        try:
            yield name
        finally:
            with self._lock:
                self._sources.pop(id, None)
            self._changed()

    def push(
        self,
        data: bytes,
        camera: str,
        age_s: float = 0.0,
        pts_s: float | None = None,
        wall_s: float | None = None,
        *,
        claimed: bool = False,
    ) -> Pushed:
        """Show one JPEG or PNG; a camera that nobody claimed is a source while it sends."""
        pushing = self._pushing(camera, claimed)
        return pushing.push(data, age_s=age_s, pts_s=pts_s, wall_s=wall_s)

    def miss(self, camera: str) -> None:
        """A frame was let go for a newer one before it was shown."""
        with self._lock:
            found = self._find_pushed(camera)
        if found is not None:
            found.miss()

    def _pushing(self, camera: str, claimed: bool) -> PushedCamera:
        with self._lock:
            self._check_open()
            found = self._find_pushed(camera)
            if found is None and claimed:
                raise Ending(f"camera {camera!r} was removed")
            if found is None:
                check_name(camera)
                if camera in self._names():
                    raise SourceInTheWay(
                        f"camera={camera!r}: is watched here already; push under another name"
                    )
                self._make_room()
                self._pushed.add(camera)
                found = PushedCamera(self._take, camera)
                self._number(found)
        return found

    def _find_pushed(self, camera: str) -> PushedCamera | None:
        for source in self._sources.values():
            if isinstance(source, PushedCamera) and source.camera == camera:
                return source
        return None

    def _name_for_pushing(self, wanted: str) -> str:
        """Takes remember the names of pushed cameras for good, and only so many."""
        taken = self._names()
        if "" not in taken:
            return ""
        check_name(wanted)
        name = free_name(wanted, taken)
        if name in self._pushed or len(self._pushed) < MOST_PUSHED:
            return name
        free = next((known for known in sorted(self._pushed) if known not in taken), None)
        if free is None:
            raise TooMany(f"camera={wanted!r}: {MOST_PUSHED} cameras are pushed already")
        return free

    # ---------------------------------------------------------------- all of them

    def remove(self, id: str) -> None:
        """Watch it no further; what came is still seen.

        Raises:
            NoSuchSource: if there is none of this id.
        """
        with self._lock:
            source = self._sources.pop(id, None)
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
                    self._sources.pop(id, None)
        return [state for state in states if state.id not in gone]

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
            name = free_name(camera, taken) if camera == "" and camera in taken else camera
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

    def _make_room(self) -> None:
        """Under the lock: those that are over are let go where there are too many."""
        most = self._config.max_sources
        for id, source in list(self._sources.items()):
            if len(self._sources) + len(self._coming) < most:
                return
            if source.state(id).is_over:
                del self._sources[id]
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
