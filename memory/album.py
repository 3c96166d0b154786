"""What a person is shown as evidence: one small picture for each chunk.

Pictures lie in `album.sqlite` beside the catalog, which never waits for them: a power loss
may cost the last ones, never the file.  Which chunks exist is not known here.
"""

import threading
from pathlib import Path

import cv2
import numpy as np

from longtake.memory.database import connect, size_on_disk, translated

_JPEG_QUALITY = 80


class Album:
    """Thumbnails by chunk number; any thread may call.

    Args:
        path: the file.
        thumbnail_px: pictures are scaled down so that their longer side has at most this many.
        read_only: look on while another process writes.
        durable: False for a folder that is deleted at the end anyway.
    """

    def __init__(
        self, path: Path, *, thumbnail_px: int, read_only: bool = False, durable: bool = True
    ) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._thumbnail_px = thumbnail_px
        synchronous = "NORMAL" if durable else "OFF"
        self._db = connect(path, read_only=read_only, synchronous=synchronous)
        if not read_only:
            with translated(path):
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS thumbnails (number INTEGER PRIMARY KEY, jpeg BLOB)"
                )

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return size_on_disk(self._path)

    def put(self, number: int, image: np.ndarray) -> None:
        """Keep a picture of a chunk, in place of one it had.  Durable soon after `commit`.

        Args:
            number: the chunk's.
            image: uint8 ``[H, W, 3]``, RGB.

        Raises:
            ValueError: if the image has another shape or type.
        """
        jpeg = _thumbnail(image, self._thumbnail_px)
        with self._lock, translated(self._path):
            if not self._db.in_transaction:
                self._db.execute("BEGIN")
            self._db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", (number, jpeg))

    def jpeg(self, number: int) -> bytes | None:
        """The picture of a chunk as JPEG; None if there is none."""
        with self._lock, translated(self._path):
            found = self._db.execute(
                "SELECT jpeg FROM thumbnails WHERE number = ?", (number,)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def commit(self) -> None:
        """Hand over to the disk what was put since the last time."""
        with self._lock, translated(self._path):
            if self._db.in_transaction:
                self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file.  Commits nothing.  Calling it again does nothing."""
        with self._lock:
            self._db.close()


def _thumbnail(image: np.ndarray, longest_px: int) -> bytes:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"image {list(image.shape)} {image.dtype}: expected uint8 [H, W, 3] RGB")
    height, width = image.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()
