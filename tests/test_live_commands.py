"""``ask``, ``chat`` and ``narrate`` on live sources; how cameras are shown meanwhile."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import longtake.engine
from longtake import cli
from longtake.answer import Answer, Timings
from longtake.cli import common, flags, run_ask
from longtake.cli.endings import exit_code
from longtake.cli.following import follow, was_whole
from longtake.cli.live_flags import for_s, until
from longtake.cli.live_line import Changes, LiveLine, drawing, in_words, live_line
from longtake.cli.show import print_times
from longtake.cli.sources import Sources
from longtake.cli.words import sort_words
from longtake.live_watch import LiveWatch
from longtake.memory.marks import Gap
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.capture_stats import CaptureStats
from longtake.streaming.errors import SourceError, SourceTimeout, StaleFrame
from longtake.streaming.masks import Mask
from tests.clips import write_clip

Run = Any
LAVFI = "lavfi:testsrc=size=64x48:rate=20,realtime"
CAMERA = (LAVFI, "--allow-lavfi")
FIXED = ("--fps", "4", "--window", "2")


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LONGTAKE_MAX_TOKENS", "4")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    """Run ``longtake`` with the tiny model; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main([*map(str, words), "--model", str(tiny_model), *FIXED])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def nothing_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(longtake.engine, "load", load)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses: bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[str]:
    """A clip at an address that does not tell that it is one."""
    write_clip(tmp_path / "door.mp4", seconds=2, fps=4).rename(tmp_path / "door")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/door"
    server.shutdown()
    server.server_close()
    thread.join(5)


def stats(camera: str = "door", **given: Any) -> CaptureStats:
    shown: dict[str, Any] = {"address": "rtsp://***@cam/1", "state": "live"}
    return CaptureStats(camera=camera, **shown | given)


class Looked:
    """A camera that stands as it is told to, look after look."""

    def __init__(self, *looks: CaptureStats) -> None:
        self._looks = list(looks)

    def stats(self) -> CaptureStats:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


# ------------------------------------------------------------------ ask


def test_a_live_source_is_asked_about_and_says_how_it_stands(run: Run) -> None:
    code, out, err = run("ask", *CAMERA, "what is there?", "--for", "1", "--json")
    assert code == 0, err
    shown = json.loads(out)
    source, numbers = shown["source"], shown["source"]["stats"]
    assert (source["kind"], source["state"], source["error"]) == ("lavfi", "live", None)
    assert source["complete"] is True
    assert numbers["size"] == [64, 48]
    assert numbers["seen"] == numbers["kept"] + sum(numbers["dropped"].values()) > 0
    assert shown["ingest"]["frames"] >= 3
    assert shown["answers"][0]["gaps"] == [] and shown["answers"][0]["as_of_s"] > 0.5
    documented = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    for name in {*source, *numbers, *shown["answers"][0]}:
        assert f"`{name}`" in documented, f"{name} is not in docs/json.md"
    assert f"{LAVFI}: live, 64x48" in err and "\x1b" not in err, "lines, where no terminal is"


def test_an_answer_says_of_when_it_is_where_a_source_is_live(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ask", *CAMERA, "what is there?", "--for", "0.5")
    assert code == 0, err
    assert "\n   as of 0:0" in out and " s behind\n" in out
    code, out, _ = run("ask", write_clip(tmp_path / "clip.mp4", seconds=2, fps=4), "what?")
    assert code == 0 and "as of" not in out


def test_cameras_are_seen_at_the_same_time_under_their_names(run: Run) -> None:
    words = ("ask", LAVFI, *CAMERA, "what is there?", "--for", "0.5", "--camera", "door")
    code, out, err = run(*words, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert [source["camera"] for source in shown["sources"]] == ["door", "camera2"]
    assert all(source["stats"]["seen"] for source in shown["sources"])
    assert "door: live" in err and "camera2: live" in err


def test_who_never_came_ends_with_4_and_the_reason(
    tiny_model: Path, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"rtsp://anna:secret@127.0.0.1:{closed_port}/main?token=hidden", "what?")
    with pytest.raises(SourceError, match="refused") as failed:
        run_ask.run(_request(words, tiny_model))
    assert exit_code(failed.value) == cli.SOURCE
    told = str(failed.value) + capsys.readouterr().err
    assert "rtsp://***@127.0.0.1" in told and "secret" not in told and "hidden" not in told


def test_the_others_answer_where_one_is_missing(
    tiny_model: Path, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (LAVFI, f"rtsp://127.0.0.1:{closed_port}/main", "what?")
    assert run_ask.run(_request(words, tiny_model)) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["complete"] is False
    assert [source["complete"] for source in told["sources"]] == [True, False]
    assert told["sources"][1]["state"] in ("connecting", "reconnecting")
    assert "refused" in told["sources"][1]["error"] and "refused" in shown.err


def _request(words: Sequence[str], model: Path) -> run_ask.Request:
    """Of a user whose cameras answer soon, or not at all."""
    settings = flags.settings({"model": str(model), "take.fps": 4.0, "take.window_s": 2.0})
    capture = CaptureConfig(connect_s=0.3, allow=frozenset({"lavfi"}))
    return run_ask.Request(
        words=tuple(words),
        settings=replace(settings, take=replace(settings.take, capture=capture)),
        for_s=0.3,
        form="json",
    )


def test_ctrl_c_tells_how_far_it_came(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stats_of = LiveWatch.stats

    def interrupted(self: LiveWatch) -> CaptureStats:
        if self.was_live:
            monkeypatch.setattr(LiveWatch, "stats", stats_of)
            signal.raise_signal(signal.SIGINT)
        return stats_of(self)

    monkeypatch.setattr(LiveWatch, "stats", interrupted)
    code, out, err = run("ask", *CAMERA, "what is there?", "--for", "60")
    assert (code, out) == (cli.INTERRUPTED, "")
    assert f"{LAVFI}: seen to 0:0" in err and "interrupted" in err


def test_a_recording_over_http_is_seen_to_its_end(run: Run, recording: str) -> None:
    code, out, err = run("ask", recording, "what is there?", "--for", "1", "--json")
    assert code == 0, err
    source = json.loads(out)["source"]
    assert source["complete"] is True and source["ended_s"] == 1.75 and "state" not in source
    assert f"{recording}: is a recording, which --for does not bound" in err


def test_a_recording_over_http_does_not_go_beside_a_camera(run: Run, recording: str) -> None:
    code, out, err = run("ask", *CAMERA, recording, "what is there?", "--for", "1")
    assert (code, out) == (cli.USAGE, "")
    assert f"{recording}: is a recording, and {LAVFI} is live" in err


# ------------------------------------------------------------------ what is wrong is said at once


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["ask", LAVFI, "what?"], cli.SOURCE, "--allow-lavfi"),
        (["ask", "ftp://host/x", "what?"], cli.SOURCE, "rtsp://"),
        (["ask", "webcam:97", "what?"], cli.SOURCE, "/dev/video97"),
        (["ask", "rtsp://", "what?"], cli.SOURCE, "names no host"),
        (["narrate", "webcam:97"], cli.SOURCE, "/dev/video97"),
        (["chat", "/dev/video97"], cli.SOURCE, "/dev/video97"),
        (["ask", *CAMERA, "what?", "--from", "3"], cli.USAGE, "--from and --to bound a recording"),
        (["ask", *CAMERA, "what?", "--for", "soon"], cli.USAGE, "--for soon"),
        (["ask", "{clip}", "what?", "--for", "3"], cli.USAGE, "--to bounds a recording"),
        (["ask", *CAMERA, "{clip}", "what?"], cli.USAGE, "is live and"),
        (["ask", LAVFI, *CAMERA, "what?", *["--camera", "a"] * 2], cli.USAGE, "two sources"),
        (["ask", *CAMERA, "what?", *["--camera", "a"] * 2], cli.USAGE, "1 sources to name"),
        (["ask", *CAMERA, "what?", "--camera", ""], cli.USAGE, "empty"),
        (["ask", *CAMERA, "what?", "--mask", "0,0 1,1"], cli.USAGE, "corners"),
        (["ask", *CAMERA, "what?", "--mask", "yard:0,0 1,0 1,1"], cli.USAGE, "no such camera"),
        (["ask", *CAMERA, "what?", "--preset", "fast"], cli.USAGE, "low-latency"),
        (["ask", *CAMERA, "what?", "--av-opt", "x"], cli.USAGE, "NAME=VALUE"),
        (["narrate", *CAMERA, "--until", "soon"], cli.USAGE, "--until soon"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_is_loaded(
    run: Run, tmp_path: Path, nothing_loads: None, words: list[str], code: int, said: str
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=0.5, fps=4)
    got, out, err = run(*(word.replace("{clip}", str(clip)) for word in words))
    assert (got, out) == (code, ""), err
    assert said in err and len(err.strip().splitlines()) == 1


def test_a_network_address_is_not_opened_before_a_model_is_loaded() -> None:
    sources = Sources(addresses=("rtsp://nowhere.invalid/1", "http://nowhere.invalid/x.m3u8"))
    assert sources.live == (True, None) and sources.cameras == ("camera1", "camera2")
    assert Sources(addresses=("rtsp://nowhere.invalid/1",)).cameras == ("",)


def test_a_mask_names_a_camera_that_there_is() -> None:
    masks = (Mask(((0, 0), (1, 0), (1, 1)), "door"),)
    config = CaptureConfig(masks=masks)
    address = ("rtsp://nowhere.invalid/1",)
    assert Sources(addresses=address, names=("door",), capture=config).cameras == ("door",)
    with pytest.raises(ValueError, match="no such camera"):
        Sources(addresses=address, capture=config)


def test_live_addresses_are_told_from_questions() -> None:
    words = ("rtsp://a/1", "webcam:0", "/dev/video5", LAVFI, "is it a star?")
    assert sort_words(words, has_memory=True).videos == words[:4]


# ------------------------------------------------------------------ chat


def test_a_camera_goes_on_while_one_talks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.cli.run_chat.LEAST_S", 0.5)
    monkeypatch.setattr(sys, "stdin", io.StringIO("what is there?\n/status\n/evidence\n"))
    code, out, err = run("chat", *CAMERA)
    assert code == 0, err
    assert out.count("   as of 0:0") == 2, out
    status = next(line for line in out.splitlines() if line.startswith(LAVFI))
    assert " s old  " in status and "64x48  " in status and "not sampled" in status


def test_what_changes_with_a_camera_is_told_when_a_line_was_typed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = False

    class Typed(io.StringIO):
        def readline(self, *_: Any) -> Any:
            nonlocal lost
            lost = True
            return super().readline()

    def looked(self: LiveWatch) -> CaptureStats:
        seen = stats_of(self)
        return replace(seen, state="reconnecting", error="gone") if lost else seen

    stats_of = LiveWatch.stats
    monkeypatch.setattr(LiveWatch, "stats", looked)
    monkeypatch.setattr("longtake.cli.run_chat.LEAST_S", 0.2)
    monkeypatch.setattr(sys, "stdin", Typed("/status\n/status\n"))
    code, _, err = run("chat", *CAMERA)
    assert code == 0, err
    assert err.count("reconnecting: gone") == 1


def test_status_says_where_there_is_no_camera(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, fps=4)
    monkeypatch.setattr(sys, "stdin", io.StringIO("/status\n"))
    assert run("chat", clip) == (0, "no camera is watched\n", "")


# ------------------------------------------------------------------ narrate


def test_a_camera_is_narrated_until_it_is_time(run: Run) -> None:
    code, out, err = run("narrate", *CAMERA, "--until", "2s", "--rule", "always", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["complete"] is True and shown["source"]["state"] == "ended"
    assert shown["lines"] and all(line["end_s"] for line in shown["lines"])


def test_nobody_to_narrate_by_then_is_4(run: Run, closed_port: int) -> None:
    address = f"rtsp://127.0.0.1:{closed_port}/main"
    code, out, err = run("narrate", address, "--until", "0.5s", "--srt")
    assert (code, out) == (cli.SOURCE, "")
    assert "refused" in err.strip().splitlines()[-1]


# ------------------------------------------------------------------ how cameras are shown


def test_changes_are_told_once() -> None:
    changes = Changes()
    away = stats(state="connecting", error="rtsp://***@cam/1: refused; 3 attempts")
    assert changes.look([stats(state="connecting")]) == ["door: connecting"]
    assert changes.look([away]) == ["door: connecting: rtsp://***@cam/1: refused; 3 attempts"]
    assert changes.look([replace(away, error="rtsp://***@cam/1: refused; 4 attempts")]) == []
    assert changes.look([stats(size=(64, 48), error="refused")]) == ["door: live, 64x48"]
    assert changes.look([stats(size=(64, 48), error="", seen=9)]) == []
    assert changes.look([stats("", state="failed", error="rtsp://***@cam/1: gone")]) == [
        "rtsp://***@cam/1: failed: gone"
    ]


def test_a_terminal_shows_a_line_a_camera_and_takes_it_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    lost = stats("yard", state="reconnecting", error="refused", reconnects=2)
    seen = stats(size=(64, 48), fps=9.97, seen=9, kept=4, dropped={"still": 5}, lag_s=0.24)
    with live_line([Looked(seen), Looked(lost)]) as line:
        line.show()
        with line.aside():
            print("between")
    shown = terminal.getvalue()
    for word in ("live", "door", "0.2 s old  4 kept  5 dropped  64x48  9.97 fps"):
        assert word in shown
    assert "reconnecting" in shown and "2 reconnects  refused" in shown
    assert "between" not in shown, "stdout is left alone"
    assert shown.rstrip().endswith("\x1b[2K"), "what is drawn is gone at the end"


def test_nothing_is_told_where_nobody_wants_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    common.begin().quiet = True
    try:
        LiveLine([Looked(stats())]).show()
    finally:
        common.begin()
    assert capsys.readouterr().err == ""


def test_a_camera_in_words_names_reasons() -> None:
    said = in_words(stats(seen=5, kept=2, dropped={"not sampled": 3}, lag_s=1.0))
    assert said == "live  1.0 s old  2 kept  3 not sampled"
    said = in_words(stats(seen=9, kept=2, dropped={"not sampled": 3, "full": 4}, lag_s=1.0))
    assert said == "live  1.0 s old  2 kept  4 dropped  3 not sampled  (dropped: 4 full)"


@pytest.mark.parametrize(
    ("width", "name"),
    [(120, "rtsp://***@gate.example.org/h264/main"), (80, "gate.example.org"), (40, "gate.exa...")],
)
def test_where_it_is_narrow_addresses_give_way_first(width: int, name: str) -> None:
    address = "rtsp://***@gate.example.org/h264/main"
    numbers: dict[str, Any] = {"seen": 99, "kept": 12, "lag_s": 0.24, "size": (1280, 720)}
    seen = stats("", address=address, fps=25.0, dropped={"not sampled": 87}, **numbers)
    console = Console(width=width, file=io.StringIO())
    console.print(drawing([seen], width))
    (row,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert row.startswith(f"\u25cf live  {name}") and len(row) <= width
    assert "0.2 s old  12 kept" in row


def test_a_camera_keeps_its_name_where_it_is_narrow() -> None:
    console = Console(width=40, file=io.StringIO())
    console.print(drawing([stats("door", seen=9, kept=4, lag_s=0.24, size=(640, 480))], 40))
    assert "live  door  0.2 s old  4 kept" in console.file.getvalue()  # type: ignore[attr-defined]


def test_whole_is_who_was_reached_and_never_went_away() -> None:
    assert was_whole(stats(seen=3)) and was_whole(stats(seen=3, state="ended"))
    assert not was_whole(stats()) and not was_whole(stats(seen=3, outages=1))
    assert not was_whole(stats(seen=3, state="reconnecting"))


def test_an_answer_names_the_newest_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = tuple(Gap(s, s + 6.0, 0, "offline", camera="door") for s in (2.0, 14.0, 24.0, 34.0))
    spent = Timings(0.0, 0.0, 0.0, 0)
    answer = Answer("what?", "a star", (), 42.0, 0.3, 1.0, False, spent, gaps=gaps)
    print_times(answer, is_live=True)
    assert capsys.readouterr().out.splitlines() == [
        "   as of 0:42, 0.3 s behind",
        "   gap 0:14-0:20 (door: offline)",
        "   gap 0:24-0:30 (door: offline)",
        "   gap 0:34-0:40 (door: offline)",
        "   and 1 earlier gaps",
    ]
    print_times(replace(answer, gaps=()), is_live=False)
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------ time


def test_until_is_a_duration_or_the_next_time_of_day() -> None:
    now = datetime(2026, 11, 21, 18, 0, 30)
    for text, seconds in (
        *(("10s", 10), ("5m", 300), ("2h", 7200), ("90", 90), ("0.5s", 0.5), ("3S", 3)),
        *(("1h30m", 5400), (" 5m ", 300), ("1d", 86400), ("1M1.5s", 61.5)),
    ):
        wanted = until(text, now)
        assert wanted is not None and wanted.left_s(4.0, 0.0) == seconds - 4
    for text, left_s in (
        *(("18:30", 29.5 * 60), ("18:00", 86400 - 30), ("0:15", 6.25 * 3600 - 30)),
        *((" 18:30 ", 29.5 * 60), ("24:00", 6 * 3600 - 30), ("0:00", 6 * 3600 - 30)),
    ):
        wanted = until(text, now)
        assert wanted is not None and wanted.left_s(99.0, now.timestamp()) == left_s
    assert until(None, now) is None
    more = ("24:01", "5m1h", "s", "1e9", "1h30", "9" * 400)
    for text in ("", "soon", "25:00", "10:60", "-3s", "0", "5x", "1:2:3", *more):
        with pytest.raises(ValueError, match="must be a duration"):
            until(text, now)


def test_how_long_is_a_duration_of_a_day_at_most() -> None:
    given = {"10": 10, "10s": 10, "1:30": 90, "2m": 120, " 1h30m": 5400, "1d": 86400, "0.5": 0.5}
    assert {text: for_s(text) for text in given} == given and for_s(None) is None
    for text in ("0", "-1", "25h", "soon", "", "1:75", "inf", "nan"):
        with pytest.raises(ValueError, match=r"--for .*: must be more than 0 and at most a day"):
            for_s(text)


def test_a_deadline_has_a_code_of_its_own() -> None:
    assert exit_code(TimeoutError("no answer")) == exit_code(StaleFrame("old")) == 124
    assert exit_code(SourceTimeout("no picture")) == cli.SOURCE
    assert exit_code(OSError("no room")) == cli.CONFIGURATION


def test_following_ends_with_the_source() -> None:
    class Over(Looked):
        was_live, error, address = False, None, "rtsp://***@cam/1"

        def is_seen(self, timeout_s: float = 0.0) -> bool:
            return True

    with pytest.raises(SourceTimeout, match="no picture within"):
        follow([Over(stats(state="ended"))], 60.0, 60.0)  # type: ignore[list-item]


def test_a_flag_of_cameras_overrides_what_was_set_earlier(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_PRESET", "nonsense")
    words = ("watch", LAVFI, "--allow-lavfi", "--until", "1s")
    code, _, err = run(*words)
    assert code == cli.CONFIGURATION and "LONGTAKE_PRESET" in err
    assert run(*words, "--preset", "robust")[0] == 0
