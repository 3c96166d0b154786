"""What kinds of pictures come out as people see them: shape, turn, colours, what is transparent."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.streaming.errors import NotAVideo, SourceError
from tests.test_streaming_sources import make_clip, read, steps, times, with_matrix


def quarters() -> np.ndarray:
    """A picture whose corners differ: white, light, dark, black (row by row)."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:], image[32:, :48] = 255, 170, 85
    return image


def corners(image: np.ndarray) -> list[int]:
    """Brightness at the four corners, row by row, as numbers 0 (black) to 3."""
    height, width = image.shape[:2]
    rows, columns = (
        (slice(2, 10), slice(height - 10, height - 2)),
        (
            slice(2, 10),
            slice(width - 10, width - 2),
        ),
    )
    return [round(float(image[r, c].mean()) / 85) for r in rows for c in columns]


def make_one(path: Path, image: np.ndarray, **codec: object) -> Path:
    """One picture as a video; `codec` sets attributes of its stream."""
    name = str(codec.pop("codec", "libx264"))
    options = {"update": "1"} if path.suffix in (".png", ".jpg") else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(name, rate=10)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = str(codec.pop("pix_fmt", "yuv420p"))
        for key, value in codec.items():
            setattr(stream.codec_context, key, value)
        shape = "rgba" if image.shape[2] == 4 else "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=shape)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(
    ("aspect", "shape"),
    [
        (Fraction(4, 3), (64, 128)),
        (Fraction(1, 2), (64, 48)),
        (Fraction(1), (64, 96)),
        (Fraction(0), (64, 96)),
        (Fraction(200, 1), (64, 96)),  # nonsense
    ],
)
def test_pixels_that_are_not_square_are_made_square(
    tmp_path: Path, name: str, aspect: Fraction, shape: tuple[int, int]
) -> None:
    path = make_one(tmp_path / name, quarters(), sample_aspect_ratio=aspect)
    image = read(path)[0][0].image
    assert image.shape == (*shape, 3)
    assert corners(image) == [3, 2, 1, 0]


def test_a_wide_picture_is_scaled_down_in_its_right_shape(tmp_path: Path) -> None:
    path = make_one(tmp_path / "a.mp4", quarters(), sample_aspect_ratio=Fraction(4, 3))
    assert read(path, max_side=64)[0][0].image.shape == (32, 64, 3)


def test_after_a_change_of_size_pixels_have_the_shape_the_pictures_say(tmp_path: Path) -> None:
    wide = make_one(tmp_path / "1.ts", quarters(), sample_aspect_ratio=Fraction(4, 3))
    square = make_clip(tmp_path / "2.ts", steps(40, first_s=0.1), size=(640, 368), key_every=1)
    (tmp_path / "both.ts").write_bytes(wide.read_bytes() + square.read_bytes())
    frames, report = read(tmp_path / "both.ts")
    assert report.size_changes == 1
    assert frames[-1].image.shape == (368, 640, 3)


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), [3, 2, 1, 0]),
        ((-1, 0, 0, -1), [0, 1, 2, 3]),
        ((-1, 0, 0, 1), [2, 3, 0, 1]),  # mirrored, as front cameras do
        ((1, 0, 0, -1), [1, 0, 3, 2]),  # upside down in a mirror
        ((0, 1, 1, 0), [3, 1, 2, 0]),  # over the diagonal
        ((0, 1, -1, 0), [1, 3, 0, 2]),  # a quarter turn with the clock
    ],
)
def test_pictures_are_turned_and_mirrored_as_the_file_says(
    tmp_path: Path, matrix: tuple[int, ...], seen: list[int]
) -> None:
    path = with_matrix(make_one(tmp_path / "a.mp4", quarters()), *matrix)
    assert corners(read(path)[0][0].image) == seen


@pytest.mark.parametrize(("degrees", "shape"), [(10, (64, 96)), (80, (96, 64)), (170, (64, 96))])
def test_any_other_angle_is_taken_for_the_nearest_quarter_turn(
    tmp_path: Path, degrees: int, shape: tuple[int, int]
) -> None:
    path = make_one(tmp_path / "a.mp4", quarters())
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44
    cos, sin = (round(f(np.radians(degrees)) * 65536) for f in (np.cos, np.sin))
    packed = struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + packed + data[at + len(packed) :])
    assert read(path)[0][0].image.shape == (*shape, 3)


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [(1, [3, 2, 1, 0]), (3, [0, 1, 2, 3]), (6, [1, 3, 0, 2]), (8, [2, 0, 3, 1])],
)
def test_a_photograph_stands_as_its_camera_was_held(
    tmp_path: Path, orientation: int, seen: list[int]
) -> None:
    path = make_one(tmp_path / "a.jpg", quarters(), codec="mjpeg", pix_fmt="yuvj420p")
    tag = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert corners(read(path)[0][0].image) == seen


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("libx264", "yuv444p"),
        ("libx264", "yuv422p10le"),
        ("libx264", "yuv420p10le"),
        ("libx264", "yuvj420p"),
        ("ffv1", "gray16le"),
        ("ffv1", "bgr0"),
        ("ffv1", "yuv420p16le"),
        ("mpeg2video", "yuv422p"),
    ],
)
def test_every_pixel_format_comes_out_in_the_same_colours(
    tmp_path: Path, codec: str, pix_fmt: str
) -> None:
    image = quarters()
    path = make_one(tmp_path / "a.mkv", image, codec=codec, pix_fmt=pix_fmt)
    frames, report = read(path)
    assert frames[0].image.shape == image.shape
    for y, x in ((4, 4), (4, 90), (60, 4), (60, 90)):
        assert frames[0].image[y, x].astype(int) == pytest.approx(image[y, x].astype(int), abs=6)
    assert report.corrupt == 0


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 4), np.uint8)  # black, from opaque to nothing
    image[:, :48, 3] = 255
    image[32:, :, 3] //= 2
    seen = read(make_one(tmp_path / "a.png", image, codec="png", pix_fmt="rgba"))[0][0].image
    assert seen[4, 4].tolist() == [0, 0, 0]
    assert seen[4, 90].tolist() == [255, 255, 255]
    assert seen[60, 4].tolist() == [128, 128, 128]


def test_an_animated_gif_is_a_video_with_its_own_pace(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb8"
        stream.codec_context.time_base = Fraction(1, 100)
        for stamp, level in ((0, 0), (30, 100), (200, 200), (230, 255)):
            gray = np.full((64, 96, 3), level, np.uint8)
            picture = av.VideoFrame.from_ndarray(gray).reformat(format="rgb8")
            picture.pts, picture.time_base = stamp, Fraction(1, 100)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    frames, report = read(path)
    assert times(frames) == pytest.approx([0, 0.3, 2.0, 2.3])
    levels = [float(frame.image.mean()) for frame in frames]
    assert levels == sorted(levels) and levels[-1] > 250
    assert report.complete


def make_png(path: Path, width: int, height: int) -> Path:
    """A black PNG of any size, small in bytes."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(width * 3 + 1)) for _ in range(height)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_a_header_that_promises_an_absurd_size_costs_no_memory(tmp_path: Path) -> None:
    path = make_png(tmp_path / "a.png", 8, 8)
    data = path.read_bytes()
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(data[:12] + header + crc + data[12 + len(header) + 4 :])
    with pytest.raises(NotAVideo, match=r"a\.png: not one picture .* or larger than 67108864 px"):
        read(path)


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.png: .*(too large|larger than) "):
        read(make_png(tmp_path / "a.png", 9000, 8000))


def test_a_picture_that_is_too_long_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a side may have 16384 px"):
        read(make_png(tmp_path / "a.png", 20_000, 4))


def test_only_a_cover_is_a_picture_and_beside_a_video_it_is_none(tmp_path: Path) -> None:
    cover = make_one(tmp_path / "cover.jpg", quarters(), codec="mjpeg", pix_fmt="yuvj420p")
    path = tmp_path / "a.mp4"
    small = make_clip(tmp_path / "small.mp4", steps(5), size=(64, 48))
    with av.open(str(small)) as video, av.open(str(cover)) as picture:
        with av.open(str(path), "w") as both:
            first = both.add_stream_from_template(picture.streams.video[0])
            first.disposition = av.stream.Disposition.attached_pic
            second = both.add_stream_from_template(video.streams.video[0])
            for source, stream in ((picture, first), (video, second)):
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.stream = stream
                        both.mux(packet)
    frames, report = read(path)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert report.complete
