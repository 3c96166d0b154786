"""Videos that visitors send: bounded, private, known by their content alone, and gone when seen."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from longtake.server.config import ServeConfig
from longtake.server.private_folder import PREFIX
from longtake.server.takes import hosted as hosted_module
from longtake.server.takes.hosted import Hosted
from longtake.server.takes.refusals import Ending, TooMany
from longtake.server.takes.uploads import MOST_AT_ONCE, Checked, TooLarge, Uploads, check
from longtake.streaming.errors import NotAVideo
from tests.clips import write_clip
from tests.rigs.hosting import LONG_S, hall, jpeg
from tests.rigs.watching import until

CONFIG = ServeConfig(port=0, max_upload_bytes=1000, max_upload_s=10.0, max_picture_pixels=320 * 240)


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with Uploads(CONFIG, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def take() -> Iterator[Hosted]:
    with hall(CONFIG) as made:
        yield made.open("live")


# ------------------------------------------------------------------ bytes on their way


def test_an_upload_lies_where_nobody_else_may_look(uploads: Uploads, tmp_path: Path) -> None:
    upload = uploads.begin()
    upload.write(b"abc")
    path = upload.finish()
    assert path.read_bytes() == b"abc" and path.parent.parent == tmp_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other = uploads.begin()
    other.discard()
    assert other.path != path


def test_so_many_are_sent_at_the_same_time(uploads: Uploads) -> None:
    under_way = [uploads.begin() for _ in range(MOST_AT_ONCE)]
    with pytest.raises(TooMany, match=f"{MOST_AT_ONCE} videos"):
        uploads.begin()
    under_way[0].finish()
    under_way[1].discard()
    under_way[1].discard()
    two = [uploads.begin(), uploads.begin()]
    with pytest.raises(TooMany):
        uploads.begin()
    for each in (*under_way, *two):
        each.discard()
    uploads.begin().discard()


def test_no_more_is_written_than_may_be(uploads: Uploads) -> None:
    upload = uploads.begin()
    upload.write(b"x" * 999)
    upload.write(b"x")
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        upload.write(b"x")
    assert upload.finish().stat().st_size == 1000
    upload.discard()
    upload.discard()
    assert not upload.path.exists()


def test_the_folder_goes_with_the_server_and_nothing_comes_behind(tmp_path: Path) -> None:
    with Uploads(CONFIG, tmp_path) as uploads:
        upload = uploads.begin()
        upload.write(b"half of it")
        upload.finish()
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Ending):
        uploads.begin()
    uploads.close()


def test_what_a_killed_server_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from longtake.server.private_folder import PrivateFolder; "
        "made = PrivateFolder('uploads', pathlib.Path(sys.argv[1])); "
        "(made.path / 'video').write_bytes(b'x'); print(made.path, flush=True); time.sleep(600)"
    )
    started = [sys.executable, "-c", code, str(tmp_path)]
    with (
        Uploads(CONFIG, tmp_path) as first,
        subprocess.Popen(started, stdout=subprocess.PIPE, text=True) as other,
    ):
        try:
            mine = first.begin().finish()
            assert other.stdout is not None
            its = Path(other.stdout.readline().strip())
            strange = tmp_path / f"{PREFIX}link"
            strange.symlink_to(tmp_path)
            with Uploads(CONFIG, tmp_path):
                assert (its / "video").exists() and mine.exists(), "both live"
        finally:
            other.kill()
            other.wait(LONG_S)
        with Uploads(CONFIG, tmp_path):
            assert not its.exists() and mine.exists() and strange.is_symlink()


# ------------------------------------------------------------------ what is in them


def write_transport(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    """A segment as a playlist names it."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def playlist(secret: Path) -> str:
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n"
        f"#EXTINF:1.0,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n"
    )


def relative_playlist(secret: Path) -> str:
    return playlist(secret).replace(secret.as_uri(), secret.name)


def list_of_files(secret: Path) -> str:
    return f"ffconcat version 1.0\nfile {secret.name}\n"


def dash(secret: Path) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-live:2011" mediaPresentationDuration="PT1S">'
        f'<Period><AdaptationSet mimeType="video/mp2t"><BaseURL>{secret.as_uri()}</BaseURL>'
        '<Representation id="1" bandwidth="1"/></AdaptationSet></Period></MPD>'
    )


def description(secret: Path) -> str:
    return (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    )


@pytest.mark.parametrize("name", ["upload", "clip.mp4", "list.m3u8"])
@pytest.mark.parametrize("make", [playlist, relative_playlist, list_of_files, dash, description])
def test_what_names_other_files_is_refused_and_none_of_them_is_opened(
    tmp_path: Path, name: str, make: Callable[[Path], str]
) -> None:
    secret = write_transport(tmp_path / "private.ts")
    os.utime(secret, (1.0, 2.0))
    upload = tmp_path / name
    upload.write_text(make(secret))
    with pytest.raises(NotAVideo, match="no video") as refused:
        check(upload, CONFIG)
    assert str(tmp_path) not in str(refused.value)
    assert secret.stat().st_atime == 1.0


@pytest.mark.parametrize(
    "data",
    [b"", b"some text\n" * 50, bytes(4096), b"\x00\x00\x00\x18ftypisom" + bytes(200), b"GIF89a"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(NotAVideo, match="the upload"):
        check(path, CONFIG)


def test_a_video_is_known_by_its_content_whatever_it_is_called(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=1, fps=5).rename(tmp_path / "notes.txt")
    checked = check(path, CONFIG)
    assert (checked.path, checked.size, checked.stop_s) == (path, (64, 48), None)


def test_a_picture_is_a_short_video(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(jpeg())
    assert check(path, CONFIG).size == (64, 48)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(NotAVideo, match="no pictures"):
        check(path, CONFIG)


def test_pictures_that_are_too_large_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=1, fps=2, size=(640, 480))
    with pytest.raises(TooLarge, match="640 x 480"):
        check(path, CONFIG)


def test_a_video_that_lasts_too_long_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", seconds=20, fps=1)
    with pytest.raises(TooLarge, match="lasts 20 s"):
        check(path, CONFIG)


def test_one_that_does_not_say_how_long_it_is_ends_where_it_may(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 50, np.uint8))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert check(path, CONFIG).stop_s == CONFIG.max_upload_s


# ------------------------------------------------------------------ in a take


def test_an_upload_is_watched_to_its_end_and_then_gone(take: Hosted, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "f00d.mp4", seconds=3, fps=5)
    before = take.take.stats().frames
    state = take.add_file(path, name="../my film.mp4", camera="film")
    assert (state.kind, state.address, state.camera) == ("file", "my film.mp4", "film")
    assert state.size == (64, 48)
    until(lambda: not path.exists())
    until(lambda: take.sources()[-1].state == "ended")
    assert take.take.stats().frames > before
    assert "f00d" not in take.state_text()


def test_an_upload_that_is_refused_is_gone(take: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"no video")
    with pytest.raises(NotAVideo):
        take.add_file(path, name="a.mp4")
    assert not path.exists()


def test_an_upload_that_breaks_in_the_middle_is_told_and_gone(take: Hosted, tmp_path: Path) -> None:
    path = write_transport(tmp_path / "upload")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(3000))
    take.add_file(path, name="torn.ts")
    until(lambda: take.sources()[-1].is_over)
    until(lambda: not path.exists())
    assert str(tmp_path) not in take.state_text()


def test_where_an_upload_lies_is_not_told(
    take: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it breaks between the check and the watch."""
    path = write_clip(tmp_path / "f00d.mp4", seconds=1, fps=5)
    real = hosted_module.check

    def check_and_break(given: Path, config: ServeConfig) -> Checked:
        checked = real(given, config)
        given.write_bytes(b"broken")
        return checked

    monkeypatch.setattr(hosted_module, "check", check_and_break)
    with pytest.raises(NotAVideo, match=r"^holiday\.mp4: not a video") as refused:
        take.add_file(path, name="holiday.mp4")
    assert str(tmp_path) not in str(refused.value)


def test_an_upload_whose_take_is_closed_is_gone(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "upload.mp4", seconds=9, fps=5, size=(160, 120))
    with hall(CONFIG) as made:
        hosted = made.open("live")
        hosted.add_file(path, name="long.mp4")
        made.remove("live")
        until(lambda: not path.exists(), LONG_S)
