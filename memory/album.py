"""What people are shown of a chunk: one small picture, and what was said about its time.

Pictures, captions and events lie in `album.sqlite` beside the catalog, which never waits for them:
a power loss may cost the last ones, never the file.  New ones lie in RAM until `commit` writes
them, and are found there meanwhile.  Which chunks exist is not known here; pictures go by chunk
number, captions and events by session time.  What is deleted is overwritten with zeros.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from longtake.memory import events, files
from longtake.memory.database import Database
from longtake.memory.events import Event, EventLog

_JPEG_QUALITY = 80
MOST_WAITING = 1000  # pictures, captions, and events, in RAM while the disk takes none
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS thumbnails (number INTEGER PRIMARY KEY, jpeg BLOB)",
    # `folded` is the text as it is searched.  A full-text index would keep words of deleted
    # captions in its own pages.
    "CREATE TABLE IF NOT EXISTS captions (id INTEGER PRIMARY KEY, start_s REAL, end_s REAL, "
    "camera TEXT, text TEXT, folded TEXT)",
    "CREATE INDEX IF NOT EXISTS captions_in_time ON captions (start_s)",
    *events.SCHEMA,
)


@dataclass(frozen=True, slots=True)
class Caption:
    """What was said about a span of the stream.  Times are session seconds."""

    start_s: float
    end_s: float
    text: str
    camera: str = ""

    def touches(self, start_s: float, end_s: float) -> bool:
        """Both ends belong to a span."""
        return self.start_s <= end_s and self.end_s >= start_s


class Album:
    """Thumbnails by chunk number, captions and `events` by time; any thread may call.

    Only `commit`, `drop` and `forget` wait for the disk, and one another.

    Args:
        path: the file.
        thumbnail_px: pictures are scaled down so that their longer side has at most this many.
        read_only: look on while another process writes.
        durable: False for a folder that is deleted at the end anyway.
    """

    def __init__(
        self, path: Path, *, thumbnail_px: int, read_only: bool = False, durable: bool = True
    ) -> None:
        self._path, self._thumbnail_px = path, thumbnail_px
        self._lock, self._changing = threading.Lock(), threading.RLock()
        self._pictures: dict[int, bytes] = {}  # what no commit has written yet
        self._captions: dict[int, Caption] = {}
        synchronous = "NORMAL" if durable else "OFF"
        self._database = Database(path, read_only=read_only, synchronous=synchronous)
        try:
            if not read_only:
                with self._database.change() as database:
                    for statement in _SCHEMA:
                        database.execute(statement)
            newest = self._select("captions", "SELECT MAX(id) FROM captions")
            self._next_caption = 1 + ((newest and newest[0][0]) or 0)
            self.events = EventLog(self._database)
        except BaseException:
            self._database.close()
            raise

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self._database.nbytes

    # ---------------------------------------------------------------- pictures

    def put(self, number: int, image: np.ndarray) -> None:
        """Keep a picture of a chunk, in place of one it had.  Durable soon after `commit`.

        Args:
            number: the chunk's.
            image: uint8 ``[H, W, 3]``, RGB.

        Raises:
            ValueError: if the image has another shape or type.
        """
        self.put_jpeg(number, _thumbnail(image, self._thumbnail_px))

    def put_jpeg(self, number: int, jpeg: bytes) -> None:
        """The same for a picture that is JPEG already, as `jpeg` gave it."""
        with self._lock:
            self._pictures[number] = jpeg

    def jpeg(self, number: int) -> bytes | None:
        """The picture of a chunk as JPEG; None if there is none."""
        with self._lock:
            new = self._pictures.get(number)
        if new is not None:
            return new
        found = self._select("thumbnails", "SELECT jpeg FROM thumbnails WHERE number = ?", number)
        return bytes(found[0][0]) if found else None

    def pictured(self) -> set[int]:
        """Numbers of all chunks that have a picture."""
        with self._lock:
            new = set(self._pictures)
        return new | {n for (n,) in self._select("thumbnails", "SELECT number FROM thumbnails")}

    # ---------------------------------------------------------------- captions

    def add_caption(self, start_s: float, end_s: float, text: str, camera: str = "") -> None:
        """Keep what was said about a span.  Durable soon after `commit`.

        Raises:
            ValueError: if the span ends before it begins, or nothing was said.
        """
        if not end_s >= start_s or not text.strip():
            raise ValueError(f"caption {text!r} of {start_s}..{end_s} s: needs words and a span")
        with self._lock:
            self._captions[self._next_caption] = Caption(start_s, end_s, text, camera)
            self._next_caption += 1

    def captions(self, start_s: float, end_s: float, most: int | None = None) -> list[Caption]:
        """What was said about times that touch this span, in time order.

        Args:
            most: only so many of them, the newest; None: all.
        """
        found = self._said(
            lambda caption: caption.touches(start_s, end_s),
            "start_s <= ? AND end_s >= ? ORDER BY start_s DESC, id DESC LIMIT ?",
            *(end_s, start_s, -1 if most is None else most),
        )
        return found if most is None else found[max(0, len(found) - most) :]

    def find(self, text: str) -> list[Caption]:
        """Captions in which every word of the text stands, in time order.

        Case does not matter, and a word may stand within a longer one.  No word finds nothing.
        """
        words = text.casefold().split()
        if not words:
            return []
        return self._said(
            lambda caption: all(word in caption.text.casefold() for word in words),
            " AND ".join(["instr(folded, ?)"] * len(words)),
            *words,
        )

    # ---------------------------------------------------------------- less of it

    def drop(self, numbers: Iterable[int], spans: Sequence[tuple[float, float]] = ()) -> None:
        """Delete pictures of chunks, and captions and events that lie within one of these spans.

        For what has grown too old; `forget` leaves no trace either.
        """
        self._delete(
            list(numbers),
            lambda c: any(c.start_s >= start_s and c.end_s <= end_s for start_s, end_s in spans),
            "start_s >= ? AND end_s <= ?",
            spans,
        )

    def forget(
        self, numbers: Iterable[int], start_s: float, end_s: float, camera: str | None = None
    ) -> None:
        """Delete pictures of chunks, captions and events that touch a span, for good.

        When it returns, nothing of them is left in RAM, in the file or in its write-ahead log.

        Args:
            camera: only captions and events of this one; None: of all.

        Raises:
            OSError: if a reader in another process kept the log from being emptied.  Calling
                again is harmless.
        """
        with self._changing:
            self._delete(
                list(numbers),
                lambda c: c.touches(start_s, end_s) and camera in (None, c.camera),
                "start_s <= ? AND end_s >= ? AND (camera = ? OR ? IS NULL)",
                [(end_s, start_s, camera, camera)],
            )
            self._database.checkpoint()
            is_left = files.size_at(self._path.with_name(f"{self._path.name}-wal"))
        if is_left:
            raise OSError(
                f"{self._path}: a reader keeps its log in use, so what was forgotten still lies "
                "in it; close the reader, then forget again"
            )

    # ---------------------------------------------------------------- the file

    def discard(self, number: int) -> None:
        """Forget a picture that no commit has written."""
        with self._lock:
            self._pictures.pop(number, None)

    def commit(self, before: int | None = None) -> None:
        """Hand over to the disk what was put since the last time.

        Args:
            before: only pictures of chunks with lower numbers; None: all.

        Raises:
            MemoryFull: if the disk is full.  It stays in RAM and can be committed later.
        """
        with self._changing:
            with self._lock:
                captions = dict(self._captions)
                pictures = {
                    number: jpeg
                    for number, jpeg in self._pictures.items()
                    if before is None or number < before
                }
            if not pictures and not captions and not self.events.has_pending:
                return
            with self._database.change() as database:
                database.executemany(
                    "INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", pictures.items()
                )
                database.executemany(
                    "INSERT OR REPLACE INTO captions VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (i, c.start_s, c.end_s, c.camera, c.text, c.text.casefold())
                        for i, c in captions.items()
                    ],
                )
                logged = self.events.write(database)
            self.events.written(logged)
            with self._lock:
                for number, jpeg in pictures.items():
                    if self._pictures.get(number) is jpeg:  # no newer one came meanwhile
                        del self._pictures[number]
                for i in captions:
                    del self._captions[i]

    def bound(self) -> None:
        """Forget the oldest of what waits, where a disk takes none."""
        with self._lock:
            for waiting in (self._pictures, self._captions):
                for name in list(waiting)[: max(0, len(waiting) - MOST_WAITING)]:
                    del waiting[name]
        self.events.bound(MOST_WAITING)

    def vacuum(self) -> None:
        """Give free room in the file back to the disk."""
        with self._changing:
            self._database.vacuum()

    def trim(self) -> None:
        """Give free pages back and cut the log, where no reader keeps it in use."""
        with self._changing:
            self._database.shrink()

    def close(self) -> None:
        """Close the file.  Commits nothing.  Calling it again does nothing."""
        self._database.close()

    def _delete(
        self,
        numbers: Sequence[int],
        is_gone: Callable[[Caption | Event], bool],
        where: str,
        values: Sequence[tuple[Any, ...]],
    ) -> None:
        """Of RAM and file, while no commit is under way."""
        with self._changing:
            with self._lock:
                for number in numbers:
                    self._pictures.pop(number, None)
                self._captions = {i: c for i, c in self._captions.items() if not is_gone(c)}
            self.events.leave(is_gone)
            with self._database.change() as database:
                each = [(number,) for number in numbers]
                database.executemany("DELETE FROM thumbnails WHERE number = ?", each)
                for table in ("captions", "events"):
                    database.executemany(f"DELETE FROM {table} WHERE {where}", values)

    def _said(self, is_meant: Callable[[Caption], bool], where: str, *values: Any) -> list[Caption]:
        """RAM is looked at first: what a commit moves meanwhile is found twice, as one."""
        with self._lock:
            found = {i: c for i, c in self._captions.items() if is_meant(c)}
        query = f"SELECT id, start_s, end_s, text, camera FROM captions WHERE {where}"
        for i, *fields in self._select("captions", query, *values):
            found[i] = Caption(*fields)
        return [found[i] for i in sorted(found, key=lambda i: (found[i].start_s, i))]

    def _select(self, table: str, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Nothing where the table is not made yet: a writer of an earlier version made the file."""
        made = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if not self._database.select(made, table):
            return []
        return self._database.select(query, *values)


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
