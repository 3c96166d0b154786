"""An export as one file over HTTP: made in a private folder, sent as it is packed, then removed."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from longtake.server.private_folder import PrivateFolder
from longtake.server.routes.blocking import Blocking
from longtake.server.routes.face import NO_STORE
from longtake.server.takes.hosted import Hosted

PIECE_BYTES = 1 << 20


async def export_zip(
    blocking: Blocking, hosted: Hosted, start_s: float | None, end_s: float | None
) -> Zipped:
    """Export a stretch, None: without end, and answer with it.

    Raises:
        TooMany: if as many exports lie on the disk as may be, until they are sent.
        ValueError: if these are not two times in order.
        OSError: if the disk does not take it.
    """
    held = ExitStack()  # a place, and the folder that needs it
    held.callback(hosted.exports.take())
    try:
        folder = await asyncio.to_thread(PrivateFolder, "export")
        held.callback(folder.remove)
        await blocking.run(hosted.take.export, folder.path / hosted.id, start_s, end_s)
    except BaseException:
        await asyncio.to_thread(held.close)
        raise
    return Zipped(blocking, folder.path, f"{hosted.id}.zip", held.close)


class Zipped(StreamingResponse):
    """A folder as a zip.

    Args:
        over: called on a thread when the answer is over, however it ends.
    """

    media_type = "application/zip"

    def __init__(
        self, blocking: Blocking, folder: Path, name: str, over: Callable[[], object]
    ) -> None:
        self._over = over
        shown = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(_off_loop(blocking, packed(folder)), headers=NO_STORE | shown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.to_thread(self._over)


def packed(folder: Path) -> Iterator[bytes]:
    """The folder's files as the bytes of a zip, in pieces; tensors do not get smaller, so nothing
    is compressed."""
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder))
            with path.open("rb") as source, archive.open(info, "w") as place:
                while piece := source.read(PIECE_BYTES):
                    place.write(piece)
                    yield out.taken()
    yield out.taken()


class _Out(io.RawIOBase):
    """Holds what was written until it is taken; cannot go back."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]
        self._held += piece
        return len(piece)

    def taken(self) -> bytes:
        piece, self._held = bytes(self._held), bytearray()
        return piece


async def _off_loop(blocking: Blocking, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await blocking.run(next, pieces, None)) is not None:
        yield piece
