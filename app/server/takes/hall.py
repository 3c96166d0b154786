"""The takes of a server, by id; bounded, opened and closed by whoever may.

What happens in one of them is known to `hosted`; who may come in, to `access`.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.server.config import ServeConfig
from longtake.server.takes.closing import SERVER_ENDING, TAKE_CLOSED
from longtake.server.takes.engines import Engines
from longtake.server.takes.hosted import Hosted
from longtake.server.takes.in_turn import in_turn
from longtake.server.takes.listeners import Listeners
from longtake.server.takes.places import Places
from longtake.server.takes.refusals import Ending, NoSuchTake, TakeExists, TooMany
from longtake.server.takes.uploads import Uploads
from longtake.server.takes.visitors import network_rules
from longtake.settings import TakeConfig
from longtake.streaming.passage_rules import Rules

if TYPE_CHECKING:
    from longtake.streaming.passage import Passage

THREADS = 4  # that sockets share, for pictures
MOST_EXPORTS = 2  # that lie on the disk at the same time
FIRST = "live"  # what a take is called where nobody names one
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Hall:
    """All methods may be called from any thread; `open`, `remove` and `close` may take long.  A
    context manager.

    Args:
        settings: of takes that are opened without their own.
        folder: where takes are kept that are opened without a memory of their own, each in a
            folder by its id; None: such takes last as long as they are open.

    Raises:
        ValueError: if `ServeConfig.allow_sources` holds something that cannot be allowed.
    """

    def __init__(
        self,
        engines: Engines,
        config: ServeConfig | None = None,
        *,
        settings: TakeConfig | None = None,
        folder: Path | None = None,
    ) -> None:
        self.config = ServeConfig() if config is None else config
        self.settings = TakeConfig() if settings is None else settings
        self.uploads = Uploads(self.config)
        self.threads = ThreadPoolExecutor(THREADS, "longtake-sockets")
        self.exports = Places(MOST_EXPORTS, "exports are made or sent")
        self.on_open: Listeners[Hosted] = Listeners()
        self._engines, self._folder = engines, folder
        self._lock = threading.Lock()
        self._takes: dict[str, Hosted] = {}
        self._opening: dict[str, str] = {}  # id -> model
        self._ending: set[str] = set()  # of those that are being closed
        self._sockets = 0
        self._rules = Rules(network_rules(self.config.allow_sources))
        self._passage: Passage | None = None
        self._held = ExitStack()  # what is closed last
        self._is_closed = False

    # ---------------------------------------------------------------- models

    @property
    def models(self) -> list[str]:
        """Names that may be opened; the first is the default."""
        return self._engines.models

    def model_state(self, model: str) -> str:
        """absent, loading, ready or failed.  Raises ValueError if there is no such model."""
        return self._engines.state(model)

    # ---------------------------------------------------------------- takes

    def open(
        self,
        id: str | None = None,
        *,
        model: str | None = None,
        settings: TakeConfig | None = None,
        memory: Path | None = None,
    ) -> Hosted:
        """Open a take; loads its model if need be.

        Args:
            id: 1 to 64 letters a-z, digits, - and _; None: a random one.
            model: one of `models`; None: the first.
            memory: its folder, which stays when the take is removed, unless it is forgotten.

        Raises:
            ValueError: if a value makes no sense.
            TakeExists: if a take of this id is open.
            TooMany: if as many takes, or models, are open as may be.
            ModelError, OSError: as `Engine` and `Engine.open`.
        """
        id = secrets.token_hex(8) if id is None else checked_id(id)
        name = self.models[0] if model is None else model
        settled = self.settings if settings is None else settings
        with self._place_for(id, name):
            engine = self._engines.lend(name)
            try:
                own = None if memory or self._folder is None else self._folder / id
                take = engine.open(memory or own, settled)
                hosted = Hosted(
                    id,
                    take,
                    model=name,
                    settings=settled,
                    config=self.config,
                    passage=self._the_passage,
                    folder=own,
                    exports=self.exports,
                )
                with self._lock:
                    is_late = self._is_closed
                    if not is_late:
                        self._takes[id] = hosted
                if is_late:
                    take.close()
                    raise Ending("this server is ending: no take is opened any more")
            except BaseException:
                self._engines.give_back(name)
                raise
        self.on_open.tell(hosted)
        return hosted

    def each(self, listener: Callable[[Hosted], object]) -> None:
        """Call it with every take: those that are open, and each that will be."""
        self.on_open.add(listener)
        for hosted in self.all():
            listener(hosted)

    def find(self, id: str | None) -> Hosted:
        """A take by its id; None: the only one, or `FIRST`.

        Raises:
            NoSuchTake: names those there are.
        """
        with self._lock:
            if id is None:
                id = next(iter(self._takes)) if len(self._takes) == 1 else FIRST
            if id in self._takes:
                return self._takes[id]
            known = ", ".join(self._takes) or "none"
            is_coming, is_going = id in self._opening, id in self._ending
        shown = id if _ID.fullmatch(id) else "of this name"
        if is_coming:
            raise NoSuchTake(f"take {shown}: is being opened; ask again in a moment")
        if is_going:
            raise NoSuchTake(f"take {shown}: is being closed; there is {known}")
        raise NoSuchTake(f"take {shown}: is not open; there is {known}")

    def all(self) -> list[Hosted]:
        """Those that are open, in the order in which they were opened."""
        with self._lock:
            return list(self._takes.values())

    @property
    def opening(self) -> dict[str, str]:
        """Ids of takes that are being opened, with their models."""
        with self._lock:
            return dict(self._opening)

    def remove(self, id: str, *, forget: bool = False) -> None:
        """Close a take.  Whoever looks at it is told, answers end with what there is.

        Args:
            forget: erase its memory, too.

        Raises:
            NoSuchTake: names those there are.
            OSError: if its memory could not be written, or erased; it is closed all the same.
        """
        with self._lock:
            hosted = self._takes.pop(id, None)
            if hosted is not None:
                self._ending.add(id)
        if hosted is None:
            self.find(id)  # says which there are
            raise NoSuchTake(f"take {id}: was opened again just now")
        ends: list[Callable[[], object]] = [lambda: hosted.close(TAKE_CLOSED, forget=forget)]
        if forget and (folder := hosted.folder) is not None:
            ends.append(lambda: shutil.rmtree(folder))
        try:
            in_turn(*ends)
        finally:
            self._engines.give_back(hosted.model)
            with self._lock:
                self._ending.discard(id)

    def announce(self) -> None:
        """The server is about to end: whoever looks at a take, or pushes, is told.  Nothing is
        closed yet, and nothing new is opened."""
        with self._lock:
            self._is_closed = True
        for hosted in self.all():
            hosted.announce(SERVER_ENDING)

    def close(self) -> None:
        """Close all takes, then the models, then what they shared.  May be called twice.

        Raises what the first that could not be closed well raised; all are closed.
        """
        self.announce()
        with self._lock:
            self._is_closed = True
            hosted = list(self._takes.values())
            self._takes.clear()
        for each in hosted:
            each.announce(SERVER_ENDING)
        in_turn(
            *(partial(each.close, SERVER_ENDING) for each in hosted),
            self._engines.close,
            self._held.close,
            self.uploads.close,
            lambda: self.threads.shutdown(wait=False, cancel_futures=True),
        )

    def __enter__(self) -> Hall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------- what all takes share

    @property
    def sockets(self) -> int:
        """WebSockets that are open."""
        return self._sockets

    @contextmanager
    def seat(self) -> Iterator[None]:
        """A place for one WebSocket.

        Raises:
            TooMany: if there are as many as may be.
        """
        with self._lock:
            if self._sockets >= self.config.max_sockets:
                raise TooMany(f"{self._sockets} sockets are open, as many as may be; come later")
            self._sockets += 1
        try:
            yield
        finally:
            with self._lock:
                self._sockets -= 1

    def _the_passage(self) -> Passage:
        """Through which visitors' addresses are reached; made when the first names one."""
        from longtake.streaming.passage import Passage

        with self._lock:
            if self._is_closed:
                raise Ending("this server is ending: nothing new is watched")
            if self._passage is None:
                self._passage = self._held.enter_context(Passage(self._rules))
            return self._passage

    @contextmanager
    def _place_for(self, id: str, model: str) -> Iterator[None]:
        """Nobody else opens a take of this id meanwhile, and there are not too many."""
        with self._lock:
            if self._is_closed:
                raise Ending("this server is ending: no take is opened any more")
            if id in self._takes or id in self._opening:
                raise TakeExists(f"take {id}: is open already; use it, or choose another id")
            if id in self._ending:
                raise TakeExists(f"take {id}: is being closed; try again in a moment")
            there = len(self._takes) + len(self._opening) + len(self._ending)
            if there >= self.config.max_takes:
                raise TooMany(
                    f"{self.config.max_takes} takes are open, as many as may be (--most-takes): "
                    "close one first",
                    retry_after_s=60.0,
                )
            self._opening[id] = model
        try:
            yield
        finally:
            with self._lock:
                del self._opening[id]


def checked_id(id: str) -> str:
    """Raises ValueError if this cannot be a take's id."""
    if not _ID.fullmatch(id):
        raise ValueError(
            f"take {id[:80]!r}: an id has 1 to 64 letters a-z, digits, - and _, and begins with a "
            "letter or a digit"
        )
    return id
