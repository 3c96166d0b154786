"""The one thread that writes to a memory: a bounded queue, commits in groups, errors told.

Entries are written in the order in which they came.  One that the disk refuses stays at the head
of the queue, readable where its owner keeps it; whoever gives the next, or waits, tries it again
and is told what is wrong.  What an entry is, and how it is written, is its owner's business.
"""

import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Entry(Protocol):
    """Something on its way to the disk."""

    nbytes: int  # what it counts in the queue

    @property
    def may_wait(self) -> bool:
        """False: it is so small that it is taken into a full queue too."""
        ...

    def absorb(self, later: Any) -> bool:
        """Take in the next entry, so that the two are one; False if they are of two kinds."""
        ...


class Duties(Protocol):
    """What the thread does; all of it is called on that thread alone."""

    def write(self, entry: Any) -> None:
        """Write an entry.  Raises OSError where the disk refuses; then it was not written."""
        ...

    def withdraw(self, entry: Any) -> None:
        """It is not kept: its owner was told of the failure."""
        ...

    def spoil(self, entry: Any, error: Exception) -> None:
        """It cannot be written, now or ever: it is not kept, and that is said."""
        ...

    def commit(self) -> None:
        """Make what was written durable.  Raises OSError."""
        ...

    def is_commit_due(self) -> bool: ...

    def until_commit_s(self) -> float | None:
        """Seconds until a commit is due; None: there is nothing to commit."""
        ...

    def tend(self) -> bool:
        """A little of what can wait; True if there is more."""
        ...


class Writer:
    """Entries to the disk, in order.

    Args:
        desk: does the work.
        most_nbytes: of the entries that wait; one alone may be larger.  0: `put` waits until its
            entry is written, and one that fails is withdrawn.
        name: of the thread.
    """

    def __init__(self, desk: Duties, most_nbytes: int, name: str) -> None:
        self._desk, self._most_nbytes, self._name = desk, most_nbytes, name
        self._changed = threading.Condition()
        self._queue: deque[Any] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        self._nbytes = 0
        self._failure: Exception | None = None
        self._is_busy = self._is_closing = self._may_tend = self._is_retry = False
        self._thread: threading.Thread | None = None

    @property
    def nbytes(self) -> int:
        """Of what waits."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._queue)

    def has_room(self, nbytes: int, share: float = 1.0) -> bool:
        """True if so much more stays within a share of the bound, or nothing waits."""
        return not self._nbytes or self._nbytes + nbytes <= share * self._most_nbytes

    def put(self, entry: Entry) -> None:
        """Add an entry; waits while there is no room for it.

        Raises:
            OSError: what keeps earlier entries from the disk; this one was not taken.
        """
        if not self._most_nbytes:
            self._put_and_wait(entry)
            return
        with self._changed:
            self._try_again()
            while entry.may_wait and not self.has_room(entry.nbytes):
                self._changed.wait()
                self._raise_failure()
                self._check_open()
            self._add(entry)

    def drain(self) -> None:
        """Return when everything that came before is written.  Raises OSError as `put`."""
        with self._changed:
            self._try_again()
            while self._queue or self._is_busy:
                self._changed.wait()
                self._raise_failure()
                self._check_open()

    def run(self, job: Callable[[], T]) -> T:
        """Do something on the thread, ahead of what waits; returns its result."""
        future: Future[T] = Future()

        def do() -> None:
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            self._check_open()
            self._jobs.append(do)
            self._start()
            self._changed.notify_all()
        return future.result()

    def take_back(self, entries: list[Any], error: Exception) -> None:
        """On the thread: what was written and never became durable waits again, in front."""
        with self._changed:
            self._queue.extendleft(reversed(entries))
            self._nbytes += sum(entry.nbytes for entry in entries)
            self._failure = error

    def take_out(self, is_meant: Callable[[Any], bool]) -> list[Any]:
        """On the thread: entries that wait and are meant leave the queue."""
        with self._changed:
            out = [entry for entry in self._queue if is_meant(entry)]
            self._queue = deque(entry for entry in self._queue if not is_meant(entry))
            self._nbytes -= sum(entry.nbytes for entry in out)
            if not self._queue:
                self._failure = None
            self._changed.notify_all()
            return out

    def close(self) -> list[Any]:
        """End the thread; returns the entries that it could not write."""
        with self._changed:
            self._is_closing = True
            self._failure = None  # a last try
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        return list(self._queue)

    # ---------------------------------------------------------------- within the lock

    def _put_and_wait(self, entry: Entry) -> None:
        with self._changed:
            self._try_again()
            self._add(entry)
            while (self._queue or self._is_busy) and self._failure is None:
                self._changed.wait()
                self._check_open()
            if self._failure is None:
                return
            failure, self._failure = self._failure, None
            if entry in self._queue:  # it, or one before it that never became durable
                self._queue.remove(entry)
                self._nbytes -= entry.nbytes
            self._failure = failure if self._queue else None
        self.run(lambda: self._desk.withdraw(entry))
        raise failure

    def _check_open(self) -> None:
        if self._is_closing:
            raise ValueError("this memory is closed")

    def _add(self, entry: Entry) -> None:
        self._check_open()
        if len(self._queue) > 1 and self._queue[-1].absorb(entry):  # the first may be under way
            return
        self._queue.append(entry)
        self._nbytes += entry.nbytes
        self._may_tend = True
        self._start()
        self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None and not self._is_closing:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _try_again(self) -> None:
        """Where the head of the queue failed: once more, and wait for how it goes."""
        self._check_open()
        if self._failure is None:
            return
        self._failure, self._is_retry = None, True
        self._changed.notify_all()
        while self._is_retry and self._failure is None:
            self._changed.wait()
            self._check_open()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise copy.copy(self._failure) from self._failure

    # ---------------------------------------------------------------- the thread

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """False at the end."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            while not self._has_work():
                until_s = None if self._failure else self._desk.until_commit_s()
                if not self._changed.wait(until_s):
                    break
            job = self._jobs.popleft() if self._jobs else None
            entry = self._queue[0] if self._queue and self._failure is None else None
            if self._is_closing and job is None and (entry is None or self._failure):
                return False
            self._is_busy = job is not None or entry is not None  # nobody waits for the rest
        if job is not None:
            job()
        elif entry is not None:
            self._write(entry)
        else:
            self._rest()
        return True

    def _has_work(self) -> bool:
        if self._jobs or self._is_closing:
            return True
        return self._failure is None and bool(self._queue or self._may_tend or self._is_retry)

    def _write(self, entry: Any) -> None:
        try:
            self._desk.write(entry)
        except OSError as error:
            with self._changed:
                self._failure = error
            return
        except Exception as error:
            self._desk.spoil(entry, error)
        with self._changed:
            self._queue.popleft()
            self._nbytes -= entry.nbytes
            self._is_retry = False
            self._changed.notify_all()
        if self._desk.is_commit_due():
            self._commit()

    def _rest(self) -> None:
        """Nothing waits: commit in time, then look after what is old."""
        if self._is_retry or self._desk.is_commit_due():
            self._commit()
        with self._changed:
            if self._queue or self._failure is not None:
                return
            self._may_tend = self._is_retry = False
            self._changed.notify_all()
        if self._desk.tend():
            with self._changed:
                self._may_tend = True

    def _commit(self) -> None:
        try:
            self._desk.commit()
        except Exception as error:
            with self._changed:
                self._failure = error
