"""One model and its one worker thread; takes and questions take turns on it.

Everything that touches the model or a session runs on the worker, so neither needs a lock; whose
turn it is on it is known to `longtake.worker`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from longtake.answer import Answer
from longtake.asked import Asked
from longtake.asking import Asking
from longtake.memory.index import make_index
from longtake.memory.store import Store
from longtake.models.base import Adapter
from longtake.models.loader import load
from longtake.session import Session
from longtake.settings import TakeConfig
from longtake.speech import Speech
from longtake.take import Take
from longtake.worker import Busy as Busy
from longtake.worker import Worker

T = TypeVar("T")


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
        self._lock = threading.Lock()
        self._takes: list[Take] = []
        self._worker = Worker("longtake-engine")

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
        self._worker.stop()
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

    def run(self, job: Callable[[], T], of: Session | None = None, *, alone: bool = False) -> T:
        """Do ``job`` on the worker and wait for its result, as `Worker.run` says."""
        return self._worker.run(job, of, alone=alone)

    def ask(
        self,
        session: Session,
        asked: Asked,
        deadline_s: float | None,
        turns: Callable[[], Sequence[tuple[str, str]]],
        then: Callable[[Answer], None] | None,
    ) -> Asking:
        """Queue a question; ``turns`` gives its dialogue when its turn comes, and ``then`` is
        called with its answer, both on the worker."""
        speech = Speech(session, asked, deadline_s, turns, then)
        self._worker.speak(speech)
        return speech.asking

    def cancel(self, session: Session) -> int:
        """End all answers of a take with what there is; how many."""
        return self._worker.cancel(session)

    def questions_waiting(self, session: Session) -> int:
        """Of a take, that are not being answered yet."""
        return self._worker.waiting(session)

    def cut(self, session: Session) -> None:
        """On the worker: no answer of a take is being spoken any more."""
        self._worker.cut(session)

    def forget(self, take: Take) -> None:
        """A take has closed."""
        self._worker.leave(take)
        with self._lock:
            if take in self._takes:
                self._takes.remove(take)

    def wake(self) -> None:
        """A frame came, or a source ended."""
        self._worker.wake()

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
        with self._lock:
            self._takes.append(take)
        self._worker.join(take)
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
