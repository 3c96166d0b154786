"""One SQLite file, opened the way this room needs it.

Write-ahead log, for its owner alone, transactions by hand, errors translated.  Reading goes
through a connection of its own and never waits for a commit.  What its tables hold is not known
here.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any

from longtake.memory import files
from longtake.memory.files import MemoryDamaged, MemoryFull

_LEAST_FREE_BYTES = 1 << 16  # in less SQLite cannot work
_PATIENCE_MS = 5000  # with others who use the file


class Database:
    """One file: one thread changes it at a time, any thread reads.

    Args:
        path: the file; made where there is none, unless `read_only`.
        read_only: nothing is written; a writer elsewhere may go on.
        synchronous: as for `connect`.

    Raises:
        MemoryDamaged: if the file is no database.
    """

    def __init__(self, path: Path, *, read_only: bool, synchronous: str) -> None:
        self.path = path
        self._reading, self._changing = threading.Lock(), threading.RLock()
        self._is_closed = False
        self._writer = (
            None if read_only else connect(path, read_only=False, synchronous=synchronous)
        )
        try:
            self._reader = connect(path, read_only=True, synchronous=synchronous)
        except BaseException:
            if self._writer is not None:
                self._writer.close()
            raise
        if self._writer is not None and _has_log(path):  # of what a crash interrupted
            self.checkpoint(wait=False)

    @property
    def nbytes(self) -> int:
        """Bytes of the database on disk."""
        return size_on_disk(self.path)

    def select(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as of the last change that was committed.

        Raises:
            ValueError: if it is closed.
        """
        with self._reading, translated(self.path):
            if self._is_closed:
                raise ValueError(f"{self.path.parent}: this memory is closed")
            return self._reader.execute(query, values).fetchall()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """All of the block becomes durable, or nothing of it.

        Raises:
            MemoryFull: if the disk is full.
        """
        assert self._writer is not None, "opened read-only"
        with self._changing, translated(self.path), transaction(self._writer):
            yield self._writer

    def checkpoint(self, *, wait: bool = True) -> bool:
        """Move everything from the log to the file, and cut the log: nothing old stays in it.

        Args:
            wait: up to 5 s for readers that keep it in use.

        Returns:
            False where one still does.
        """
        assert self._writer is not None, "opened read-only"
        with self._changing, translated(self.path):
            self._writer.execute(f"PRAGMA busy_timeout={_PATIENCE_MS if wait else 0}")
            try:
                is_busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._writer.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
        return not is_busy

    def shrink(self) -> None:
        """Give free pages at the end of the file back; those of an old file stay until `vacuum`."""
        assert self._writer is not None, "opened read-only"
        with self._changing, translated(self.path):
            self._writer.executescript("PRAGMA incremental_vacuum")  # `execute` frees one page
        self.checkpoint(wait=False)

    def vacuum(self) -> None:
        """Write the file anew without its free pages, and cut the log."""
        assert self._writer is not None, "opened read-only"
        with self._changing, self._reading, translated(self.path):
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file.  Calling it again does nothing."""
        with self._reading:
            self._is_closed = True
            self._reader.close()
        with self._changing:
            if self._writer is not None:
                self._writer.close()


def connect(
    path: Path, *, read_only: bool, synchronous: str, is_still: bool = False
) -> sqlite3.Connection:
    """A connection that may pass from thread to thread, one at a time.

    What is deleted through it is overwritten with zeros.

    Args:
        path: the file; made where there is none, unless `read_only`.
        read_only: nothing is written; a writer elsewhere may go on.
        synchronous: "FULL": a commit is durable when it returns; "NORMAL": a power loss may
            undo the last commits, in order; "OFF": for files that nobody opens again.
        is_still: with `read_only`: nobody writes meanwhile, so that a reader needs no log of
            its own beside the file, where it would stay.

    Raises:
        MemoryDamaged: if the file is no database.
    """
    with translated(path):
        if read_only:
            return _reader(path, is_still)
        is_new = not files.size_at(path)
        files.make_file(path)
        connection = _open(path, "rw")
        if is_new:  # it counts before the first table
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA secure_delete=ON")
    return connection


def _reader(path: Path, is_still: bool) -> sqlite3.Connection:
    """Beside a writer through the log's index, which a full disk has no room for; where there
    is no log the file alone holds everything."""
    if is_still or _is_frozen(path):
        return _open(path, "ro&immutable=1")
    connection = _open(path, "ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")
    except sqlite3.OperationalError:
        connection.close()
        if _has_log(path):
            raise
        return _open(path, "ro&immutable=1")
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _is_frozen(path: Path) -> bool:
    """True on a read-only disk, if no writer left a log: SQLite could not make its own there."""
    return not os.access(path.parent, os.W_OK) and not _has_log(path)


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has already undone some failures itself
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors in this room's words, with the file's name."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or _is_full(path):
            raise MemoryFull(f"{path}: the disk is full; earlier chunks are kept") from error
        raise OSError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise MemoryDamaged(
            f"{path}: {error}. The segments beside it still hold every chunk: "
            f"longtake memory verify --rebuild {path.parent} makes it again from them"
        ) from error


def _is_full(path: Path) -> bool:
    """SQLite tells a disk that has no room for its log or its index in other words."""
    try:
        return disk_usage(path.parent).free < _LEAST_FREE_BYTES
    except OSError:
        return False


def size_on_disk(path: Path) -> int:
    """Bytes of the database and its write-ahead log."""
    both = (path, path.with_name(path.name + "-wal"))
    return sum(files.size_at(part) or 0 for part in both)
