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

from torch import Tensor

from longtake.memory import files
from longtake.memory.album import Album
from longtake.memory.catalog import Catalog
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryDamaged, MemoryFull, MemoryMissing, WriterLock
from longtake.memory.intent import Intent
from longtake.memory.segment_head import Head, encode_head
from longtake.memory.segments import Place, SegmentLog, read_head, segment_path, segment_size

_log = logging.getLogger(__name__)
CATALOG, _ALBUM, _SEGMENTS = "catalog.sqlite", "album.sqlite", "segments"


class MemoryFolder:
    """The files of one memory: one thread writes, any thread reads.

    Args:
        path: made where there is none.  None: a private folder among the system's temporary
            files, never synced, deleted at `close`.
        model: name of the model whose memory it is; None: whatever model made it.
        fingerprint: tells its weights and settings from others of the same name.
        config: budgets.
        read_only: read along with a writer; nothing is made, cut or written.
        key_bias: float32 ``[L, H*D]`` that lossy codecs take off the keys; None: as the
            segments that are there say.

    Raises:
        MemoryInUse, WrongModel, MemoryFromFuture, MemoryDamaged, MemoryMissing: see `Store.open`.
    """

    catalog: Catalog
    segments: SegmentLog
    album: Album
    key_bias: Tensor | None

    def __init__(
        self,
        path: Path | None,
        *,
        model: str | None,
        fingerprint: str | None,
        config: MemoryConfig,
        read_only: bool,
        key_bias: Tensor | None = None,
    ) -> None:
        if path is None and read_only:
            raise ValueError("read_only=True needs a folder: a temporary memory has one user")
        self.is_temporary = path is None
        self.read_only = read_only
        self.dropped = 0  # chunks whose bytes were gone when it was opened
        self._is_album_failing = False  # told already
        self._config = config
        with ExitStack() as stack:
            if path is None:
                path = Path(stack.enter_context(TemporaryDirectory(prefix="longtake-")))
            self.path = path
            if read_only or model is None:
                self._require_files()
            if not read_only:
                files.make_folder(path)
                files.require_own(path)
                stack.enter_context(WriterLock(path))
                self._refuse_lost_catalog()
            self._open_files(model, fingerprint, key_bias, stack)
            self._resources = stack.pop_all()

    @property
    def nbytes(self) -> int:
        """Bytes of segments, catalog and album on disk."""
        return self.segments.nbytes + self.catalog.nbytes + self.album.nbytes

    @property
    def segment_bytes(self) -> int:
        """At which size a segment is closed: small enough that a budget can be kept by parts."""
        wished, limit = self._config.segment_bytes, self._config.disk_bytes
        return wished if limit is None else min(wished, max(1, limit // 16))

    def sync_payload(self) -> None:
        """Make durable what was appended.

        Raises:
            OSError: if the disk failed.  What was appended since the last time is not durable,
                and never will be in this segment: it is to be appended again, to another.
        """
        if not self.is_temporary:
            self.segments.sync()

    def commit_rows(self) -> None:
        """Make durable what was noted, added and put, once its payload is.

        Raises:
            MemoryFull: if there is no room for the rows; they stay, and the next call tries again.
        """
        if self.catalog.has_pending:
            self.catalog.commit()
        try:
            self.album.commit(before=self.catalog.next_number)
            self._is_album_failing = False
        except OSError as error:  # pictures never keep chunks from being durable
            self.album.bound()
            if not self._is_album_failing and not isinstance(error, MemoryFull):
                _log.warning("%s: the newest pictures wait: %s", self.path, error)
            self._is_album_failing = True

    def trim(self) -> None:
        """Cut the databases' logs, where no reader keeps them in use."""
        self.catalog.trim()
        self.album.trim()

    def finish(self) -> None:
        """Do what an earlier failure left to be done.  Raises OSError if it still cannot be."""
        intent = Intent.parse(self.catalog.intent)
        if intent:
            self.carry_out(intent)

    def carry_out(self, intent: Intent) -> None:
        """Do what the catalog says is to be done, and say that it is done."""
        intent.carry_out(self.segments, self.album)
        self.catalog.intend({})
        if intent.forget is not None and intent.forget.is_traceless:
            self.catalog.checkpoint()

    def close(self) -> None:
        """Give everything back; a temporary folder is deleted.  Commits nothing."""
        self._resources.close()

    def _open_files(
        self,
        model: str | None,
        fingerprint: str | None,
        key_bias: Tensor | None,
        stack: ExitStack,
    ) -> None:
        durable, read_only = not self.is_temporary, self.read_only
        self.album = Album(
            self.path / _ALBUM,
            thumbnail_px=self._config.thumbnail_px,
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
        if read_only:
            self.key_bias = key_bias
            self.segments = SegmentLog(
                self.path / _SEGMENTS, segment_bytes=self.segment_bytes, read_only=True
            )
            stack.enter_context(closing(self.segments))
            return
        self._drop_torn_rows()
        self._open_log(key_bias, stack)

    def _open_log(self, key_bias: Tensor | None, stack: ExitStack) -> None:
        """Finish what a crash interrupted, and go on where the last record ends."""
        intent = Intent.parse(self.catalog.intent)
        if key_bias is None and (newest := self._newest_head()) is not None:
            key_bias = newest.key_bias
        self.key_bias = key_bias
        head = encode_head(self.catalog.model, self.catalog.fingerprint, key_bias)
        known = self.catalog.segments()
        self.segments = SegmentLog(
            self.path / _SEGMENTS,
            segment_bytes=self.segment_bytes,
            head=head,
            known=known | set(intent.remove),
            after=self._resume_after(head),
        )
        stack.enter_context(closing(self.segments))
        self.finish()

    def _newest_head(self) -> Head | None:
        """Of the newest segment whose head can be read."""
        for number in sorted(self.catalog.segments(), reverse=True):
            try:
                head = read_head(segment_path(self.path / _SEGMENTS, number))
            except OSError:
                continue
            if head is not None:
                return head
        return None

    def _resume_after(self, head: bytes) -> Place | None:
        """Where a segment goes on: that of the newest chunk, if it was begun like those to come."""
        row = self.catalog.last()
        if row is None or row.place is None:
            return None
        try:
            found = read_head(segment_path(self.path / _SEGMENTS, row.place.segment))
        except OSError:
            return None
        if found is None or encode_head(found.model, found.fingerprint, found.key_bias) != head:
            return None
        if row.codec.removeprefix("unbiased-") != self._config.codec:
            return None
        last = self.catalog.last_of(row.place.segment)
        assert last is not None
        return last.place

    def _require_files(self) -> None:
        for name in (CATALOG, _ALBUM):
            if not (self.path / name).is_file():
                raise MemoryMissing(f"{self.path}: no memory here (there is no {name})")

    def _refuse_lost_catalog(self) -> None:
        """Segments without a catalog are orphans: the catalog is always there first."""
        if not (self.path / CATALOG).exists() and any((self.path / _SEGMENTS).glob("*.kvseg")):
            raise MemoryDamaged(
                f"{self.path}: there are segments but no {CATALOG}; put it back, make it again "
                f"from the segments (longtake memory verify --rebuild {self.path}), or choose "
                "another folder. Nothing was changed"
            )

    def _drop_torn_rows(self) -> None:
        """Forget the newest chunks whose bytes a short file no longer holds.

        A file that is missing altogether was not torn by a crash: its rows stay, so that its
        chunks are back when it is.
        """
        while (row := self.catalog.last()) is not None and row.place is not None:
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
