"""A form with a video in it, written to its folder as it comes, never whole in memory.

Fields are `file` and `camera`; what else is sent is read and let go.  What is done with the video,
and how large it may be, is known to `uploads`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from longtake.server.routes.blocking import Blocking
from longtake.server.routes.errors import Problem
from longtake.server.takes.uploads import Upload, Uploads

MOST_FIELD_BYTES = 1024
MOST_PARTS = 8
MOST_HEADER_BYTES = 8192  # of one part
FORM = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Sent:
    """A whole form.  The upload is whoever's has it."""

    upload: Upload
    name: str  # as the visitor's machine calls the file
    camera: str


async def receive(request: Request, uploads: Uploads, blocking: Blocking) -> Sent:
    """Read a form to its end.  Nothing is left on the disk where this raises.

    Raises:
        Problem: if it is no such form, or has no file.
        TooLarge: if the file is larger than it may be; the rest of it is not read.
        OSError: if the disk does not take it.
        ClientDisconnect: if the visitor left.
    """
    boundary = _boundary(request)
    upload = await blocking.run(uploads.begin)
    parts = _Parts(upload)
    parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
    try:
        async for piece in request.stream():
            if piece:
                await blocking.run(parser.write, piece)
        parser.finalize()
        return parts.sent()
    except FormParserError as error:
        upload.discard()
        raise Problem(400, "invalid_form", "the form is cut off, or is none") from error
    except BaseException as error:
        with suppress(OSError):
            upload.discard()
        if isinstance(error, ClientDisconnect):
            raise Problem(400, "cut_off", "the visitor left in the middle of the form") from error
        raise


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind.lower() != FORM.encode() or not 0 < len(boundary) <= 70:
        said = f"the body must be a form with a file in it: Content-Type {FORM}"
        raise Problem(422, "invalid_form", said, "file")
    return boundary


@dataclass
class _Parts:
    """What the parser meets, in order."""

    upload: Upload
    fields: dict[str, bytearray] = field(default_factory=dict)
    name: str | None = None
    _key: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _current: str = ""
    _is_file: bool = False
    _count: int = 0
    _is_whole: bool = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def sent(self) -> Sent:
        if not self._is_whole:
            raise Problem(400, "invalid_form", "the form is cut off")
        if self.name is None:
            raise Problem(
                422, "invalid_field", "file: is missing; send the video as `file`", "file"
            )
        camera = bytes(self.fields.get("camera", b"")).decode("utf-8", "replace")
        if len(camera) > 64:
            raise Problem(422, "invalid_field", "camera: at most 64 letters", "camera")
        return Sent(self.upload, self.name, camera)

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise Problem(400, "invalid_form", f"the form has more than {MOST_PARTS} parts")
        self._headers, self._current, self._is_file = {}, "", False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]
        self._bound()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._key) + len(self._value) > MOST_HEADER_BYTES:
            raise Problem(400, "invalid_form", "a part's header is too long")

    def _header_end(self) -> None:
        self._headers[bytes(self._key).lower()] = bytes(self._value)
        self._key, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._current = options.get(b"name", b"").decode("utf-8", "replace")
        if self._current == "file" and b"filename" in options:
            if self.name is not None:
                raise Problem(422, "invalid_field", "file: is there twice; send one video", "file")
            self._is_file = True
            self.name = options[b"filename"].decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.upload.write(data[start:end])
            return
        if self._current != "camera":
            return
        held = self.fields.setdefault(self._current, bytearray())
        held += data[start:end]
        if len(held) > MOST_FIELD_BYTES:
            raise Problem(422, "invalid_field", "camera: at most 64 letters", "camera")

    def _end(self) -> None:
        self._is_whole = True
