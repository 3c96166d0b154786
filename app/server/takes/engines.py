"""The models that a server may run: each loaded when it is first wanted, so many at the same time.

Names that the operator gave are the only ones; what is opened on an engine is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from longtake.engine import Engine
from longtake.server.takes.refusals import Ending, TooMany

ABSENT, LOADING, READY, FAILED = "absent", "loading", "ready", "failed"


class Engines:
    """All methods may be called from any thread; `lend` and `close` may take long.

    Args:
        models: names as `Engine` takes them; the first is the default.
        most: loaded at the same time.  Where one more is wanted, one on which no take is open
            is unloaded for it.
        load: makes an engine of a name.

    Raises:
        ValueError: if there is no name.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        most: int = 1,
        load: Callable[[str], Engine] = Engine,
    ) -> None:
        if not models:
            raise ValueError("models: is empty; a server needs at least one")
        self._most, self._load = most, load
        self._places = {name: _Place() for name in models}
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def models(self) -> list[str]:
        """Names that may be lent; the first is the default."""
        return list(self._places)

    def state(self, model: str) -> str:
        """absent, loading, ready or failed."""
        return self._place(model).state

    def lend(self, model: str) -> Engine:
        """The engine of this model, loaded if need be; to be given back.

        Raises:
            ValueError: if there is no model of this name.
            TooMany: if as many as may be are in use.
            ModelError: if it cannot be loaded; the next one who asks tries again.
        """
        place = self._place(model)
        with self._lock:
            if self._is_closed:
                raise Ending("this server is ending: no take is opened any more")
            unused = self._make_room(model)
            place.users += 1
        try:
            for engine in unused:
                engine.close()
            engine = place.loaded(lambda: self._load(model))
            self._check_open(place)
            return engine
        except BaseException:
            self.give_back(model)
            raise

    def give_back(self, model: str) -> None:
        """Nobody who was lent it needs it any more; it stays loaded while there is room."""
        with self._lock:
            self._place(model).users -= 1

    def close(self) -> None:
        """Close all engines, with the takes on them.  May be called twice.

        Raises what the first that could not be closed well raised; all are closed.
        """
        with self._lock:
            self._is_closed = True
            engines = [place.let_go() for place in self._places.values()]
        first: Exception | None = None
        for engine in engines:
            try:
                if engine is not None:
                    engine.close()
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def _check_open(self, place: _Place) -> None:
        """What was being loaded while all were closed is closed too."""
        with self._lock:
            late = place.let_go() if self._is_closed else None
            is_closed = self._is_closed
        if late is not None:
            late.close()
        if is_closed:
            raise Ending("this server is ending: no take is opened any more")

    def _place(self, model: str) -> _Place:
        try:
            return self._places[model]
        except KeyError:
            known = ", ".join(self._places)
            raise ValueError(f"model={model!r}: this server has {known}") from None

    def _make_room(self, model: str) -> list[Engine]:
        """Under the lock: engines that nobody uses and that give way to this one."""
        if self._places[model].is_taken:
            return []
        taken = [place for place in self._places.values() if place.is_taken]
        if len(taken) < self._most:
            return []
        for place in taken:
            if not place.users and (engine := place.let_go()) is not None:
                return [engine]
        used = ", ".join(name for name, place in self._places.items() if place.users)
        raise TooMany(
            f"model={model!r}: takes are open on {used}, and at most {self._most} may be loaded "
            "(--most-models): close those takes, or use one of these",
            retry_after_s=60.0,
        )


class _Place:
    """Of one model."""

    def __init__(self) -> None:
        self.users, self.state = 0, ABSENT
        self._engine: Engine | None = None
        self._loading = threading.Lock()

    @property
    def is_taken(self) -> bool:
        return self.users > 0 or self._engine is not None

    def loaded(self, load: Callable[[], Engine]) -> Engine:
        """One who comes while it is being loaded waits for that."""
        with self._loading:
            if self._engine is None:
                self.state = LOADING
                try:
                    self._engine = load()
                finally:
                    self.state = FAILED if self._engine is None else READY
            return self._engine

    def let_go(self) -> Engine | None:
        """The engine, which is then no more here."""
        engine, self._engine = self._engine, None
        if engine is not None:
            self.state = ABSENT
        return engine
