"""Folders for what is temporary and nobody else's business; they go with their process.

One that was killed cannot remove its own.  Every folder is locked as long as its process lives, so
the next server finds those that nobody holds, and removes them.  What lies in one is not known
here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "longtake-serve-"
_TRIES = 8  # another process may take a new folder for a left one before it is locked
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class PrivateFolder:
    """Only this user may look into it.

    Args:
        purpose: a word of its name.
        parent: where it is made; None: where the system keeps what is temporary.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, purpose: str, parent: Path | None = None) -> None:
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=parent))
            self._lock = _held(self.path, is_new=True)
            if self._lock is not None and self.path.is_dir():
                return
            self.remove()
        raise OSError(f"{self.path.parent}: a folder that is made there does not stay")

    def remove(self) -> None:
        """With all that is in it.  May be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def remove_left(parent: Path | None = None) -> int:
    """Remove what killed processes of this user left there; returns how many folders."""
    count = 0
    for path in Path(tempfile.gettempdir() if parent is None else parent).glob(f"{PREFIX}*"):
        lock = _held(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            count += 1
    return count


def _held(path: Path, *, is_new: bool = False) -> int | None:
    """The folder as a descriptor that locks it; None where another has it, or it is not ours."""
    try:
        found = os.open(path, _LOOK)
    except OSError:
        return None
    try:
        if os.fstat(found).st_uid == os.geteuid():
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return found
    except BlockingIOError:
        pass
    except OSError:  # no locks there: then nobody can tell that it was left
        if is_new:
            return found
    with suppress(OSError):
        os.close(found)
    return None
