"""The album keeps a picture a chunk and what was said, over restarts, and forgets for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from longtake.memory.album import Album, Caption
from longtake.memory.files import MemoryFull


def picture(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, blue is constant: RGB uint8."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)[None, :]
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    image[..., 2] = 40
    return image


def decoded(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return np.asarray(found)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((480, 640), (240, 320)),
        ((1080, 1920), (180, 320)),
        ((640, 100), (320, 50)),
        ((64, 48), (64, 48)),
        ((2000, 1), (320, 1)),
    ],
)
def test_a_picture_is_scaled_to_fit_and_never_up(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    album.put(0, picture(*size))
    assert decoded(album.jpeg(0)).shape == (*shown, 3)
    album.close()


def test_colours_stay_what_they_were(tmp_path: Path) -> None:
    image = picture(64, 64)
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    album.put(0, image[:, ::1])
    album.put(1, np.asfortranarray(image))
    for number in (0, 1):
        difference = np.abs(decoded(album.jpeg(number)).astype(int) - image)
        assert difference.mean() < 6  # JPEG quality 80
    album.close()


def test_pictures_survive_a_restart_and_replace_each_other(tmp_path: Path) -> None:
    path = tmp_path / "album.sqlite"
    album = Album(path, thumbnail_px=320)
    album.put(3, picture(32, 32))
    album.put(3, picture(16, 48))
    kept = album.jpeg(3)
    album.commit()
    album.put(4, picture(8, 8))
    album.close()
    album = Album(path, thumbnail_px=100)
    assert album.jpeg(3) == kept
    assert decoded(kept).shape == (16, 48, 3)
    assert album.jpeg(4) is None  # it was not committed
    album.close()


def test_bytes_on_disk_are_counted(tmp_path: Path) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    before = album.nbytes
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    for number in range(10):
        album.put(number, noise)
    album.commit()
    jpeg = album.jpeg(0)
    assert jpeg is not None
    assert album.nbytes >= before + 10 * len(jpeg)
    album.close()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, wrong: np.ndarray) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\] RGB"):
        album.put(0, wrong)
    assert album.jpeg(0) is None
    album.close()


# ------------------------------------------------------------------ captions


def said(album: Album) -> None:
    album.add_caption(0.0, 1.5, "A red star falls.")
    album.add_caption(2.0, 3.5, "The STRASSE is empty; a Red car waits.", "door")
    album.add_caption(4.0, 5.5, "100% of the star_s are gone")


def texts(captions: list[Caption]) -> list[str]:
    return [caption.text.split()[1] for caption in captions]


def test_captions_are_found_by_time_and_by_words(tmp_path: Path) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    said(album)
    assert album.captions(1.5, 2.0)[1] == Caption(
        2.0, 3.5, "The STRASSE is empty; a Red car waits.", "door"
    )
    assert texts(album.captions(1.5, 2.0)) == ["red", "STRASSE"]
    assert texts(album.captions(1.6, 1.9)) == []
    assert texts(album.find("RED")) == ["red", "STRASSE"]
    assert texts(album.find("waits straße")) == ["STRASSE"]  # any order, any case
    assert texts(album.find("star falls")) == ["red"]
    assert texts(album.find("% star_")) == ["of"]  # signs stand for themselves
    assert album.find("red moon") == album.find(" ") == []
    album.close()


def test_captions_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "album.sqlite"
    album = Album(path, thumbnail_px=320)
    said(album)
    album.commit()
    album.add_caption(9.0, 9.5, "not committed")
    album.close()
    reader = Album(path, thumbnail_px=320, read_only=True)
    assert len(reader.captions(0.0, 10.0)) == 3
    reader.close()


@pytest.mark.parametrize(("start_s", "end_s", "text"), [(2.0, 1.0, "x"), (0.0, 1.0, " ")])
def test_a_caption_needs_words_and_a_span(
    tmp_path: Path, start_s: float, end_s: float, text: str
) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    with pytest.raises(ValueError, match="needs words and a span"):
        album.add_caption(start_s, end_s, text)
    assert album.captions(0.0, 9.0) == []
    album.close()


def test_an_album_of_an_earlier_version_has_no_captions(tmp_path: Path) -> None:
    path = tmp_path / "album.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE thumbnails (number INTEGER PRIMARY KEY, jpeg BLOB)")
        old.execute("INSERT INTO thumbnails VALUES (7, x'ff')")
        old.commit()
    reader = Album(path, thumbnail_px=320, read_only=True)
    assert (reader.jpeg(7), reader.captions(0.0, 9.0), reader.find("star")) == (b"\xff", [], [])
    reader.close()
    album = Album(path, thumbnail_px=320)
    album.add_caption(0.0, 1.0, "a star")
    assert len(album.find("star")) == 1
    album.close()


# ------------------------------------------------------------------ less of it

CANARY = b"canary-of-the-album-0123456789"


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_is_forgotten_is_in_no_file(tmp_path: Path, is_committed: bool) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    for number in range(20):  # some of many pages, some within one
        album.put_jpeg(number, CANARY * (1 + 400 * (number % 2)))
        album.add_caption(number, number + 0.5, f"{CANARY.decode()} {number}")
    album.put_jpeg(20, b"other")
    album.add_caption(20.0, 20.5, "other")
    if is_committed:
        album.commit()
        assert CANARY in bytes_of(tmp_path)
    album.forget(range(10), 0.0, 9.75)
    assert album.jpeg(9) is None and album.jpeg(10) is not None
    assert len(album.find("canary")) == 10
    album.forget(range(10, 20), 10.0, 19.5)
    assert CANARY not in bytes_of(tmp_path) and CANARY.upper() not in bytes_of(tmp_path)
    assert album.jpeg(20) == b"other" and len(album.find("other")) == 1
    album.close()
    assert CANARY not in bytes_of(tmp_path)


def test_forgetting_one_camera_leaves_what_was_said_of_others(tmp_path: Path) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    said(album)
    album.forget([], 0.0, 9.0, "door")
    assert texts(album.captions(0.0, 9.0)) == ["red", "of"]
    album.forget([], 0.0, 9.0)
    assert album.captions(0.0, 9.0) == []
    album.close()


def test_dropping_takes_pictures_and_captions_within(tmp_path: Path) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    said(album)
    for number in (0, 1, 2):
        album.put_jpeg(number, CANARY)
    album.drop([0, 2, 99], [(0.0, 1.5), (3.0, 5.0)])
    assert [album.jpeg(n) for n in (0, 1, 2)] == [None, CANARY, None]
    assert texts(album.captions(0.0, 9.0)) == ["STRASSE", "of"]  # those that only touch stay
    album.close()


def test_a_reader_in_the_way_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "album.sqlite"
    album = Album(path, thumbnail_px=320)
    album.put_jpeg(0, CANARY)
    album.commit()
    assert album._database._writer is not None
    album._database._writer.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM thumbnails").fetchone()
        with pytest.raises(OSError, match="a reader keeps its log in use"):
            album.forget([0], 0.0, 1.0)
    album.forget([0], 0.0, 1.0)
    assert CANARY not in bytes_of(tmp_path)
    album.close()


def test_what_comes_while_a_commit_writes_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer picture of the same chunk, a forgotten one, and a caption."""
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    said(album)
    album.put_jpeg(0, b"old")
    change = album._database.change

    @contextmanager
    def slow_change() -> Iterator[sqlite3.Connection]:
        with change() as database:
            yield database
            album.put_jpeg(0, b"new")
            album.add_caption(9.0, 9.5, "a late star")

    monkeypatch.setattr(album._database, "change", slow_change)
    album.commit()
    monkeypatch.undo()
    assert album.jpeg(0) == b"new"
    assert len(album.captions(0.0, 10.0)) == 4
    album.commit()
    assert album.jpeg(0) == b"new" and len(album.captions(0.0, 10.0)) == 4
    album.close()


def test_a_full_disk_costs_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album = Album(tmp_path / "album.sqlite", thumbnail_px=320)
    said(album)
    album.put_jpeg(0, CANARY * 10_000)
    assert album._database._writer is not None
    pages = album._database._writer.execute("PRAGMA page_count").fetchone()[0]
    album._database._writer.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(MemoryFull):
        album.commit()
    assert album.jpeg(0) is not None and len(album.captions(0.0, 9.0)) == 3
    album._database._writer.execute("PRAGMA max_page_count=100000")
    album.commit()
    album.close()
    reader = Album(tmp_path / "album.sqlite", thumbnail_px=320, read_only=True)
    assert reader.jpeg(0) is not None and len(reader.captions(0.0, 9.0)) == 3
    reader.close()
