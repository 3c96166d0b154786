"""A file on its way to a server, which tells how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Progress = Callable[[int, int], object]  # bytes that were sent, and all


class Uploading:
    """Read piece by piece; a context manager.

    Raises:
        OSError: if there is no such file.
    """

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._file: BinaryIO = path.open("rb")
        self._progress, self._sent = progress, 0
        self.nbytes = os.fstat(self._file.fileno()).st_size

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, most: int = -1) -> bytes:
        piece = self._file.read(most)
        self._sent += len(piece)
        if self._progress is not None and piece:
            self._progress(self._sent, self.nbytes)
        return piece

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """From its beginning again, where it is sent anew."""
        self._sent = self._file.seek(place, whence)
        return self._sent

    def tell(self) -> int:
        return self._file.tell()

    def __enter__(self) -> Uploading:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
