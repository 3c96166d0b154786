"""What users hold: one stream and its memory.

Every verb may be called from any thread.  Frames wait in a bounded mailbox and questions in a
bounded queue; the engine's one worker turns to them, questions first.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from longtake.admission import Wish, admit
from longtake.alerts.alert import Alert
from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.alerts import Alerts
from longtake.alerts.event import AlertEvent
from longtake.answer import Answer
from longtake.answering import check_room
from longtake.asked import Asked, Select
from longtake.asking import Asking
from longtake.cameras import Cameras
from longtake.dialogues import Dialogues, checked_dialogue
from longtake.holding import Held
from longtake.inbox import FORGOTTEN, Inbox, Pushed
from longtake.ledger import Ledger
from longtake.live_watch import Ears, LiveWatch
from longtake.memory.album import Caption
from longtake.memory.events import Event
from longtake.memory.intake import check_camera
from longtake.models.base import Adapter
from longtake.models.decode import Decoding
from longtake.moments import Found, Picture
from longtake.narration.narrating import Narrating
from longtake.narration.narration import Narration
from longtake.narration.rules import RATIO, THRESHOLD
from longtake.narration.telling import REQUEST, Telling
from longtake.overview import Overview
from longtake.pushing import Image, Pushing
from longtake.scope import When
from longtake.searching import search
from longtake.seeing import Follower, Seeing
from longtake.session import Session
from longtake.session_time import SessionTime
from longtake.settings import Pace
from longtake.stats import TakeStats
from longtake.strategies.plans import Plans
from longtake.streaming.addresses import parse_address
from longtake.streaming.capture import Outage
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import redact
from longtake.streaming.frame import Frame
from longtake.streaming.masks import Mask, checked_masks
from longtake.streaming.sources import is_camera
from longtake.stretch import Stretch
from longtake.watch import Watch
from longtake.wording import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from longtake.engine import Engine
    from longtake.memory.exporting import Exported
    from longtake.memory.forgetting import Forgotten
    from longtake.memory.store import Store

_log = logging.getLogger(__name__)


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
        self._masks: tuple[Mask, ...] = ()
        self._dialogues = Dialogues()
        self._narrating = Narrating(session)
        self._plans = Plans(session.config.recall, str(session.adapter.device))
        self._inbox = Inbox(
            mailbox_frames,
            engine.wake,
            push_fps=session.pace.fps,
            after_s=float("-inf") if session.seen_s is None else session.seen_s,
        )
        self._cameras = Cameras(self._inbox)
        self._ledger = Ledger(store)
        self._overview = Overview(session, store, lambda: self.now_s)
        self._alerts = Alerts(session, session.log)
        followers: list[Follower] = [self._narrating, self._alerts]
        self._seeing = Seeing(session, self._inbox, self._ledger, followers, self._miss)
        self._time = SessionTime(session, self._inbox, self._seeing)
        self._pushing = Pushing(session, self._inbox, self._seeing, self._time, lambda: self.masks)
        self._last_stats: TakeStats | None = None
        self._has_ended = threading.Event()

    # ---------------------------------------------------------------- frames come in

    def watch(
        self,
        address: str | os.PathLike[str],
        *,
        camera: str = "",
        start_s: float = 0.0,
        stop_s: float | None = None,
        capture: CaptureConfig | None = None,
    ) -> Watch | LiveWatch:
        """Begin to watch a file, a folder, a camera or a stream; returns at once.

        A *file* that this memory has seen to its end is not read again: its watch is at its
        end at once.  One that was cut short goes on where it stopped.  A second source follows
        the first in session time (`Watch.offset_s`); one is watched at a time.

        A *camera* (docs/live.md) is watched until it is stopped, over lost connections too, and
        several are at once, each under a name of its own; the newest frame wins.  What is wrong
        with it is told by its `state`, and does not raise here.

        Args:
            address: a path, ``-``, ``webcam:0``, ``/dev/video0``, ``rtsp://``, ``http://``,
                ``udp://``.
            camera: its name, in evidence and to look at it.
            start_s: of a file: where to begin, in its own time.
            stop_s: of a file: before which time to end.
            capture: how a camera is opened, drained and sampled; None: as the take's config says.

        Raises:
            SourceError: if it is a file that cannot be opened, or no address at all; says what
                is wrong and what to do.
            ValueError: if a camera is to begin or end at a time, or its name is too long.
            RuntimeError: if another source is still being watched that it cannot go beside, or
                the take is closed, or only read.
        """
        self._check_writes()
        check_camera(camera)
        config = self._session.config.capture if capture is None else capture
        self._seeing.await_stopped()
        if is_camera(os.fspath(address), config):
            if start_s or stop_s is not None:
                raise ValueError(
                    f"start_s={start_s:g}, stop_s={stop_s}: bound a file; a camera is watched "
                    "until it is stopped"
                )
            return self._watch_live(os.fspath(address), camera, config)
        return self._watch_file(Wish(address, start_s, stop_s, config), camera, config)

    def _watch_file(self, wish: Wish, camera: str, config: CaptureConfig) -> Watch:
        address = redact(os.fspath(wish.address))
        self._seeing.check_alone(address)
        self._time.check_quiet(address)
        admitted = admit(wish, self._ledger, self._session, self._time.next_offset_s)
        if admitted.finished is not None:
            self._seeing.nothing_new()
            return Watch.of_known(admitted.source, self._inbox.read, admitted.finished)
        box = self._inbox.add(1) if config.policy == "newest" else self._inbox.read
        watch = Watch(
            admitted,
            box,
            self._engine.wake,
            camera=camera,
            masks=lambda: (*config.masks, *self._masks),
        )
        try:
            with self._lock:
                self._check_open()
                self._time.make_way(address)
                self._seeing.add(watch)
        except BaseException:
            self._inbox.remove(box)
            admitted.source.close()
            raise
        watch.start()
        return watch

    def _watch_live(self, address: str, camera: str, config: CaptureConfig) -> LiveWatch:
        session = self._session
        with self._lock:
            self._check_open()
            self._time.run_for_camera()
            capacity = session.config.mailbox_frames if config.policy == "every" else 1
            watch = LiveWatch(
                parse_address(address, config.allow),
                config,
                masks=lambda: (*config.masks, *self._masks),
                camera=camera,
                fps=self.pace.fps,
                max_side=max(session.adapter.frame_side, session.config.memory.thumbnail_px),
                mailbox=self._inbox.add(capacity),
                session_s=self._time.session_s,
                ears=Ears(on_outage=self._seeing.note_outage, on_end=self._engine.wake),
            )
            try:
                self._seeing.add(watch)
            except BaseException:
                self._inbox.remove(watch.mailbox)
                raise
            self._cameras.add(watch)
        watch.start()
        return watch

    def push(
        self,
        image: Image,
        pts_s: float | None = None,
        *,
        age_s: float = 0.0,
        camera: str = "",
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one frame; never waits.  The image, uint8 RGB ``[H, W, 3]``, is copied; bytes of
        a JPEG or PNG are decoded, at most 50 megapixels of them, if the frame is taken in.

        Every camera has a mailbox of its own; full, its oldest frame gives way (counted).  A time
        that is not later than its last one is refused.  Where the model failed on earlier frames,
        the next push is refused with the reason, once.

        By the policy of the take's `CaptureConfig` all that come are taken, or the newest: then a
        camera's newest frame alone waits, and of those that come faster than the take's rate only
        so many are taken; the others are refused, ``not sampled``, without being copied.  ``auto``
        takes all frames that have a ``pts_s``, as it does those of files, and the newest of those
        that have none, as it does those of cameras.

        Without ``pts_s`` it was taken ``age_s`` seconds ago, in session time that runs with the
        clock (`now_s`): that of cameras that are watched, else begun by the first such frame,
        behind what was seen; all cameras share it until the take closes.  A file and such frames
        cannot go side by side: while one is read these are refused, and none is read before there
        were none of them for 5 seconds.  Where time runs with the clock a ``pts_s`` more than a
        second ahead of it is refused.

        Raises:
            ValueError: if it is no picture or no time; it does not count as received.
            RuntimeError: if the take is closed, or only read.
        """
        self._check_writes()
        return self._pushing.push(image, pts_s, age_s, camera, wall_s)

    @property
    def now_s(self) -> float:
        """Session time of this moment where it runs with the clock: while cameras are watched, or
        frames are pushed without a time.  Else of the newest frame."""
        return self._time.now_s

    @property
    def masks(self) -> tuple[Mask, ...]:
        """Those of the take's settings, and behind them those of `mask`."""
        return (*self._session.config.capture.masks, *self._masks)

    def mask(self, masks: Sequence[Mask]) -> None:
        """Black these out from the next frame on, of cameras, files and pushed frames alike.

        They take the place of those that were given here before.  What settings mask, of the take
        or of `watch`, stays masked.

        Raises:
            ValueError: if there are too many.
            RuntimeError: if the take is closed, or only read.
        """
        self._check_writes()
        self._masks = checked_masks(masks)

    def drain(self) -> None:
        """Return when every frame received so far has been seen (or dropped, counted).

        Questions may come between; without this they are answered as of the frames that were
        seen, and say how stale that is.

        Raises what went wrong with a pushed frame.
        """
        self._check_open()
        received = self._inbox.received()
        while not self._inbox.has_handed_on(received):
            self._engine.run(self._seeing.work)
        self._engine.run(self._seeing.finish_batch)
        failure = self._inbox.pop_failure()
        if failure is not None:
            raise failure

    # ---------------------------------------------------------------- looking at a camera

    def read(self, camera: str = "", *, timeout_s: float | None = None) -> Frame:
        """The next frame that a camera shows, whatever the model sees of it.

        Args:
            camera: its name; not needed where there is one alone.
            timeout_s: None: as long as the camera is watched.

        Raises:
            StaleFrame: (a TimeoutError) if none comes in time, or none will.
            ValueError: if there is no such camera.
        """
        return self._cameras.read(camera, timeout_s)

    def async_read(self, camera: str = "", *, timeout_ms: float = 200.0) -> Frame:
        """The newest frame that was not read before; waits for one where there is none.

        Raises as `read` does.
        """
        return self._cameras.async_read(camera, timeout_ms)

    def read_latest(self, camera: str = "", *, max_age_ms: float = 500.0) -> Frame:
        """The newest frame, at once; may be one that was read before.

        Raises:
            StaleFrame: (a TimeoutError) if it came longer ago than ``max_age_ms``.
            ValueError: if there is no such camera.
        """
        return self._cameras.read_latest(camera, max_age_ms)

    # ---------------------------------------------------------------- questions

    def ask(self, question: str, **options: Any) -> Answer:
        """Ask and wait.  Options as in `submit`."""
        return self.submit(question, **options).result()

    def cancel(self) -> int:
        """End every answer that is being spoken or waits, with what there is, as partial.

        Returns:
            How many.
        """
        return self._engine.cancel(self._session)

    @property
    def questions_waiting(self) -> int:
        """How many questions are not being answered yet."""
        return self._engine.questions_waiting(self._session)

    def stream(self, question: str, **options: Any) -> Asking:
        """Ask, and iterate over pieces of the answer as they come; `result` is the whole."""
        return self.submit(question, **options)

    async def aask(self, question: str, **options: Any) -> Answer:
        """`ask` for coroutines; no thread waits.  Cancelling the task cancels the answer."""
        asking = self.submit(question, **options)
        try:
            return await asking.aresult()
        finally:
            asking.cancel()  # where it is there already, nothing comes of it

    async def astream(self, question: str, **options: Any) -> AsyncIterator[str]:
        """`stream` for coroutines: pieces as they come.  Leaving early cancels the answer."""
        asking = self.submit(question, **options)
        try:
            async for piece in asking:
                yield piece
        finally:
            asking.cancel()

    def submit(
        self,
        question: str,
        *,
        at_s: float | None = None,
        between_s: tuple[float, float] | None = None,
        choices: Sequence[str] = (),
        top_k: int | None = None,
        decoding: Decoding | None = None,
        conversation: str | None = None,
        dialogue: Sequence[tuple[str, str]] | None = None,
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
            choices: the answer is exactly one of these, the most probable by its whole text;
                `Answer.choices` has the probabilities.
            top_k: chunks that each layer recalls.
            decoding: greedy, or sampled with a seed.
            conversation: name of a dialogue that this question continues; the newest of at most
                16 conversations are kept.
            dialogue: earlier questions and answers, oldest first, in place of a conversation; as
                many of the newest as fit are read (``dialogue_tokens``), and none is kept.
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
            ValueError: if a value makes no sense, or both conversation and dialogue are given.
            Busy: if too many questions wait already.
        """
        self._check_open()
        if deadline_s is not None and not deadline_s >= 0:
            raise ValueError(f"deadline_s={deadline_s}: must be 0 s or more")
        asked = Asked(
            question=question,
            when=When(at_s=at_s, between_s=between_s),
            choices=tuple(choices),
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
            newest_received_s=lambda: self._time.newest_received_s,
        )
        if dialogue is not None and conversation is not None:
            raise ValueError("conversation and dialogue: give one, what was said is in either")
        given = None if dialogue is None else checked_dialogue(dialogue)
        remember = None if conversation is None else _Remember(self._dialogues, conversation)
        return self._engine.ask(
            self._session,
            asked,
            deadline_s,
            lambda: self._dialogues.turns(conversation) if given is None else given,
            remember,
        )

    def check_room(self, question: str, decoding: Decoding | None = None) -> None:
        """Whether question and answer fit into the model, before the question's turn has come.

        Raises:
            ValueError: if not; says how long they are.
        """
        check_room(self._session, question, decoding)

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

    def frames(self, start_s: float, end_s: float, most: int | None = None) -> list[Picture]:
        """What is shown of the chunks that touch a span, in time order: pictures and captions,
        also of those that are too old to be recalled.  Waits for nobody's turn.

        Args:
            most: only so many of them, evenly spread; None: all.

        Raises:
            ValueError: if these are not two times in order, or ``most`` is no number.
        """
        self._check_open()
        return self._overview.frames(start_s, end_s, most)

    def picture(self, number: int) -> Picture | None:
        """What is shown of one chunk, by its number; None if there is none, or no more.  Its
        ``jpeg`` is None where it has no picture."""
        self._check_open()
        return self._overview.picture(number)

    def picture_at(self, at_s: float, camera: str | None = None) -> Picture | None:
        """What is shown of the chunk nearest to a time that has a picture, of equally near ones
        the oldest; None where there is none at all.

        Args:
            camera: of this one alone; None: of all.

        Raises:
            ValueError: if it is no time.
        """
        self._check_open()
        return self._overview.picture_at(at_s, camera)

    def scenes(self, start_s: float = 0.0, end_s: float = math.inf, most: int = 200) -> list[float]:
        """Times at which what a camera shows changes much, at most so many, in order; where there
        are more, those of the greatest changes.

        Pictures of chunks are compared, of a long span at most 2,000 of them, evenly spread.  They
        are decoded once, the first time for a second of them; asked again it takes milliseconds.

        Raises:
            ValueError: if these are not two times in order, or ``most`` is no number.
        """
        self._check_open()
        return self._overview.scenes(start_s, end_s, most)

    def held(self, start_s: float = 0.0, end_s: float = math.inf, most: int = 600) -> list[Held]:
        """Where the chunks that touch a span lie, as runs of neighbours that lie alike.

        Every chunk is in exactly one run; numbers that are missing end one, and so does a time,
        longer than chunks usually are apart, of which no camera has any.

        Args:
            most: where there are more runs, neighbours become one, and what is told is where most
                of its chunks lie.

        Raises:
            ValueError: if these are not two times in order, or ``most`` is no number.
        """
        self._check_open()
        return self._overview.held(start_s, end_s, most)

    def export(
        self, out: Path, start_s: float | None = None, end_s: float | None = None
    ) -> Exported:
        """Write the memory, or the chunks that touch a span of it, in forms that others read, as
        ``longtake memory export`` does (docs/memory.md); the stream goes on meanwhile.

        What was seen up to now is in it: where the span reaches into the window this waits for
        its turn, as a question does, and writes the window to the memory.  Where the take is only
        read, what its writer has made durable is in it.

        Args:
            out: a folder that is empty, or not there yet.
            start_s, end_s: session times; None: from the beginning, to the end.

        Raises:
            ValueError: if nothing lies between these times.
            FileExistsError: if the folder holds something.
            OSError: if it cannot be written, or the memory cannot.  Nothing of it stays there.
        """
        self._check_open()
        from longtake.memory.exporting import export

        if self._store.read_only:
            self._store.refresh()
        else:
            if self._overview.has_live(start_s, end_s):
                self._engine.run(self._session.save)
            self._store.sync()
        return export(self._store, out, start_s=start_s, end_s=end_s)

    def keep(self, start_s: float, end_s: float) -> int:
        """Never let a span grow too old: its chunks stay as they are, also those still to come.

        Returns:
            How many chunks there are of it now, in the window and beyond.

        Raises:
            ValueError: if these are not two times in order.
            OSError: if the memory cannot be written.
        """
        self._check_open()
        self._store.keep(start_s, end_s)
        return self._overview.count(start_s, end_s)

    def release(self, start_s: float, end_s: float) -> None:
        """Take `keep` back for a span.  Raises as it does."""
        self._check_open()
        self._store.release(start_s, end_s)

    def forget(self, start_s: float, end_s: float, *, camera: str | None = None) -> Forgotten:
        """Forget a span for good: when it returns, no tier holds anything of it.

        Chunks that touch the span leave the device, RAM and disk, with search vectors, pictures,
        captions and lines that nobody has taken yet.  Answers that are being spoken end there, as
        partial.  Frames of it that were received and not
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
        self._engine.cut(self._session)  # answers hold copies of what they attend to
        self._seeing.finish_batch()
        self._narrating.forget(stretch.start_s, stretch.end_s)
        self._alerts.forget(stretch.start_s, stretch.end_s)
        self._dialogues.clear()
        self._plans.forget(self._session.touching(stretch))
        received_s = self._time.newest_received_s
        self._inbox.forget(stretch)
        self._cameras.forget(stretch)
        try:
            return self._session.forget(stretch, received_s)
        finally:
            self._overview.forget()

    def _current(self) -> Session:
        self._session.refresh()
        return self._session

    def log(
        self,
        kind: str,
        name: str,
        text: str,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        camera: str = "",
        score: float | None = None,
    ) -> Event:
        """Keep something that happened, with its time, in the memory's log; returned with its
        number.  `events` finds it at once, and `forget` of its time takes it away.

        Args:
            kind: one word, such as ``question``.
            name: of what tells of it; at most 200 letters stay.
            text: at most 2,000 letters of it stay.
            start_s, end_s: session time; None: as the other one, and now where both are.
            score: 0 to 1; None: there is none.

        Raises:
            ValueError: if a value makes no sense.
            RuntimeError: if the take is closed, or only read.
        """
        self._check_writes()
        return self._overview.log(kind, name, text, start_s, end_s, camera, score)

    def events(
        self,
        start_s: float = 0.0,
        end_s: float = math.inf,
        kind: str | None = None,
        after: int = 0,
    ) -> list[Event]:
        """What was logged of times that touch a span, in time order: alerts that fired, and
        whatever was given to `log`.

        Args:
            kind: such as ``alert``; None: all.
            after: only those with greater numbers: what was logged since that one.
        """
        self._check_open()
        return self._store.events(start_s, end_s, kind, after)

    @property
    def last_event(self) -> int:
        """Number of the newest event that was ever logged, also where it is forgotten; 0 before
        the first.  Looks at no disk: where the take is only read, as of when it was opened."""
        self._check_open()
        return self._store.album.events.newest

    def captions(
        self, start_s: float = 0.0, end_s: float = math.inf, most: int | None = None
    ) -> list[Caption]:
        """What was said, such as by a narration, about times that touch a span, in time order.

        Args:
            most: only so many of them, the newest; None: all.

        Raises:
            ValueError: if these are not two times in order, or ``most`` is no number.
        """
        self._check_open()
        return self._overview.captions(start_s, end_s, most)

    # ---------------------------------------------------------------- lines and alerts

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
            RuntimeError: if this take is being narrated already, is closed, or only read.
        """
        self._check_writes()
        telling = Telling(
            request=request,
            every_s=every_s,
            rule=rule,
            ratio=ratio,
            threshold=threshold,
            decoding=decoding,
        )
        return self._engine.run(lambda: self._narrating.begin(telling))

    def alert(
        self,
        condition: str,
        on_event: Callable[[AlertEvent], object] | None = None,
        *,
        every_s: float = 1.0,
        cooldown_s: float = 30.0,
        confirm: int = 2,
        threshold: float = 0.5,
        actions: Sequence[Callable[[AlertEvent], object]] = (),
        name: str | None = None,
        stays: bool = False,
    ) -> Alert:
        """Watch for something from now on; returns at once.

        The condition is judged on new frames, over what the window holds, as a question with yes
        or no for an answer (docs/live.md).  Events are told on a thread of the alert's own: what
        is called may raise or block, and nothing stops; they can also be taken from the returned
        `Alert`, and stand in the memory's log (`events`).

        Args:
            condition: a question, or a statement that may become true.
            on_event: is called with each event.
            every_s: seconds of stream from one judgement to the next.
            cooldown_s: seconds of stream after an event without another.
            confirm: judgements in a row that begin an event, and that end one.
            threshold: of the probability of yes.
            actions: are called as ``on_event`` is, such as `Webhook` and `Command`.
            name: None: made from the condition.
            stays: it goes on when every source that was being watched has ended, since others may
                come, or frames are pushed; else it ends then.

        Raises:
            ValueError: if a value makes no sense; `TooManyAlerts` if there are.
            RuntimeError: if the take is closed, or only read.
        """
        self._check_writes()
        config = AlertConfig(
            condition=condition,
            every_s=every_s,
            cooldown_s=cooldown_s,
            confirm=confirm,
            threshold=threshold,
            name=name,
            stays=stays,
        )
        return self._engine.run(lambda: self._alerts.begin(config, on_event, actions))

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Those that are not over, also where they are paused; in the order they were begun."""
        return self._alerts.going_on

    def stats(self) -> TakeStats:
        """How the take stands; after closing, how it stood then."""
        if self._last_stats is not None:
            return self._last_stats
        held = self._store.stats()
        window = self._session.window
        dropped = Counter(self._inbox.dropped)
        dropped += Counter({FORGOTTEN: self._session.forgotten_frames})
        dropped += Counter({"left": self._session.left_frames})
        return TakeStats(
            received=self._inbox.count,
            frames=self._session.frames,
            chunks=self._session.chunks,
            newest_s=self._session.newest_s,
            waiting=len(self._inbox) + self._session.waiting,
            dropped=dict(dropped),
            cameras=self._cameras.stats(),
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
    def has_seen(self) -> bool:
        """Whether there is anything that could be asked about, on the device or in the memory."""
        self._check_open()
        return self._store.read_only or self._session.chunks > 0  # its writer may have seen more

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
            self._seeing.stop_watches()
        finally:
            self._inbox.close()
            self._time.stop()
            try:
                self._engine.run(self._end, self._session, alone=True)
            finally:
                self._engine.forget(self)
                self._alerts.close()
                self._has_ended.set()
                if self._owns_engine:
                    self._engine.close()

    def own_engine(self) -> None:
        """From now on closing this take closes its engine too."""
        self._owns_engine = True

    def _end(self) -> None:
        """On the worker: everything that was accepted is seen, then written."""
        try:
            try:
                self._seeing.finish()
            finally:
                self._session.close()
        except Exception as error:
            self._narrating.fail(error)
            self._alerts.fail(error)
            raise
        finally:
            self._narrating.close()
            self._alerts.finish()
            try:
                self._last_stats = self.stats()
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
        if kind is KeyboardInterrupt:  # what was read of a file can be read again
            self.cancel()
            self._seeing.stop_watches()
            self._inbox.read.drop_all("interrupted")
        self.close()

    # ---------------------------------------------------------------- the worker's side

    @property
    def has_work(self) -> bool:
        """Takes no lock: the worker looks while it holds its own."""
        return self._seeing.has_work

    def work(self) -> bool:
        """See a step, or end a source that was read; False where nothing was to do."""
        return self._seeing.work()

    def fail(self, error: BaseException) -> None:
        """`work` raised."""
        self._seeing.fail(error)

    def _miss(self, camera: str, outage: Outage) -> None:
        """A camera showed nothing for a while: the memory says so."""
        try:
            self._store.miss_span(outage.start_s, outage.end_s, camera)
        except OSError as error:
            _log.warning("an outage of %r is not in the memory: %s", camera, one_line(error))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this take is closed")

    def _check_writes(self) -> None:
        self._check_open()
        if self._store.read_only:
            raise RuntimeError(
                "this take only reads its memory: it can be asked, and sees nothing new; open it "
                "without read_only=True to watch, push, narrate or set alerts"
            )


@dataclass(frozen=True, slots=True)
class _Remember:
    """Adds an answer to its conversation."""

    dialogues: Dialogues
    conversation: str

    def __call__(self, answer: Answer) -> None:
        if answer.partial and not answer.text:
            return  # cancelled before it said anything
        self.dialogues.add(self.conversation, answer.question, answer.text)
