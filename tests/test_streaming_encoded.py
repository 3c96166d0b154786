"""Pictures as bytes: decoded as they are, refused before they cost anything."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from longtake.streaming.encoded import MOST_SCANS, decode, size_of


def drawn(height: int = 37, width: int = 53) -> Any:
    """Red to the right, green to the bottom, no blue: uint8 RGB."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return image


def encoded(image: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()


JPEG, PNG = encoded(drawn(), "JPEG", quality=95), encoded(drawn(), "PNG")


def sized(width: int, height: int) -> bytes:
    """The JPEG, with another size in its frame header."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_png_is_decoded_exactly_and_a_jpeg_nearly(kind: Any) -> None:
    assert size_of(kind(JPEG)) == size_of(kind(PNG)) == (53, 37)
    assert (decode(kind(PNG)) == drawn()).all()
    apart = np.abs(decode(kind(JPEG)).astype(int) - drawn())
    assert apart.mean() < 3.0 and decode(JPEG).dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "I;16"])
def test_every_kind_of_png_becomes_rgb(mode: str) -> None:
    out = io.BytesIO()
    flat = Image.fromarray(np.full((8, 6, 3), 200, np.uint8)).convert("L")
    if mode == "I;16":
        Image.fromarray(np.full((8, 6), 200 << 8, np.uint16)).save(out, "PNG")
    else:
        flat.convert(mode).save(out, "PNG")
    image = decode(out.getvalue())
    assert image.shape == (8, 6, 3) and (image == 200).all()


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"comment": "x"}])
def test_every_kind_of_jpeg_is_known(options: dict[str, Any]) -> None:
    data = encoded(drawn(), "JPEG", quality=95, **options)
    assert size_of(data) == (53, 37)
    assert np.abs(decode(data).astype(int) - drawn()).mean() < 3.0


def test_a_picture_that_was_taken_sideways_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    data = encoded(drawn(), "JPEG", quality=95, exif=exif)
    assert decode(data).shape == (53, 37, 3)
    assert np.abs(decode(data).astype(int) - np.rot90(drawn(), -1)).mean() < 3.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"GIF89a" + bytes(99), "neither JPEG nor PNG"),
        (JPEG[:3], "broken"),
        (JPEG[: len(JPEG) // 2], "broken"),
        (JPEG[:-2], "broken"),
        (PNG[:20], "broken"),
        (PNG[: len(PNG) // 2], "broken"),
        (JPEG[:2] + b"\xff\xe0\x00\x02" * 1000 + JPEG[2:], "broken"),
        (sized(0, 37), "broken"),
        (sized(60_000, 834), "60000x834: must be at most 50 megapixels"),
        (PNG[:16] + struct.pack(">II", 1 << 20, 48) + PNG[24:], "at most 50 megapixels"),
        (JPEG[:-2] + b"\xff\xda\x00\x02" * MOST_SCANS + JPEG[-2:], "65 scans"),
    ],
)
def test_what_is_no_picture_or_too_large_is_told_without_decoding(
    data: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    for look in (size_of, decode):
        with pytest.raises(ValueError, match=said):
            look(data)


def test_fifty_megapixels_are_allowed() -> None:
    assert size_of(sized(50_000, 1000)) == (50_000, 1000)


@given(st.sampled_from([JPEG, PNG]), st.lists(st.tuples(st.integers(0), st.integers(0, 255))))
def test_whatever_is_wrong_with_the_bytes_it_is_a_picture_or_a_value_error(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    try:
        width, height = size_of(broken)
        if width * height > 1_000_000:
            return
        image = decode(broken)
    except ValueError:
        return
    assert image.ndim == 3 and image.dtype == np.uint8


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_bytes_that_are_none_are_told(data: bytes, begins: bytes) -> None:
    try:
        size_of(begins + data)
    except ValueError:
        return
    assert begins or data[:3] == b"\xff\xd8\xff" or data[:4] == b"\x89PNG"
