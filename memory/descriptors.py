"""Open files by name, kept for a while: none is closed under somebody who reads from it.

What the files hold is not known here.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longtake.memory import files


class Descriptors:
    """Files open to be read, those used last; any thread may borrow.

    Args:
        most: kept open while nobody borrows them.  More are open while more are borrowed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._borrowed: dict[int, int] = {}  # descriptor -> by how many
        self._leaving: set[int] = set()  # closed when the last one gives them back
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def borrow(self, path: Path) -> Iterator[int]:
        """A descriptor that stays open within the block.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        fd = self._take(path)
        try:
            yield fd
        finally:
            self._give_back(fd)

    def forget(self, path: Path) -> None:
        """Close a file, at the latest when nobody reads from it any more."""
        with self._lock:
            fd = self._open.pop(path, None)
            if fd is not None:
                self._close(fd)

    def close(self) -> None:
        """Close all of them, the borrowed ones later.  Calling it again does nothing."""
        with self._lock:
            self._is_closed = True
            while self._open:
                self._close(self._open.popitem()[1])

    def _take(self, path: Path) -> int:
        with self._lock:
            if self._is_closed:
                raise ValueError(f"{path.parent.parent}: this memory is closed")
            fd = self._open.get(path)
            if fd is None:
                fd = self._open[path] = files.open_to_read(path)
                while len(self._open) > self._most:
                    self._close(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(path)
            self._borrowed[fd] = self._borrowed.get(fd, 0) + 1
            return fd

    def _give_back(self, fd: int) -> None:
        with self._lock:
            self._borrowed[fd] -= 1
            if not self._borrowed[fd]:
                del self._borrowed[fd]
                if fd in self._leaving:
                    self._leaving.remove(fd)
                    os.close(fd)

    def _close(self, fd: int) -> None:
        if fd in self._borrowed:
            self._leaving.add(fd)
        else:
            os.close(fd)
