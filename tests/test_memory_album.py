"""The album keeps one small picture a chunk, and gives it back after a restart."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from longtake.memory.album import Album


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
