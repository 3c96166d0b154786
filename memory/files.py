"""The seam to the operating system: everything that can fail on a disk goes through here.

Writes and reads of a whole buffer at an offset, syncs, names, erasing, and the lock that keeps
a memory to one writer.  What the bytes mean is not known here; tests put faults in at this
place.

`write_all`, `read_all` and the like are called through the module
(``files.write_all``), so that one replacement reaches every caller.
"""

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LOCK = "writer.lock"
_ERASED_AT_ONCE = 1 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of Linux's fallocate(2)


class MemoryFull(OSError):
    """No room for another chunk: on the disk, or within `disk_bytes`.  Earlier ones are kept."""


class MemoryInUse(OSError):
    """Another writer has this memory open."""


class MemoryUnlockable(OSError):
    """The file system has no locks, without which nobody may write."""


class MemoryMissing(FileNotFoundError):
    """There is no memory in this folder to read."""


class MemoryDamaged(OSError):
    """A memory's files do not belong together, or its database cannot be read."""


def is_full(error: OSError) -> bool:
    """True if the error says that the disk, a quota or a file size limit is used up."""
    return error.errno in _FULL


def write_all(fd: int, data: bytes | bytearray, offset: int) -> None:
    """Write every byte of `data` at `offset`; the system may take several bites."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


def read_all(fd: int, length: int, offset: int) -> bytearray:
    """Exactly `length` bytes from `offset`.

    Raises:
        EOFError: if the file ends before.
    """
    data = bytearray(length)
    read_into(fd, memoryview(data), offset)
    return data


def read_into(fd: int, buffer: memoryview, offset: int) -> None:
    """Fill a writable buffer from `offset`.  Raises EOFError if the file ends before."""
    while buffer:
        count = os.preadv(fd, [buffer], offset)
        if count == 0:
            raise EOFError(f"the file ends {len(buffer)} bytes before {offset + len(buffer)}")
        buffer, offset = buffer[count:], offset + count


def open_to_append(path: Path) -> int:
    """A descriptor to read and write; makes the file for its owner alone where there is none."""
    return os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)


def open_to_read(path: Path) -> int:
    """A descriptor to read."""
    return os.open(path, os.O_RDONLY)


def size_of(fd: int) -> int:
    """The file's length in bytes."""
    return os.fstat(fd).st_size


def truncate(fd: int, length: int) -> None:
    """Cut the file to `length` bytes."""
    os.ftruncate(fd, length)


def sync_data(fd: int) -> None:
    """Return when the file's bytes have reached the device.

    A failure is final for this descriptor: the kernel may have dropped the pages, and a
    second call could report success without them.
    """
    if sys.platform == "darwin":  # has no fdatasync
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def erase(fd: int, offset: int, length: int) -> None:
    """Overwrite a stretch with zeros, see them to the device, and give its blocks back.

    A file system that keeps old blocks when it writes (copy on write, snapshots), and a flash
    device behind it, may hold the old bytes for longer than anybody can see.

    What is a hole already is not written: zeros would need room again, which a full disk may not
    have.
    """
    zeros = bytes(min(length, _ERASED_AT_ONCE))
    for start, end in _filled(fd, offset, offset + length):
        for begin in range(start, end, len(zeros)):
            write_all(fd, zeros[: end - begin], begin)
    sync_data(fd)
    _punch(fd, offset, length)


def unlink(path: Path) -> None:
    """Remove a file's name, durably; one that is gone is fine."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def rename(old: Path, new: Path) -> None:
    """Give a file another name in one step, durably; one of that name is replaced."""
    os.replace(old, new)
    sync_folder(new.parent)


def size_at(path: Path) -> int | None:
    """Bytes of a file; None if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a new file exists only after this."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone, durably; one that exists is left as it is."""
    if path.is_dir():
        return
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    sync_folder(path.parent)


def require_own(path: Path) -> None:
    """Raises PermissionError where a folder is another user's, or not to be written."""
    owner = path.stat().st_uid
    if owner != os.geteuid() and os.geteuid() != 0:
        raise PermissionError(
            errno.EACCES,
            f"this memory belongs to another user (number {owner}); ask its owner, open it "
            "read-only where that is allowed, or choose another folder",
            str(path),
        )


def make_file(path: Path) -> None:
    """Make an empty file for its owner alone, where there is none."""
    os.close(open_to_append(path))


class WriterLock:
    """The right to write to a folder, held until `close` or the end of the process.

    Advisory (flock): it is released by the kernel however the process ends, and does not keep
    readers out.

    Raises:
        MemoryInUse: if another writer holds it, in this process or another.
        MemoryUnlockable: if the file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = open_to_append(folder / _LOCK)
        try:
            self._take(folder)
        except BaseException:
            self.close()
            raise

    def _take(self, folder: Path) -> None:
        while not _lock(self._fd, fcntl.LOCK_EX):
            if _lock(self._fd, fcntl.LOCK_SH):
                continue  # no writer: somebody is looking whether there is one
            raise MemoryInUse(
                errno.EAGAIN,
                f"another writer (process {_owner(self._fd)}) has this memory open; "
                "close it first, open this one read-only, or choose another folder",
                str(folder),
            )
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Give the right back.  Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def writer_of(folder: Path) -> str | None:
    """The process that holds a folder's `WriterLock`; None if nobody does.  Disturbs none."""
    try:
        fd = open_to_read(folder / _LOCK)
    except FileNotFoundError:
        return None
    try:
        return None if _lock(fd, fcntl.LOCK_SH) else _owner(fd)
    finally:
        os.close(fd)


def _lock(fd: int, kind: int) -> bool:
    """Take a lock, if that needs no waiting."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise MemoryUnlockable(
            error.errno,
            f"this file system has no locks ({error.strerror}), and without one two writers "
            "would destroy each other's work; choose a folder on a local disk",
        ) from error
    return True


@cache
def _fallocate() -> Any:
    """The C library's, which Python does not offer; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    found = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found


def _punch(fd: int, offset: int, length: int) -> None:
    """Give the blocks of a stretch back; where that cannot be done its zeros stay."""
    fallocate = _fallocate()
    if fallocate is not None and length:
        fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length)


def _filled(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts of a stretch that the file system holds blocks of; the others read as zeros.

    Beyond the end of the file there are none.
    """
    while start < end:
        try:
            begin = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        if begin >= end:
            return
        start = min(os.lseek(fd, begin, os.SEEK_HOLE), end)
        yield begin, start


def _owner(fd: int) -> str:
    return os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
