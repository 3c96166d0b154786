"""What users hold: one stream and its memory.

Every verb may be called from any thread.  Frames wait in a bounded mailbox and questions in a
bounded queue; the engine's one worker turns to them, questions first.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from longtake.admission import Wish, admit
from longtake.answer import Answer
from longtake.asked import Asked, Select
from longtake.asking import Asking
from longtake.dialogues import Dialogues
from longtake.inbox import FORGOTTEN, Inbox, Pushed
from longtake.ledger import Ledger
from longtake.models.base import Adapter
from longtake.models.decode import Decoding
from longtake.moments import Found, Picture
from longtake.narration.narrating import Narrating
from longtake.narration.narration import Narration
from longtake.narration.rules import RATIO, THRESHOLD
from longtake.narration.telling import REQUEST, Telling
from longtake.scope import When
from longtake.searching import pictures, search
from longtake.session import Session
from longtake.settings import Pace
from longtake.stats import TakeStats
from longtake.strategies.plans import Plans
from longtake.streaming.frame import Frame
from longtake.stretch import Stretch
from longtake.watch import Watch

if TYPE_CHECKING:
    from longtake.engine import Engine
    from longtake.memory.forgetting import Forgotten
    from longtake.memory.store import Store


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
        self._inbox = Inbox(mailbox_frames, engine.wake)
        self._ledger = Ledger(store)
        self._watches: list[Watch] = []
        self._last_stats: TakeStats | None = None
        self._has_ended = threading.Event()
        self._dialogues = Dialogues()
        self._narrating = Narrating(session)
        self._plans = Plans(session.config.recall, str(session.adapter.device))

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
        the first in session time (`Watch.offset_s`); one is watched at a time.

        Raises:
            SourceError: if it cannot be opened; says what is wrong and what to do.
            RuntimeError: if another source is still being watched, or the take is closed.
        """
        self._check_open()
        wish = Wish(address, start_s, stop_s)
        admitted = admit(wish, self._ledger, self._session, self._next_offset_s())
        if admitted.finished is not None:
            self._narrating.end()
            return Watch.of_known(admitted.source, self._inbox.read, admitted.finished)
        watch = Watch(admitted, self._inbox.read, self._engine.wake)
        try:
            with self._lock:
                self._check_open()
                self._check_alone()
                self._ledger.record(watch.entry())  # from here on a crash loses no place
                self._watches.append(watch)
        except BaseException:
            admitted.source.close()
            raise
        watch.start()
        return watch

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
        one is refused.  Where the model failed on earlier frames, the next push is refused with
        the reason, once.

        Raises:
            ValueError: if it is no picture or no time.
            RuntimeError: if the take is closed.
        """
        self._check_open()
        frame = Frame(pts_s, image.copy() if hasattr(image, "copy") else image, camera, wall_s)
        if pts_s < 0:
            raise ValueError(f"pts_s={pts_s}: session time counts from 0 s")
        lag_s = max(0.0, pts_s - self._session.newest_s)
        return self._inbox.push(frame, self._newest_received_s(), lag_s)

    def _newest_received_s(self) -> float:
        """Session time of the newest frame that has come, seen or not; -inf before the first."""
        read = [w.newest_s for w in tuple(self._watches) if w.newest_s is not None]
        seen = [] if self._session.seen_s is None else [self._session.seen_s]
        return max((self._inbox.newest_push_s, *read, *seen))

    def drain(self) -> None:
        """Return when every frame received so far has been seen (or dropped, counted).

        Questions may come between; without this they are answered as of the frames that were
        seen, and say how stale that is.

        Raises what went wrong with a pushed frame.
        """
        self._check_open()
        received = self._inbox.received()
        while not self._inbox.has_handed_on(received):
            self._engine.run(self.work)
        self._engine.run(lambda: None)  # what was taken last is seen when the worker is free
        failure = self._inbox.pop_failure()
        if failure is not None:
            raise failure

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

        asking = self.submit(question, **options)
        try:
            return await asyncio.to_thread(asking.result)
        except asyncio.CancelledError:
            asking.cancel()
            raise

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
        select_by: str | None = None,
        recall: str | None = None,
        recall_tokens: int | None = None,
        scores: str | None = None,
        diversity_s: float | None = None,
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
            select_by: how layers choose what they recall, ``dependent`` or ``blind``; None: as
                the take's config or the model's recipe says.
            recall: who chooses, such as ``model,recent:4`` (docs/recall.md).
            recall_tokens: what all of them may bring together.
            scores: that the model's own recall ranks chunks by, ``plain``, ``centred`` or
                ``centred:N``; None: as the take's config says.
            diversity_s: chunks that begin this near a better one are recalled last.
            select: in place of recall; given the scope and the number of layers, it returns the
                chunk numbers of each layer.  For comparisons, such as with the right chunks.
            with_window: False leaves the newest part of the stream out of the context.

        Raises:
            ValueError: if a value makes no sense.
            Busy: if too many questions wait already.
        """
        self._check_open()
        if deadline_s is not None and not deadline_s >= 0:
            raise ValueError(f"deadline_s={deadline_s}: must be 0 s or more")
        asked = Asked(
            question=question,
            dialogue=self._dialogues.turns(conversation),
            when=When(at_s=at_s, between_s=between_s),
            top_k=top_k,
            decoding=decoding,
            select_by=select_by,
            plan=self._plans.find(recall),
            recall_tokens=(
                self._session.config.recall_tokens if recall_tokens is None else recall_tokens
            ),
            scores=scores,
            diversity_s=diversity_s,
            select=select,
            with_window=with_window,
            received_s=max(0.0, self._newest_received_s()),
        )
        remember = None if conversation is None else _Remember(self._dialogues, conversation)
        return self._engine.ask(self._session, asked, deadline_s, remember)

    def prepare(self) -> None:
        """Load what the config's plan of recall needs, so that what is wrong with it is told now.

        Raises:
            ModelError: if a text-image model of it cannot be used.
        """
        self._plans.prepare()

    # ---------------------------------------------------------------- the past, without a question

    def search(
        self, text: str, top: int = 10, between_s: tuple[float, float] | None = None
    ) -> list[Found]:
        """Moments that fit these words, best first; nothing is answered.

        By the model's own recall, and by captions that hold all of the words; each moment says
        by which.  Waits for its turn as a question does.

        Args:
            top: at most so many.
            between_s: look only between these two session times.

        Raises:
            ValueError: if there is nothing to look for, or a value makes no sense.
        """
        self._check_open()
        return self._engine.run(lambda: search(self._current(), text, top, between_s))

    def frames(self, start_s: float, end_s: float) -> list[Picture]:
        """What is shown of the chunks that touch a span, in time order: pictures and captions,
        also of those that are too old to be recalled.

        Raises:
            ValueError: if these are not two times in order.
        """
        self._check_open()
        return self._engine.run(lambda: pictures(self._current(), start_s, end_s))

    def keep(self, start_s: float, end_s: float) -> int:
        """Never let a span grow too old: its chunks stay as they are, also those still to come.

        Returns:
            How many chunks there are of it now.

        Raises:
            ValueError: if these are not two times in order.
            OSError: if the memory cannot be written.
        """
        self._check_open()
        return self._store.keep(start_s, end_s)

    def release(self, start_s: float, end_s: float) -> None:
        """Take `keep` back for a span.  Raises as it does."""
        self._check_open()
        self._store.release(start_s, end_s)

    def forget(self, start_s: float, end_s: float, *, camera: str | None = None) -> Forgotten:
        """Forget a span for good: when it returns, no tier holds anything of it.

        Chunks that touch the span leave the device, RAM and disk, with search vectors, pictures,
        captions and lines that nobody has taken yet.  Frames of it that were received and not
        seen are dropped, counted as ``forgotten``, and not seen when a file is read again.  All
        conversations are forgotten too, for answers may tell of it.  What was handed out, answers
        and lines, is yours.

        Chunks behind the span stay as they are: they were computed while what is forgotten
        could be attended to, so traces of its meaning may be in their keys and values, and they
        are not computed anew.  In mode streamingvlm previous text and rounds begin anew.

        Args:
            camera: only what this one saw; None: all.

        Raises:
            ValueError: if these are not two times in order.
            OSError: if the disk failed, or a reader kept a file in use: forget it again.
        """
        self._check_open()
        stretch = Stretch(start_s, end_s, camera)
        return self._engine.run(lambda: self._forget(stretch))

    def _forget(self, stretch: Stretch) -> Forgotten:
        """On the worker; the disk last, since it alone can fail."""
        self._narrating.forget(stretch.start_s, stretch.end_s)
        self._dialogues.clear()
        self._plans.forget(self._session.touching(stretch))
        received_s = self._newest_received_s()
        self._inbox.forget(stretch.has)
        return self._session.forget(stretch, received_s)

    def _current(self) -> Session:
        self._session.refresh()
        return self._session

    # ---------------------------------------------------------------- lines

    def narrate(
        self,
        request: str = REQUEST,
        *,
        every_s: float = 1.0,
        rule: str | None = None,
        ratio: float = RATIO,
        threshold: float = THRESHOLD,
        decoding: Decoding | None = None,
    ) -> Narration:
        """Lines about what is seen from now on, as it is seen; returns at once.

        Begin it before the source is watched or frames are pushed: it ends when every source that
        was being watched has ended, with the take, or with `Narration.close`.

        Args:
            request: what the lines are to be about.
            every_s: seconds of stream from one moment to the next, at least a step's.
            rule: when something is said: ``livestar``, ``silence`` or ``always``
                (docs/narration.md); None: livestar, and always in mode streamingvlm.
            ratio: of livestar: how far a line's perplexity may rise.
            threshold: of silence: a probability of silence from which nothing is said.
            decoding: None: the take's, and that of its paper in mode streamingvlm.

        Raises:
            ValueError: if a value makes no sense.
            RuntimeError: if this take is being narrated already, or is closed.
        """
        self._check_open()
        telling = Telling(
            request=request,
            every_s=every_s,
            rule=rule,
            ratio=ratio,
            threshold=threshold,
            decoding=decoding,
        )
        return self._engine.run(lambda: self._narrating.begin(telling))

    def stats(self) -> TakeStats:
        """How the take stands; after closing, how it stood then."""
        if self._last_stats is not None:
            return self._last_stats
        held = self._store.stats()
        window = self._session.window
        dropped = Counter(self._inbox.dropped)
        dropped += Counter({FORGOTTEN: self._session.forgotten_frames})
        return TakeStats(
            frames=self._session.frames,
            chunks=self._session.chunks,
            newest_s=self._session.newest_s,
            waiting=len(self._inbox),
            dropped=dict(dropped),
            window_tokens=window.tokens,
            device_bytes=window.device_bytes,
            index_bytes=self._session.index.nbytes,
            ram_bytes=held.ram_bytes,
            disk_bytes=held.disk_bytes,
            corrupt=held.corrupt,
            rungs=self._store.rungs(),
            gaps=tuple(self._store.gaps()),
            kept=tuple(self._store.kept()),
            queue_bytes=held.queued_bytes,
            refused=held.refused,
            degraded=held.degraded,
        )

    @property
    def adapter(self) -> Adapter:
        """The model that watches; not to be changed."""
        return self._session.adapter

    @property
    def pace(self) -> Pace:
        """Rate, window and recall as they are in force."""
        return self._session.pace

    # ---------------------------------------------------------------- end

    def close(self) -> None:
        """Stop reading, see what waits, write the window to the memory.  May be called twice:
        a second call waits for the first."""
        with self._lock:
            is_first, self._closed = not self._closed, True
        if not is_first:
            self._has_ended.wait()
            return
        try:
            for watch in tuple(self._watches):
                watch.stop()
        finally:
            self._inbox.close()
            try:
                self._engine.run(self._end)
            finally:
                self._engine.forget(self)
                self._has_ended.set()
                if self._owns_engine:
                    self._engine.close()

    def own_engine(self) -> None:
        """From now on closing this take closes its engine too."""
        self._owns_engine = True

    def _end(self) -> None:
        """On the worker: everything that was accepted is seen, then written."""
        try:
            while self.work():
                pass
            self._end_watches(self._watches, None)
            self._session.close()
        except Exception as error:
            self._narrating.fail(error)
            raise
        finally:
            self._narrating.close()
            self._last_stats = self.stats()
            self._store.close()

    def __enter__(self) -> Take:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is KeyboardInterrupt:  # what was read of a file can be read again
            self._inbox.read.drop_all("interrupted")
        self.close()

    # ---------------------------------------------------------------- the worker's side

    @property
    def has_work(self) -> bool:
        """Takes no lock: the engine looks while it holds its own."""
        is_read = any(watch.is_read for watch in tuple(self._watches))
        return bool(len(self._inbox)) or is_read

    def work(self) -> bool:
        """See some frames, or end a source that was read; False where nothing was to do."""
        read = self._read_watches()  # looked at first: what they put lies in the mailbox by now
        batch = self._session.config.batch_frames
        frames = self._inbox.take(batch)
        try:
            if frames:
                self._session.see(frames)
                return True
            if read:
                for watch in read:
                    if watch.is_cut:  # half a step of it is read again
                        self._session.drop_waiting(watch.offset_s)
                self._session.flush()
                self._session.save()
                self._end_watches(read, None)
                return True
        except Exception as error:
            self.fail(error, len(frames))
            return True
        return False

    def _read_watches(self) -> list[Watch]:
        with self._lock:
            return [watch for watch in self._watches if watch.is_read]

    def _end_watches(self, watches: list[Watch], error: BaseException | None) -> None:
        seen_s = float("-inf") if self._session.seen_s is None else self._session.seen_s
        for watch in tuple(watches):
            watch.end(seen_s, error)
            try:
                self._ledger.record(watch.entry())
            finally:
                with self._lock:
                    self._watches.remove(watch)
                watch.release()
        if watches and not self._watches:
            self._narrating.end()

    def _next_offset_s(self) -> float:
        """Where the next source begins in session time: a step behind what was seen."""
        newest_s = self._newest_received_s()
        return max(0.0, newest_s + 1 / self.pace.fps)

    def fail(self, error: BaseException, frames: int = 0) -> None:
        """Frames could not be taken in: sources end, and whoever waits, or pushes, is told."""
        self._narrating.fail(error)
        with self._lock:
            watches = list(self._watches)
        self._inbox.lose("failed", frames)
        if not watches:
            self._inbox.fail_pushes(error)
        for watch in watches:
            watch.stop()
        self._inbox.read.drop_all("failed")
        try:
            self._end_watches(watches, error)
        except Exception:  # the memory is what failed; that is told already
            for watch in watches:
                watch.release()

    def _check_alone(self) -> None:
        if self._watches:
            raise RuntimeError(
                f"{self._watches[0].address} is still being watched: wait() for it, or open "
                "another take for a second source"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this take is closed")


@dataclass(frozen=True, slots=True)
class _Remember:
    """Adds an answer to its conversation."""

    dialogues: Dialogues
    conversation: str

    def __call__(self, answer: Answer) -> None:
        if answer.partial and not answer.text:
            return  # cancelled before it said anything
        self.dialogues.add(self.conversation, answer.question, answer.text)
