"""The one thread that touches a model and its sessions, and whose turn it is on it.

A question begins before the next frame.  From its first token on, frames that wait get
`INGEST_SHARE` of the time, and the answers being spoken share the rest, a token each in turn.
Takes go round.  What must not meet an answer of its own take waits until that is spoken.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from longtake.busy import Busy as Busy
from longtake.latch import Latch
from longtake.speech import Speech

MAX_WAITING = 64  # questions; other jobs have a caller each that waits for them
MAX_SPEAKING = 4  # answers at once: each holds its context on the device
INGEST_SHARE = 0.65  # of the time while answers are spoken and frames wait

T = TypeVar("T")


class Works(Protocol):
    """What the worker needs of a take."""

    @property
    def has_work(self) -> bool:
        """Takes no lock."""
        ...

    def work(self) -> bool:
        """Do a little; False where there was nothing to do."""
        ...

    def fail(self, error: BaseException) -> None:
        """`work` raised."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to be done once."""

    do: Callable[[], None]
    of: object | None = None  # the session it belongs to
    is_alone: bool = False  # not while an answer of that session is being spoken


class _Share:
    """Who is owed time: frames that wait, or answers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spoken_s = self._seen_s = 0.0

    def begin(self) -> None:
        """Nobody has been answered so far: nothing is owed."""
        self._spoken_s = self._seen_s = 0.0

    @property
    def owes_frames(self) -> bool:
        return self._seen_s * (1 - INGEST_SHARE) < self._spoken_s * INGEST_SHARE

    @contextmanager
    def speaking(self, frames_wait: bool) -> Iterator[None]:
        """What is spoken while nobody waits for it is owed to nobody."""
        begun = self._clock()
        yield
        if frames_wait:
            self._spoken_s += self._clock() - begun

    @contextmanager
    def seeing(self) -> Iterator[None]:
        begun = self._clock()
        yield
        self._seen_s += self._clock() - begun


class Worker:
    """Runs until `stop`.  All methods may be called from any thread, but where they say so.

    Args:
        name: of the thread.
        clock: seconds that only rise; who took how long is told by it.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._queue: deque[_Job | Speech] = deque()
        self._speaking: deque[Speech] = deque()
        self._takes: deque[Works] = deque()
        self._share = _Share(clock)
        self._lock = threading.Lock()  # entered as itself: Ctrl-C cannot leave it held
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], T], of: object | None = None, *, alone: bool = False) -> T:
        """Do ``job`` on the worker and wait for its result.

        Args:
            of: the session it belongs to: it stays behind what was asked of that before.
            alone: not before every answer of that session is whole.
        """
        if threading.current_thread() is self._thread:
            return job()
        done, results, errors = Latch(), list[T](), list[BaseException]()

        def do() -> None:
            try:
                results.append(job())
            except BaseException as error:
                errors.append(error)
            finally:
                done.open()

        self._put(_Job(do, of, alone))
        done.wait()
        if errors:
            raise errors[0]
        return results[0]

    def speak(self, speech: Speech) -> None:
        """Queue a question.

        Raises:
            Busy: if `MAX_WAITING` wait already.
        """
        self._put(speech)

    def cancel(self, of: object) -> int:
        """End the answers of a session, spoken or waiting, with what there is; how many."""
        with self._lock:
            meant = [s for s in (*self._queue, *self._speaking) if isinstance(s, Speech)]
            meant = [speech for speech in meant if speech.of is of and not speech.asking.done()]
            for speech in meant:
                speech.asking.cancel()
            self._changed.notify_all()
        return len(meant)

    def waiting(self, of: object) -> int:
        """Questions of a session whose answers have not begun."""
        with self._lock:
            return sum(isinstance(each, Speech) and each.of is of for each in self._queue)

    def cut(self, of: object) -> None:
        """On the worker: end the answers of a session that are being spoken, now."""
        for speech in [speech for speech in self._speaking if speech.of is of]:
            speech.cut()
            with self._lock:
                self._speaking.remove(speech)

    def join(self, take: Works) -> None:
        """From now on this take's frames are seen."""
        with self._lock:
            self._takes.append(take)
            self._changed.notify_all()

    def leave(self, take: Works) -> None:
        with self._lock:
            if take in self._takes:
                self._takes.remove(take)

    def wake(self) -> None:
        """A frame came, or a source ended."""
        with self._lock:
            self._changed.notify_all()

    def stop(self) -> None:
        """Take nothing new, do what waits, end.  May be called twice; not on the worker."""
        with self._lock:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    # ---------------------------------------------------------------- inside

    def _put(self, entry: _Job | Speech) -> None:
        with self._lock:
            if self._closing:
                raise RuntimeError("this engine is closed")
            if isinstance(entry, Speech):
                waiting = sum(isinstance(other, Speech) for other in self._queue)
                if waiting >= MAX_WAITING:
                    raise Busy(f"{MAX_WAITING} questions wait already; ask again later")
            self._queue.append(entry)
            self._changed.notify_all()

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """One thing; False where it is all over.  Nothing of it is held afterwards."""
        with self._lock:
            self._changed.wait_for(self._has_work)
            if self._closing and not self._queue and not self._speaking:
                return False
            entry = self._pop()
            if isinstance(entry, Speech):
                if not self._speaking:
                    self._share.begin()
                self._speaking.append(entry)
        if isinstance(entry, _Job):
            entry.do()
        elif entry is not None:
            self._speak(entry)
        elif self._is_to_speak():
            self._speak(self._next_speech())
        elif not self._see() and self._speaking:
            self._speak(self._next_speech())
        return True

    def _has_work(self) -> bool:
        return bool(self._queue or self._speaking or self._closing or self._has_frames())

    def _has_frames(self) -> bool:
        return any(take.has_work for take in self._takes)

    def _pop(self) -> _Job | Speech | None:
        """The first that may begin; what belongs to the same session never overtakes."""
        held_up: list[object] = []
        for place, entry in enumerate(self._queue):
            if entry.of is not None and any(entry.of is other for other in held_up):
                continue
            if self._may_begin(entry):
                del self._queue[place]
                return entry
            held_up.append(entry.of)
        return None

    def _may_begin(self, entry: _Job | Speech) -> bool:
        if isinstance(entry, Speech):
            return len(self._speaking) < MAX_SPEAKING or entry.is_over
        return not (entry.is_alone and any(speech.of is entry.of for speech in self._speaking))

    # ---------------------------------------------------------------- answers and frames

    def _is_to_speak(self) -> bool:
        if not self._speaking:
            return False
        if any(speech.is_over for speech in self._speaking):
            return True
        return not (self._share.owes_frames and self._has_frames())

    def _next_speech(self) -> Speech:
        """One that is over first: its caller waits for nothing but this."""
        return next((s for s in self._speaking if s.is_over), self._speaking[0])

    def _speak(self, speech: Speech) -> None:
        """One token; whoever has more to say goes to the end of the queue."""
        with self._share.speaking(self._has_frames()):
            has_more = speech.step()
        with self._lock:
            self._speaking.remove(speech)
            if has_more:
                self._speaking.append(speech)

    def _see(self) -> bool:
        """A step of the next take that has one."""
        with self._lock:
            self._takes.rotate(-1)
            takes = tuple(self._takes)
        with self._share.seeing():
            return any(self._work_on(take) for take in takes)

    def _work_on(self, take: Works) -> bool:
        """The worker outlives whatever goes wrong in a take."""
        try:
            return take.work()
        except BaseException as error:
            take.fail(error)
            return True
