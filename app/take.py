"""What users hold: one stream and its memory.

Every verb may be called from any thread.  Frames wait in a bounded mailbox and questions in a
bounded queue; the engine's one worker turns to them, questions first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from longtake.answer import Answer
from longtake.answering import Asked, Select
from longtake.asking import Asking
from longtake.ledger import Ledger, identify
from longtake.models.decode import Decoding
from longtake.scope import When
from longtake.session import Session
from longtake.settings import Pace
from longtake.streaming.errors import BeyondEnd
from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox
from longtake.streaming.sources import Source, open_source
from longtake.watch import Watch

if TYPE_CHECKING:
    from longtake.engine import Engine
    from longtake.memory.store import Store


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a pushed frame."""

    accepted: bool
    reason: str  # '' where it was accepted
    lag_s: float  # how far the model is behind this frame


@dataclass(frozen=True, slots=True)
class TakeStats:
    """A take at one moment."""

    frames: int  # seen by the model
    chunks: int
    newest_s: float
    waiting: int  # frames in the mailbox
    dropped: Mapping[str, int]  # frames that were not seen, by reason
    window_tokens: int
    device_bytes: int  # sink and window
    ram_bytes: int
    disk_bytes: int


class Take:
    """Made by `Engine.open`; a context manager.  Closing writes the window to the memory."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        store: Store,
        mailbox_frames: int,
    ) -> None:
        self._engine, self._session, self._store = engine, session, store
        self._owns_engine = False
        self._lock = threading.Lock()
        self._closed = False
        self._mailbox = Mailbox(mailbox_frames, "wait", engine.wake)
        self._pushed = Mailbox(mailbox_frames, "newest", engine.wake)
        self._ledger = Ledger(store)
        self._watches: list[Watch] = []
        self._last_push_s = session.newest_s if session.chunks else float("-inf")
        self._rejected: dict[str, int] = {}
        self._conversations: dict[str, list[tuple[str, str]]] = {}

    # ---------------------------------------------------------------- frames come in

    def watch(
        self,
        address: str | os.PathLike[str],
        *,
        start_s: float = 0.0,
        stop_s: float | None = None,
    ) -> Watch:
        """Begin to read a file or folder; returns at once.

        A source that this memory has seen to its end is not read again: its watch is at its
        end at once.  One that was cut short goes on where it stopped.  A second source follows
        the first in session time (`Watch.offset_s`).

        Raises:
            SourceError: if it cannot be opened; says what is wrong and what to do.
        """
        self._check_open()
        identity = identify(os.fspath(address), start_s, stop_s)
        known = self._ledger.find(identity)
        offset_s = self._next_offset_s()
        if known is not None and not known.done and self._ledger.is_newest(known):
            offset_s = known.offset_s
            # The next tick of the sampler, less what rounding may take from a time stamp.
            next_s = self._session.newest_s - offset_s + 1 / self.pace.fps
            start_s = max(start_s, next_s - 0.001)
        try:
            source = self._open_source(address, start_s, stop_s)
        except BeyondEnd:
            if known is None or known.done:
                raise
            known = replace(known, done=True)  # it was cut just behind its last frame
            source = self._open_source(address, 0.0, stop_s)
        if known is not None and known.done:
            return Watch.of_known(source, self._mailbox, known)
        goes_on = known is not None and offset_s == known.offset_s
        watch = Watch(source, self._mailbox, identity, offset_s, self._engine.wake, goes_on)
        with self._lock:
            self._watches.append(watch)
        watch.start()
        return watch

    def _open_source(
        self, address: str | os.PathLike[str], start_s: float, stop_s: float | None
    ) -> Source:
        session = self._session
        return open_source(
            address,
            fps=self.pace.fps,
            start_s=start_s,
            stop_s=stop_s,
            max_side=max(session.adapter.frame_side, session.config.memory.thumbnail_px),
        )

    def push(
        self,
        image: NDArray[Any],
        pts_s: float,
        *,
        camera: str = "",
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one frame; never waits.  The image, uint8 RGB ``[H, W, 3]``, is copied.

        A full mailbox drops its oldest frame (counted); a time that is not later than the last
        one is refused.

        Raises:
            ValueError: if it is no picture or no time.
            RuntimeError: if the take is closed.
        """
        self._check_open()
        frame = Frame(pts_s, image.copy() if hasattr(image, "copy") else image, camera, wall_s)
        lag_s = max(0.0, pts_s - self._session.newest_s)
        with self._lock:
            if pts_s <= self._last_push_s:
                self._rejected["not later"] = self._rejected.get("not later", 0) + 1
                reason = f"pts_s={pts_s}: not later than {self._last_push_s}, the frame before"
                return Pushed(False, reason, lag_s)
            self._last_push_s = pts_s
            self._pushed.put(frame)
        return Pushed(True, "", lag_s)

    def drain(self) -> None:
        """Return when every frame received so far has been seen.  Questions may come first;
        without this they are answered as of the frames that were seen, and say how stale that is.
        """
        self._check_open()
        self._engine.run(self._work_off)

    # ---------------------------------------------------------------- questions

    def ask(self, question: str, **options: Any) -> Answer:
        """Ask and wait.  Options as in `submit`."""
        return self.submit(question, **options).result()

    def stream(self, question: str, **options: Any) -> Asking:
        """Ask, and iterate over pieces of the answer as they come; `result` is the whole."""
        return self.submit(question, **options)

    async def aask(self, question: str, **options: Any) -> Answer:
        """`ask` for coroutines."""
        import asyncio

        return await asyncio.to_thread(self.ask, question, **options)

    def submit(
        self,
        question: str,
        *,
        at_s: float | None = None,
        between_s: tuple[float, float] | None = None,
        top_k: int | None = None,
        decoding: Decoding | None = None,
        conversation: str | None = None,
        deadline_s: float | None = None,
        select: Select | None = None,
        with_window: bool = True,
    ) -> Asking:
        """Ask; returns at once.

        Args:
            at_s: answer as if later frames had not been seen.
            between_s: recall only from between these two session times.
            top_k: chunks that each layer recalls.
            decoding: greedy, or sampled with a seed.
            conversation: name of a dialogue that this question continues; the newest of at most
                16 conversations are kept.
            deadline_s: from now; what there is then is the answer, marked partial.
            select: in place of recall; given the scope and the number of layers, it returns the
                chunk numbers of each layer.  For comparisons, such as with the right chunks.
            with_window: False leaves the newest part of the stream out of the context.

        Raises:
            ValueError: if a value makes no sense.
            Busy: if too many questions wait already.
        """
        self._check_open()
        if not question.strip():
            raise ValueError("the question is empty: ask something")
        with self._lock:
            dialogue = tuple(self._conversations.get(conversation, ())) if conversation else ()
        asked = Asked(
            question=question,
            dialogue=dialogue,
            when=When(at_s=at_s, between_s=between_s),
            top_k=top_k,
            decoding=decoding,
            select=select,
            with_window=with_window,
            received_s=max(self._last_push_s, self._session.newest_s),
        )
        remember = None if conversation is None else _Remember(self, conversation)
        return self._engine.ask(self._session, asked, deadline_s, remember)

    def stats(self) -> TakeStats:
        """How the take stands.  Cheap; may be called at any time."""
        held, dropped = self._store.stats(), dict(self._rejected)
        for mailbox in (self._mailbox, self._pushed):
            for reason, count in mailbox.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        window = self._session.window
        return TakeStats(
            frames=self._session.frames,
            chunks=self._session.chunks,
            newest_s=self._session.newest_s,
            waiting=len(self._mailbox) + len(self._pushed),
            dropped=dropped,
            window_tokens=window.tokens,
            device_bytes=window.device_bytes,
            ram_bytes=held.ram_bytes,
            disk_bytes=held.disk_bytes,
        )

    @property
    def pace(self) -> Pace:
        """Rate, window and recall as they are in force."""
        return self._session.pace

    # ---------------------------------------------------------------- end

    def close(self) -> None:
        """Stop reading, see what waits, write the window to the memory.  May be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for watch in self._watches:
            watch.stop()
        self._mailbox.close()
        self._pushed.close()
        try:
            self._engine.run(self._end)
        finally:
            self._engine.forget(self)
            if self._owns_engine:
                self._engine.close()

    def own_engine(self) -> None:
        """From now on closing this take closes its engine too."""
        self._owns_engine = True

    def _end(self) -> None:
        """On the worker: everything that was accepted is seen, then written."""
        try:
            self._work_off()
            self._end_watches(self._watches, None)
            self._session.close()
        finally:
            self._store.close()

    def __enter__(self) -> Take:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- the worker's side

    @property
    def has_work(self) -> bool:
        """Takes no lock: the engine looks while it holds its own."""
        is_read = any(watch.is_read for watch in tuple(self._watches))
        return bool(len(self._mailbox) or len(self._pushed)) or is_read

    def _work_off(self) -> None:
        while self.work():
            pass

    def work(self) -> bool:
        """See some frames, or end a source that was read; False where nothing was to do."""
        read = self._read_watches()  # looked at first: what they put lies in the mailbox by now
        batch = self._session.config.batch_frames
        frames = self._mailbox.take(batch) or self._pushed.take(batch)
        try:
            if frames:
                self._session.see(frames)
                return True
            if read:
                self._session.flush()
                self._end_watches(read, None)
                return True
        except Exception as error:
            self._fail(error)
            return True
        return False

    def _read_watches(self) -> list[Watch]:
        with self._lock:
            return [watch for watch in self._watches if watch.is_read]

    def _end_watches(self, watches: list[Watch], error: BaseException | None) -> None:
        for watch in list(watches):
            with self._lock:
                self._watches.remove(watch)
            watch.mark_seen(error)
            self._ledger.record(watch.entry())

    def _next_offset_s(self) -> float:
        """Where the next source begins in session time: a step behind what was seen."""
        if not self._session.chunks:
            return 0.0
        return self._session.newest_s + 1 / self.pace.fps

    def _fail(self, error: Exception) -> None:
        """A frame could not be taken in: sources end, whoever waits for them is told."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.stop()
        self._mailbox.drop_all("failed")
        self._end_watches(watches, error)

    def _remember(self, conversation: str, question: str, answer: str) -> None:
        with self._lock:
            turns = self._conversations.pop(conversation, [])
            self._conversations[conversation] = [*turns, (question, answer)][-64:]
            while len(self._conversations) > 16:
                del self._conversations[next(iter(self._conversations))]

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this take is closed")


@dataclass(frozen=True, slots=True)
class _Remember:
    """Adds an answer to its conversation."""

    take: Take
    conversation: str

    def __call__(self, answer: Answer) -> None:
        self.take._remember(self.conversation, answer.question, answer.text)
