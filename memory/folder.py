"""A memory's folder: what lies in it, opened together and made durable together.

    writer.lock | catalog.sqlite | album.sqlite | segments/000000.kvseg ...

The catalog is signed before the first segment is begun.  On `commit` the payload comes first,
then the rows that speak of it.  What chunks are is not known here.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from longtake.memory import files
from longtake.memory.album import Album
from longtake.memory.catalog import Catalog
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryDamaged, MemoryMissing, WriterLock
from longtake.memory.segments import SegmentLog, segment_size

_log = logging.getLogger(__name__)
CATALOG, _ALBUM, _SEGMENTS = "catalog.sqlite", "album.sqlite", "segments"


class MemoryFolder:
    """The files of one memory: one thread at a time.

    Args:
        path: made where there is none.  None: a private folder among the system's temporary
            files, never synced, deleted at `close`.
        model: name of the model whose memory it is.
        fingerprint: tells its weights and settings from others of the same name.
        config: budgets.
        read_only: read along with a writer; nothing is made, cut or written.

    Raises:
        MemoryInUse, WrongModel, MemoryFromFuture, MemoryDamaged, MemoryMissing: see `Store.open`.
    """

    catalog: Catalog
    segments: SegmentLog
    album: Album

    def __init__(
        self,
        path: Path | None,
        *,
        model: str,
        fingerprint: str,
        config: MemoryConfig,
        read_only: bool,
    ) -> None:
        if path is None and read_only:
            raise ValueError("read_only=True needs a folder: a temporary memory has one user")
        self.is_temporary = path is None
        self.read_only = read_only
        self.dropped = 0  # chunks whose bytes were gone when it was opened
        self.failure: OSError | None = None  # the disk failed: nothing more may be written
        with ExitStack() as stack:
            if path is None:
                path = Path(stack.enter_context(TemporaryDirectory(prefix="longtake-")))
            self.path = path
            if read_only:
                self._require_files()
            else:
                files.make_folder(path)
                stack.enter_context(WriterLock(path))
                self._refuse_lost_catalog()
            self._open_files(model, fingerprint, config, stack)
            self._resources = stack.pop_all()

    @property
    def nbytes(self) -> int:
        """Bytes of segments, catalog and album on disk."""
        return self.segments.nbytes + self.catalog.nbytes + self.album.nbytes

    def commit(self) -> None:
        """Make durable what was appended, added, noted and put: payload first, rows last.

        Raises:
            MemoryFull: if there is no room for the rows; they stay, and the next call tries again.
            OSError: if the disk failed; sets `failure`, rows not durable by now never will be.
        """
        if self.catalog.has_pending and not self.is_temporary:
            self._sync_payload()
        self.album.commit()
        if self.catalog.has_pending:
            self.catalog.commit()

    def close(self) -> None:
        """Give everything back; a temporary folder is deleted.  Commits nothing."""
        self._resources.close()

    def _open_files(
        self, model: str, fingerprint: str, config: MemoryConfig, stack: ExitStack
    ) -> None:
        durable, read_only = not self.is_temporary, self.read_only
        self.album = Album(
            self.path / _ALBUM,
            thumbnail_px=config.thumbnail_px,
            read_only=read_only,
            durable=durable,
        )
        stack.enter_context(closing(self.album))
        self.catalog = Catalog(
            self.path / CATALOG,
            model=model,
            fingerprint=fingerprint,
            read_only=read_only,
            durable=durable,
        )
        stack.enter_context(closing(self.catalog))
        if not read_only:
            self._drop_torn_rows()
        newest = self.catalog.last()
        self.segments = SegmentLog(
            self.path / _SEGMENTS,
            segment_bytes=config.segment_bytes,
            after=None if newest is None else newest.place,
            read_only=read_only,
        )
        stack.enter_context(closing(self.segments))

    def _sync_payload(self) -> None:
        try:
            self.segments.sync()
        except OSError as error:
            self.failure = OSError(
                error.errno,
                f"the disk did not take the chunks after the first {self.catalog.durable} "
                f"({error.strerror}); they can be read until this memory is closed, and no more "
                "are taken in. Check the disk, then open the memory again",
                str(self.path),
            )
            raise self.failure from error

    def _require_files(self) -> None:
        for name in (CATALOG, _ALBUM):
            if not (self.path / name).is_file():
                raise MemoryMissing(f"{self.path}: no memory here (there is no {name})")

    def _refuse_lost_catalog(self) -> None:
        """Segments without a catalog are orphans: the catalog is always there first."""
        if not (self.path / CATALOG).exists() and any((self.path / _SEGMENTS).glob("*.kvseg")):
            raise MemoryDamaged(
                f"{self.path}: there are segments but no {CATALOG}; put it back, or choose "
                "another folder. Nothing was changed"
            )

    def _drop_torn_rows(self) -> None:
        """Forget the newest chunks whose bytes a short file no longer holds.

        A file that is missing altogether was not torn by a crash: its rows stay, so that its
        chunks are back when it is.
        """
        while (row := self.catalog.last()) is not None:
            size = segment_size(self.path / _SEGMENTS, row.place.segment)
            if size is None or row.place.end <= size:
                break
            self.dropped += self.catalog.drop_beyond(row.place.segment, size)
        if self.dropped:
            _log.warning(
                "%s: the bytes of the last %d chunks are cut off; they are lost",
                self.path,
                self.dropped,
            )
