"""One model and its one worker thread; takes and questions take turns on it.

Questions go before frames; several takes go round.  Everything that touches the model or a
session runs on the worker, so neither needs a lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from longtake.answer import Answer
from longtake.answering import answer
from longtake.asked import Asked
from longtake.asking import Asking
from longtake.memory.index import make_index
from longtake.memory.store import Store
from longtake.models.base import Adapter
from longtake.models.loader import load
from longtake.session import Session
from longtake.settings import TakeConfig
from longtake.take import Take

MAX_WAITING = 64  # questions; other jobs have a caller each that waits for them

T = TypeVar("T")


class Busy(RuntimeError):
    """Too many questions wait; ask again later."""


class Engine:
    """Loads a model and runs takes on it.

    Args:
        model: ``embedded``, a folder, or a hub id; or an adapter that is loaded already.
        device, dtype, quantize, max_pixels: as `models.loader.load` takes them.

    Raises:
        ModelError: if the model cannot be used.
    """

    def __init__(
        self,
        model: str | Adapter = "embedded",
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantize: str = "none",
        max_pixels: int | None = None,
    ) -> None:
        if isinstance(model, str):
            model = load(
                model, device=device, dtype=dtype, quantize=quantize, max_pixels=max_pixels
            )
        self.adapter = model
        self._jobs: deque[Callable[[], None]] = deque()
        self._takes: deque[Take] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="longtake-engine", daemon=True)
        self._thread.start()

    def open(
        self,
        memory: str | os.PathLike[str] | None = None,
        config: TakeConfig | None = None,
        *,
        read_only: bool = False,
    ) -> Take:
        """A take whose memory is in the folder ``memory``, new or continued.

        Without a folder the memory lasts as long as the take.

        Args:
            read_only: ask and see nothing new; the folder is left as it is, and may lie on a
                disk that is full or cannot be written.

        Raises:
            WrongModel: if another model made that memory.
            MemoryInUse: if another process writes to it.
            OSError: if the folder cannot be used.
        """
        settled, folder = config or TakeConfig(), None if memory is None else Path(memory)
        return self.run(lambda: self._open(folder, settled, read_only))

    def close(self) -> None:
        """Close all takes, end the worker.  May be called twice.

        Raises what the first take that could not be closed well raised; all are closed.
        """
        first: BaseException | None = None
        for take in tuple(self._takes):
            try:
                take.close()
            except BaseException as error:
                first = first or error
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if first is not None:
            raise first

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- for takes

    def run(self, job: Callable[[], T]) -> T:
        """Do ``job`` on the worker and wait for its result."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        self._submit(do)
        return future.result()

    def ask(
        self,
        session: Session,
        asked: Asked,
        deadline_s: float | None,
        then: Callable[[Answer], None] | None,
    ) -> Asking:
        """Queue a question; ``then`` is called with its answer, on the worker."""
        asking = Asking()
        ends = None if deadline_s is None else time.monotonic() + deadline_s

        def left_s() -> float | None:
            return None if ends is None else max(0.0, ends - time.monotonic())

        def is_over() -> bool:
            return asking.is_cancelled or left_s() == 0

        asked = replace(asked, left_s=left_s)

        def do() -> None:
            try:
                session.refresh()
                pieces = answer(session, asked, time.monotonic, is_over)
                while True:
                    try:
                        asking.add(next(pieces))
                    except StopIteration as stop:
                        told: Answer = stop.value
                        break
                if then is not None:
                    then(told)
                asking.finish(told)
            except BaseException as error:
                asking.fail(error)

        self._submit(do, is_bounded=True)
        return asking

    def forget(self, take: Take) -> None:
        """A take has closed."""
        with self._changed:
            if take in self._takes:
                self._takes.remove(take)

    def wake(self) -> None:
        """A frame came, or a source ended."""
        with self._changed:
            self._changed.notify_all()

    # ---------------------------------------------------------------- the worker

    def _submit(self, job: Callable[[], None], is_bounded: bool = False) -> None:
        with self._changed:
            if self._closing:
                raise RuntimeError("this engine is closed")
            if is_bounded and len(self._jobs) >= MAX_WAITING:
                raise Busy(f"{MAX_WAITING} questions wait already; ask again later")
            self._jobs.append(job)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closing and not self._jobs:
                    return
                job = self._jobs.popleft() if self._jobs else None
            if job is not None:
                job()
                continue
            with self._changed:
                self._takes.rotate(-1)
                takes = tuple(self._takes)
            for take in takes:
                if self._work_on(take):
                    break

    def _work_on(self, take: Take) -> bool:
        """The worker outlives whatever goes wrong in a take."""
        try:
            return take.work()
        except BaseException as error:
            take.fail(error)
            return True

    def _has_work(self) -> bool:
        return bool(self._jobs) or self._closing or any(take.has_work for take in self._takes)

    def _open(self, folder: Path | None, config: TakeConfig, read_only: bool) -> Take:
        adapter = self.adapter
        store = Store.open(
            folder,
            model=adapter.name,
            fingerprint=adapter.fingerprint,
            config=config.memory,
            read_only=read_only,
            key_bias=adapter.key_bias(),
        )
        try:
            sizes = adapter.shape
            index = make_index(
                config.memory.index,
                layers=sizes.layers,
                width=sizes.kv_heads * sizes.head_dim,
                device=adapter.device,
                device_bytes=config.memory.index_device_bytes,
            )
            session = Session(adapter, store, index, config)
            take = Take(self, session, store, config.mailbox_frames)
            take.prepare()
        except BaseException:
            store.close()
            raise
        with self._changed:
            self._takes.append(take)
        return take


def open(
    model: str = "embedded",
    memory: str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    max_pixels: int | None = None,
    config: TakeConfig | None = None,
    **changes: object,
) -> Take:
    """Load a model and open one take on it; closing the take closes the engine too.

    Args:
        changes: fields of `TakeConfig`, such as ``fps=2`` or ``window_s=30``.

    Raises:
        TypeError: for a field that `TakeConfig` does not have.
        ModelError, OSError: as `Engine` and `Engine.open`.
    """
    settled = replace(config or TakeConfig(), **changes)  # type: ignore[arg-type]
    engine = Engine(model, device=device, dtype=dtype, quantize=quantize, max_pixels=max_pixels)
    try:
        take = engine.open(memory, settled)
    except BaseException:
        engine.close()
        raise
    take.own_engine()
    return take
