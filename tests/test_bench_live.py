"""`longtake bench live` at sizes of seconds: every part has its rows, and says its targets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from longtake import cli
from longtake.bench import live, live_age, live_ask, live_camera, live_loopback
from longtake.bench.live_feed import Feed, Talkative, drawn
from longtake.bench.live_rows import bounded, percentile
from longtake.bench.model import Model
from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.models.loader import load
from longtake.settings import TakeConfig
from tests.test_bench import silent, untrained

__all__ = ["untrained"]

CLOCK_MS = 0xA5C31E
ENDS_S = 10.0


def seen(clock_ms: int, width: int = 1280, height: int = 720) -> live_age.Image:
    """The camera's picture as RGB of another size."""
    data = np.frombuffer(live_camera.picture(clock_ms, number=7), np.uint8)
    image = cv2.cvtColor(data.reshape(1080, 1280), cv2.COLOR_YUV2RGB_I420)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (384, 216), (257, 145), (1920, 1080)])
@pytest.mark.parametrize("clock_ms", [0, 1, CLOCK_MS, (1 << 24) - 1])
def test_the_clock_is_read_from_a_picture_of_any_size(
    clock_ms: int, width: int, height: int
) -> None:
    assert live_age.clock_ms(seen(clock_ms, width, height)) == clock_ms


def test_bars_that_are_no_clock_are_not_read() -> None:
    torn = seen(CLOCK_MS)
    torn[:44] = seen(CLOCK_MS + 1)[:44]
    assert live_age.clock_ms(torn) is None
    assert live_age.clock_ms(np.full((720, 1280, 3), 128, np.uint8)) is None


def test_a_lag_that_grows_is_told_in_seconds_a_minute() -> None:
    def looks(*ages_ms: float) -> live_age.Looks:
        found = live_age.Looks()
        for number, age_ms in enumerate(ages_ms):
            found.add(0.5 * number, age_ms)
        return found

    steady = looks(1150.0, *[60.0] * 40)
    assert (steady.first_ms, max(steady.age_ms)) == (1150.0, 60.0)
    assert steady.slope == pytest.approx(0.0, abs=1e-9)
    assert looks(*(60 + 460.0 * i for i in range(40))).slope == pytest.approx(55.2)
    assert looks(60.0, 60.0).slope == 0.0


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(v) for v in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 95), percentile([7.0], 99)) == (50, 95, 7)
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)
    assert bounded("age, p95", "at most", 120, "ms") == "age, p95 [at most 120 ms]"


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The rows of the object that was printed, by their names."""
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["bench"]) == ("longtake.bench/1", "live")
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]), "names tell rows apart"
    for row in rows.values():
        assert row["reference"] is None or row["reference"] in rows
    assert set(found["sizes"]["parts"].split(", ")) < set(found["sizes"])
    return rows


@contextmanager
def at_once(url: str) -> Iterator[live_age.Look]:
    yield lambda: seen(live_camera.now_ms())


def test_the_newest_frame_of_a_real_camera_is_as_old_as_its_clock_says(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not live_loopback.finds_gstreamer():
        pytest.skip("needs GStreamer's RTSP server under the system's Python")
    monkeypatch.setattr(live_age, "by_opencv", at_once)  # how they lag is for the benchmark
    monkeypatch.setattr(live_age, "by_pyav", at_once)
    live.run(Model(str(untrained)), ["age"], 1.0, 1, 1, True, silent)
    rows = shown(capsys)
    ours = rows["newest frame's age, RTSP, longtake, p50"]
    assert ours["reference"] == "newest frame's age, RTSP, OpenCV loop, p50"
    assert ours["value"] > 0  # a picture is older than its clock
    assert "newest frame's age, RTSP, longtake, p95 [at most 120 ms]" in rows
    assert rows["  the first one, longtake"]["value"] > 0


def test_without_gstreamer_it_is_measured_over_udp(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_loopback, "SYSTEM_PYTHON", "/nowhere/python3")
    monkeypatch.setattr(live_age, "by_opencv", at_once)  # theirs wait for packets of their own
    monkeypatch.setattr(live_age, "by_pyav", at_once)
    said: list[str] = []
    with Engine(str(untrained)) as engine:
        rows, about = live_age.rows(engine, 1.0, 1, 1, said.append)
    assert said[0].startswith("no GStreamer under")
    assert "MPEG-TS over UDP" in about and "UDP, longtake, p50" in rows[0].name
    assert rows[0].value > 0


def test_the_other_parts_come_in_one_object(
    untrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_ask, "STEPS", 2)
    live.run(Model(str(untrained)), ["ingest", "ask", "push"], 1.0, 1, 1, True, silent)
    rows = shown(capsys)
    for name in (
        "push, CPU, ingesting, p99 [at most 1 ms]",
        "push, wall, ingesting, p99 [at most 5 ms]",
        "push, wall, idle, p50",
        "first token, ingesting, p95",
        "one step (2 frames), alone",
        "ingest alone",
        "  spoken meanwhile",
        "  answered meanwhile",
    ):
        assert rows[name]["value"] > 0, name
    assert rows["  more than idle, p50 [at most one step]"]["reference"].startswith("one step")
    spoken = rows["ingest while an answer is spoken [at least 0.6 of alone]"]
    assert spoken["ratio"] == pytest.approx(spoken["value"] / rows["ingest alone"]["value"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "age,pull"], "--only pull: must be some of age, push, ask, ingest"),
        (["--seconds", "0.5"], "--seconds 0.5: must be at least 1"),
        (["--seconds", "nan"], "--seconds nan: must be at least 1"),
        (["--repeats", "0"], "repeats=0: must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "live", *words]) == cli.USAGE
    assert said in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The cameras that were started."""
    found: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            found.append(self)

    monkeypatch.setattr(live_loopback.subprocess, "Popen", Popen)
    return found


def test_the_camera_ends_with_its_block_whatever_happens(
    started: list[subprocess.Popen[bytes]],
) -> None:
    with pytest.raises(KeyboardInterrupt), live_loopback.camera(False) as address:
        assert address.startswith("udp://127.0.0.1:")
        raise KeyboardInterrupt
    assert [one.poll() is not None for one in started] == [True]


def test_the_camera_ends_when_whoever_started_it_has_gone(
    started: list[subprocess.Popen[bytes]],
) -> None:
    with live_loopback.camera(False):
        stdin = started[0].stdin
        assert stdin is not None
        stdin.close()
        assert started[0].wait(ENDS_S) == 0


def test_a_camera_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_loopback, "SYSTEM_PYTHON", "/bin/false")
    with (
        pytest.raises(RuntimeError, match="the camera did not start: it ended with 1"),
        live_loopback.camera(True),
    ):
        pass


def test_a_talkative_model_speaks_up_to_its_limit(untrained: Path) -> None:
    talkative = Talkative(load(str(untrained)))
    with Engine(talkative.as_adapter()) as engine, engine.open() as take:
        talkative.is_endless = True
        answer = take.ask("was there a red star?", decoding=Decoding(max_tokens=40))
    assert answer.timings.tokens == 40


def test_the_feed_keeps_the_model_busy_and_loses_nothing(untrained: Path) -> None:
    config = TakeConfig()
    with Engine(str(untrained)) as engine, engine.open(config=config) as take:
        with Feed(take, drawn(1, take.pace.fps), config.mailbox_frames):
            first = take.stats()
            assert first.waiting > 0
        stats = take.stats()
    assert stats.frames > 40 and not stats.dropped
    assert stats.newest_s >= stats.frames - 2, "a frame a second, however fast they were seen"
