"""What a user typed is sorted, refused with a way out, and shown without its secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from longtake.streaming.addresses import find_path, has_scheme, is_live, parse_address
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceError, SourceNotFound, SourceNotSupported
from longtake.streaming.live_options import options_of, url_of
from longtake.streaming.masks import Mask
from longtake.streaming.sources import is_camera, open_source
from tests.test_streaming_sources import make_clip, steps

SECRET = "rtsp://anna:hunter2@cam/main?token=abc"
CLOSED = "127.0.0.1:9"  # the discard port: nobody listens


@pytest.mark.parametrize(
    ("text", "kind", "url", "form"),
    [
        ("-", "stdin", "-", None),
        ("webcam:0", "device", "/dev/video0", "v4l2"),
        ("WebCam:12", "device", "/dev/video12", "v4l2"),
        ("/dev/video3", "device", "/dev/video3", "v4l2"),
        ("/dev/v4l/by-id/usb-cam", "device", "/dev/v4l/by-id/usb-cam", "v4l2"),
        (SECRET, "rtsp", SECRET, None),
        ("RTSPS://cam:322/x", "rtsp", "RTSPS://cam:322/x", None),
        ("http://[::1]:8080/mjpg", "http", "http://[::1]:8080/mjpg", None),
        ("https://cam/live.m3u8?t=1", "http", "https://cam/live.m3u8?t=1", None),
        ("udp://@239.0.0.1:1234", "udp", "udp://@239.0.0.1:1234", None),
        ("rtsp://anna:p/a?s@cam/main", "rtsp", "rtsp://anna:p/a?s@cam/main", None),
        ("lavfi:testsrc=rate=10", "lavfi", "testsrc=rate=10", "lavfi"),
    ],
)
def test_an_address_is_sorted(text: str, kind: str, url: str, form: str | None) -> None:
    address = parse_address(text, {"lavfi"})
    assert (address.kind, address.url, address.format) == (kind, url, form)


def test_paths_are_sorted_by_what_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "a b:c.mp4"
    clip.write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    sorted_as = {
        str(clip): "file",
        clip.as_uri(): "file",
        "a b:c.mp4": "file",
        ".": "folder",
        "pipe": "pipe",
    }
    for text, kind in sorted_as.items():
        address = parse_address(text)
        assert address.kind == kind and Path(address.url).is_absolute()


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("gone.mp4", SourceNotFound, "is the name right"),
        ("webcam:front", SourceNotSupported, "webcam:0"),
        ("rtmp://cam/live", SourceNotSupported, "rtmp: are not read; what is: a path"),
        ("rtsp://", SourceNotSupported, "names no host"),
        ("http://cam:port/x", SourceNotSupported, "http://HOST"),
        ("lavfi:testsrc", SourceNotSupported, "--allow-lavfi"),
        ("x" * 5000, SourceError, "cannot be looked up|no such file"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_way_out(
    text: str, error: type[SourceError], words: str
) -> None:
    with pytest.raises(error, match=words):
        parse_address(text)


@pytest.mark.parametrize("text", [SECRET, "srt://anna:hunter2@cam/?token=abc", "ftp://a:hunter2@h"])
def test_nothing_that_is_shown_holds_a_secret(text: str) -> None:
    try:
        address = parse_address(text)
        told = f"{address!r} {address} {address.shown} {[address]}"
    except SourceNotSupported as error:
        told = f"{error!r} {error}"
    assert "hunter2" not in told and "abc" not in told and "***@" in told


@pytest.mark.parametrize(
    ("text", "as_it_is"),
    [("-", False), (SECRET, True), ("webcam:0", True), ("udp://@:1", True), ("http://c/x", None)],
)
def test_what_nobody_calls_live_is_as_its_kind_is(text: str, as_it_is: bool | None) -> None:
    address = parse_address(text)
    assert is_live(address, None) is as_it_is
    assert is_live(address, True) is True and is_live(address, False) is False


def test_schemes_are_told_from_paths() -> None:
    for address in ("lavfi:testsrc", "udp://@:1", "webcam:0", "file:///x", "rtsp://c"):
        assert has_scheme(address)
    for path in ("a:b.mp4", "C:\\x.mp4", "what is this?", "clip.mp4", "-"):
        assert not has_scheme(path)
    with pytest.raises(SourceNotSupported):
        find_path("lavfi:testsrc")


def test_what_answers_nothing_is_a_camera_to_be_waited_for_unless_it_is_called_a_clip() -> None:
    quick = CaptureConfig(connect_s=1.0)
    assert is_camera(f"http://{CLOSED}/video", quick)
    assert is_camera(f"http://{CLOSED}/live.m3u8", quick)
    with pytest.raises(SourceError, match="connection refused"):
        is_camera(f"http://{CLOSED}/clip.mp4?token=abc", quick)
    assert is_camera(f"http://{CLOSED}/clip.mp4", CaptureConfig(live=True))
    assert not is_camera(f"http://{CLOSED}/video", CaptureConfig(live=False))


def test_a_camera_is_read_as_a_file_only_where_somebody_says_so(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", steps(5))
    graph = f"lavfi:movie={clip}"
    allowed = CaptureConfig(allow=frozenset({"lavfi"}))
    with pytest.raises(SourceNotSupported, match="is a camera"):
        open_source(graph, fps=100, capture=allowed)
    as_file = CaptureConfig(allow=frozenset({"lavfi"}), live=False)
    with open_source(graph, fps=100, capture=as_file) as source:
        assert len(list(source.frames())) == 5 and source.report.complete
        assert source.kind == "lavfi"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"preset": "fast"}, "preset='fast': must be one of low-latency, robust, udp"),
        ({"policy": "some"}, "policy='some'"),
        ({"sampling": "often"}, "sampling='often'"),
        ({"connect_s": 0.0}, "connect_s=0.0"),
        ({"stall_s": float("nan")}, "stall_s=nan"),
        ({"backoff_s": -1.0}, "backoff_s=-1.0"),
        ({"reconnects": -1}, "reconnects=-1"),
        ({"still": 1.5}, "still=1.5"),
        ({"scene": -0.1}, "scene=-0.1"),
        ({"allow": {"everything"}}, "allow=everything"),
        ({"av_options": {"a b": "1"}}, "'a b' is no name"),
        ({"av_options": {"timeout": 5}}, "timeout is a int"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CaptureConfig(**settings)


def test_settings_do_not_show_what_may_be_a_key() -> None:
    config = CaptureConfig(av_options={"headers": "hunter2"}, masks=(Mask.parse("0,0 1,0 0,1"),))
    assert "hunter2" not in repr(config)


def test_the_users_options_lie_over_the_presets() -> None:
    address = parse_address(SECRET)
    plain = options_of(address, CaptureConfig(), as_camera=True)
    assert plain["rtsp_flags"] == "prefer_tcp" and int(plain["timeout"]) >= 5_000_000
    mine = CaptureConfig(av_options={"rtsp_transport": "udp", "analyzeduration": "1"})
    options = options_of(address, mine, as_camera=True)
    assert options["rtsp_transport"] == "udp" and options["analyzeduration"] == "1"
    assert "rtsp_flags" not in options
    for preset, transport in (("robust", "tcp"), ("udp", "udp")):
        chosen = options_of(address, CaptureConfig(preset=preset), as_camera=True)
        assert chosen["rtsp_transport"] == transport


@pytest.mark.parametrize("text", [SECRET, "http://cam/live.m3u8", "udp://@:1"])
def test_no_address_of_the_network_leads_to_a_file(text: str) -> None:
    options = options_of(parse_address(text), CaptureConfig(), as_camera=True)
    assert not {"file", "pipe", "fd", "concat"} & set(options["protocol_whitelist"].split(","))


def test_udp_takes_its_settings_in_the_address_unless_given() -> None:
    config = CaptureConfig(connect_s=2.0, stall_s=2.0)
    url = url_of(parse_address("udp://@:1234?fifo_size=7"), config)
    assert url.startswith("udp://@:1234?fifo_size=7&") and url.count("fifo_size") == 1
    assert "overrun_nonfatal=1" in url and "timeout=3000000" in url
