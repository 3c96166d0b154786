"""Visitors' sources over HTTP: what may be watched is watched, and nothing else is connected to."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_stats import State
from longtake.streaming.errors import (
    SourceError,
    SourceForbidden,
    SourceRefused,
    SourceTimeout,
)
from longtake.streaming.passage import Passage, Rules
from longtake.streaming.passage_login import Login
from longtake.streaming.probing import probe
from longtake.streaming.sources import open_source
from tests.rigs import ffmpeg
from tests.rigs.http_camera import HttpFolder, HttpServer, mjpeg_camera
from tests.rigs.inner import Inner, certificate
from tests.rigs.watching import Watched, until

HERE = "127.0.0.1/32"  # other addresses of loopback stay forbidden
needs_ffmpeg = pytest.mark.skipif(bool(ffmpeg.missing()), reason=ffmpeg.missing())


@pytest.fixture
def passage() -> Iterator[Passage]:
    with Passage(Rules((HERE,))) as passage:
        yield passage
        until(lambda: passage.connections == 0, what="the end of every connection")


@pytest.fixture
def inner() -> Iterator[Inner]:
    with Inner() as inner:
        yield inner


def config(passage: Passage, **settings: float) -> CaptureConfig:
    return CaptureConfig(passage=passage, **{"connect_s": 2.0, "stall_s": 2.0, **settings})


def look(address: str, passage: Passage, **settings: float) -> str:
    """The format of what is there, of which at least one picture came."""
    found = probe(address, config(passage, **settings), 0.2)
    assert found.measured.frames > 0
    return found.format


def redirecting(target: Callable[[], str]) -> HttpServer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target())
        request.end_headers()

    server = HttpServer(answer)
    server.start()
    return server


def test_an_inner_server_is_refused_and_never_connected_to() -> None:
    with Passage(Rules()) as passage, Inner(host="127.0.0.1") as inner:
        with pytest.raises(SourceForbidden, match=r"--allow-source 127\.0\.0\.1"):
            look(inner.url(), passage)
        assert inner.visitors == 0


def test_what_is_allowed_is_watched(passage: Passage) -> None:
    with mjpeg_camera() as camera:
        assert look(camera.url(), passage) == "mpjpeg"
        with Watched(camera.url(), passage=passage) as watched:
            watched.until_seen(5)
            assert passage.connections == 1


def test_a_login_is_asked_for_and_given(passage: Passage) -> None:
    with mjpeg_camera(login="bob:s3cret") as camera:
        assert look(camera.url("bob:s3cret"), passage) == "mpjpeg"
        for login in ("", "bob:wr0ng"):
            with pytest.raises(SourceRefused, match="the login was refused") as told:
                look(camera.url(login), passage)
            assert "wr0ng" not in str(told.value)


def test_digest_is_answered_as_its_standard_has_it() -> None:
    login = Login("Mufasa", "Circle of Life")
    asked = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    assert login.header("GET", "/dir/index.html") is None
    assert login.take(["Basic realm=x", asked])
    given = login.header("GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    assert given is not None and "nc=00000001" in given
    assert "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1" in given
    assert login.take([asked.replace("SHA-256", "MD5")])
    given = login.header("GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    assert given is not None and "8ca523f5e9506fed4657c9700eebdbec" in given


def test_a_redirect_to_another_host_is_refused(passage: Passage, inner: Inner) -> None:
    for target in (inner.url(), "file:///etc/passwd", inner.url("rtsp")):
        server = redirecting(lambda target=target: target)  # type: ignore[misc]
        try:
            with pytest.raises(SourceError) as told:
                look(f"http://127.0.0.1:{server.port}/cam", passage)
        finally:
            server.stop()
        assert isinstance(told.value, SourceForbidden)
    assert inner.visitors == 0


def test_a_redirect_to_what_is_allowed_is_followed(passage: Passage) -> None:
    with mjpeg_camera() as camera:
        server = redirecting(camera.url)
        try:
            assert look(f"http://127.0.0.1:{server.port}/cam", passage) == "mpjpeg"
        finally:
            server.stop()


def test_a_circle_of_redirects_ends(passage: Passage) -> None:
    server = redirecting(lambda: "/again")
    try:
        with pytest.raises(SourceRefused, match="in a circle"):
            look(f"http://127.0.0.1:{server.port}/cam", passage)
    finally:
        server.stop()


MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n"
MEDIA = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
INIT = '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="{}"\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n'
KEY = (
    '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:1,\na.ts\n'
    "#EXT-X-ENDLIST\n"
)
CONCAT = "ffconcat version 1.0\nfile {}\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.2\ns=x\nc=IN IP4 127.0.0.2\nt=0 0\nm=video {} RTP/AVP 96\n"


@pytest.mark.parametrize("playlist", [MASTER, MEDIA, INIT, KEY, CONCAT, SDP])
@pytest.mark.parametrize(
    "form",
    ["http://{}/a.ts", "tcp://{}/a.ts", "httpproxy://{}/a.ts", "tls://{}/a.ts", "udp://{}/a.ts",
     "crypto+http://{}/a.ts", "crypto:http://{}/a.ts", "file:///etc/passwd", "rtsp://{}/a.ts",
     "concat:http://{}/a.ts", "data:text/plain,x.ts", "//{}/a.ts", "http://u:p@{}/a.ts"],
)  # fmt: skip
def test_nothing_that_a_playlist_names_is_connected_to(
    playlist: str, form: str, passage: Passage, inner: Inner, tmp_path: Path
) -> None:
    (tmp_path / "list.m3u8").write_text(playlist.format(form.format(f"127.0.0.2:{inner.port}")))
    (tmp_path / "a.ts").write_bytes(b"G" * 188)
    with HttpFolder(tmp_path) as folder, pytest.raises(SourceError) as told:
        look(folder.url("list.m3u8"), passage, connect_s=0.5)
    assert inner.visitors == 0
    assert "root:" not in str(told.value)


def test_a_playlist_that_leads_inside_is_told_as_refused(
    passage: Passage, inner: Inner, tmp_path: Path
) -> None:
    (tmp_path / "list.m3u8").write_text(MEDIA.format(inner.url(path="a.ts")))
    with (
        HttpFolder(tmp_path) as folder,
        pytest.raises(SourceForbidden, match=r"127\.0\.0\.2: an inner"),
    ):
        look(folder.url("list.m3u8"), passage)


@needs_ffmpeg
def test_live_hls_is_watched(passage: Passage, tmp_path: Path) -> None:
    with ffmpeg.HlsCamera(tmp_path) as camera, HttpFolder(tmp_path) as folder:
        address = folder.url(camera.playlist.name)
        with Watched(address, passage=passage, stall_s=5.0) as watched:
            watched.until_seen(40)  # over several segments


@needs_ffmpeg
def test_encrypted_hls_is_watched(passage: Passage, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    picture = "-f lavfi -i testsrc2=size=64x48:rate=10 -t 2 -c:v libx264 -g 10 -pix_fmt yuv420p"
    key = f"-hls_enc 1 -hls_enc_key 0123456789abcdef -hls_playlist_type vod {tmp_path}/e.m3u8"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *picture.split(), "-hls_time", "1"]
    subprocess.run([*command, *key.split()], check=True, cwd=tmp_path)
    text = (tmp_path / "e.m3u8").read_text().replace(f"{tmp_path}/", "")
    assert "AES-128" in text
    (tmp_path / "e.m3u8").write_text(text)
    with HttpFolder(tmp_path) as folder:
        with open_source(folder.url("e.m3u8"), fps=10, capture=config(passage)) as source:
            assert len(list(source.frames())) >= 18


@needs_ffmpeg
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_a_recording_is_read_to_its_end_and_from_its_middle(
    name: str, passage: Passage, tmp_path: Path
) -> None:
    picture = "-f lavfi -i testsrc2=size=320x240:rate=10 -t 3 -c:v libx264 -g 10 -pix_fmt yuv420p"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *picture.split(), str(tmp_path / name)]
    subprocess.run(command, check=True)
    given = config(passage)
    with HttpFolder(tmp_path) as folder:
        assert probe(folder.url(name), given, 0.2).is_live is False
        with open_source(folder.url(name), fps=10, capture=given) as source:
            assert len(list(source.frames())) in (29, 30)
        with open_source(folder.url(name), fps=10, start_s=2, capture=given) as source:
            assert len(list(source.frames())) in (9, 10)


def test_proxies_of_the_environment_are_not_asked(
    passage: Passage, inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, inner.url())
    monkeypatch.setenv("no_proxy", "*")
    with mjpeg_camera() as camera:
        assert look(camera.url(), passage) == "mpjpeg"
    with Passage(Rules()) as closed, pytest.raises(SourceForbidden):
        look(inner.url(), closed)
    assert inner.visitors == 0


def test_a_name_that_leads_elsewhere_later_is_refused_at_the_next_connection(
    inner: Inner,
) -> None:
    led = ["127.0.0.1"]
    rules = Rules((HERE,))
    with mjpeg_camera() as camera, Passage(rules, resolve=lambda host, port: list(led)) as passage:
        address = f"http://cam.example:{camera.port}/cam"
        with Watched(address, passage=passage, backoff_s=0.05) as watched:
            watched.until_seen(3)
            led[:] = ["127.0.0.2"]
            camera.stop()
            until(lambda: isinstance(watched.capture.error, SourceForbidden), what="a refusal")
            assert watched.state is State.RECONNECTING
            assert "127.0.0" not in str(watched.capture.error)
            led[:] = ["127.0.0.1"]
            camera.start()
            watched.until_seen(3)
    assert inner.visitors == 0


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(inner: Inner) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) % 2 else ["127.0.0.2"]

    with mjpeg_camera() as camera, Passage(Rules((HERE,)), resolve=resolve) as passage:
        assert look(f"http://cam.example:{camera.port}/cam", passage) == "mpjpeg"
    assert asked == ["cam.example"]
    assert inner.visitors == 0


def test_an_encrypted_camera_is_watched_whatever_its_certificate_says(
    passage: Passage, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with mjpeg_camera() as plain:

        def answer(line: socket.socket) -> None:
            with context.wrap_socket(line, server_side=True) as client:
                with socket.create_connection(("127.0.0.1", plain.port)) as camera:
                    camera.sendall(client.recv(65536))
                    while data := camera.recv(65536):
                        client.sendall(data)

        with Inner(answer, host="127.0.0.1") as server:
            assert look(server.url("https", "cam"), passage) == "mpjpeg"


def trickle(line: socket.socket) -> None:
    pause = threading.Event()
    line.sendall(b"HTTP/1.1 200 OK\r\n")
    while not pause.wait(0.05):
        line.sendall(b"X")


def hang_up(line: socket.socket) -> None:
    line.recv(4096)
    line.shutdown(socket.SHUT_RDWR)


def half_close(line: socket.socket) -> None:
    line.recv(4096)
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=x\r\n\r\n")
    line.shutdown(socket.SHUT_WR)


def noise(line: socket.socket) -> None:
    line.recv(4096)
    line.sendall(os.urandom(65536))
    line.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "answer", [lambda line: None, trickle], ids=["silent", "a byte now and then"]
)
def test_a_server_that_does_not_answer_is_given_up_in_time(
    answer: Callable[[socket.socket], None], passage: Passage
) -> None:
    started_s = time.monotonic()
    with Inner(answer, host="127.0.0.1") as server, pytest.raises(SourceTimeout):
        look(server.url(), passage, connect_s=0.5)
    assert time.monotonic() - started_s < 2.0


@pytest.mark.parametrize("answer", [hang_up, half_close, noise])
def test_a_server_that_breaks_off_is_told_as_an_error_of_the_source(
    answer: Callable[[socket.socket], None], passage: Passage
) -> None:
    with Inner(answer, host="127.0.0.1") as server, pytest.raises(SourceError):
        look(server.url(), passage, connect_s=0.5)


def test_a_frozen_camera_stalls_and_comes_back(passage: Passage) -> None:
    given = {"stall_s": 0.6, "connect_s": 1.0, "backoff_s": 0.05}
    with mjpeg_camera() as camera, Watched(camera.url(), passage=passage, **given) as watched:
        watched.until_seen(3)
        camera.freeze()
        until(lambda: watched.state is State.RECONNECTING, what="noticing it")
        camera.thaw()
        watched.until_seen(3)


def test_two_hundred_connections_leave_nothing(passage: Passage) -> None:
    with Inner(half_close, host="127.0.0.1") as server:

        def one() -> None:
            with pytest.raises(SourceError):
                look(server.url(), passage)

        one()
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        rig = server._lines
        for _ in range(200):
            one()
            rig.pop().close()
        until(lambda: threading.active_count() <= threads, what="the end of every thread")
        assert len(os.listdir("/proc/self/fd")) <= files
        assert passage.connections == 0


def test_closing_the_passage_ends_what_is_watched_and_lets_nobody_connect() -> None:
    with mjpeg_camera() as camera:
        passage = Passage(Rules((HERE,)))
        with Watched(camera.url(), passage=passage, backoff_s=0.05) as watched:
            watched.until_seen(3)
            passage.close()
            until(lambda: isinstance(watched.capture.error, SourceForbidden), what="the end")
            assert passage.connections == 0


def test_there_are_no_more_connections_than_allowed() -> None:
    with mjpeg_camera() as camera, Passage(Rules((HERE,)), most=1) as passage:
        with Watched(camera.url(), passage=passage) as watched:
            watched.until_seen(1)
            with pytest.raises(SourceRefused, match="1 connections"):
                look(camera.url(), passage)
