"""``longtake watch``: events as they fire, who is told, and how it ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import longtake
import longtake.engine
from longtake import cli
from longtake.alerts.event import AlertEvent
from longtake.cli import events
from longtake.cli.endings import NOTHING_FOUND
from longtake.cli.events import First, Shown, Told, in_words
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film

Run = Any
SECONDS = 16  # of the film: an orange star for 4 s, then none
ORANGE, PURPLE = "is there an orange star?", "is there a purple ring?"
WINDOW = ("--window", "2")
SECRET = "a secret of ours"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(Film(random.Random(4), SECONDS), path, fps=2, scale=2)
    return path


@pytest.fixture(scope="module")
def camera(film: Path) -> tuple[str, ...]:
    """The film for ever, as a camera shows it."""
    return (f"lavfi:movie={film}:loop=0,setpts=N/(2*TB),realtime", "--allow-lavfi")


@pytest.fixture
def watch(capsys: pytest.CaptureFixture[str]) -> Run:
    """With the embedded model; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["watch", *map(str, words), *WINDOW])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


class Receiver:
    """Whoever is posted to: keeps headers and bodies, and answers with a status."""

    def __init__(self, status: int = 200) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((dict(self.headers), body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/in?token=hidden"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def event(number: int, **given: Any) -> AlertEvent:
    known: dict[str, Any] = {"at_s": 42.0, "fired_s": 43.0, "wall_s": None, "probability": 0.97}
    return AlertEvent(number, "ring", "is there a ring?", **known | given)


# ------------------------------------------------------------------ events


def test_an_event_is_a_line_with_its_evidence(watch: Run, film: Path, tmp_path: Path) -> None:
    code, out, err = watch(film, "--when", ORANGE, "--evidence-dir", tmp_path / "seen")
    assert code == 0, err
    (line,) = out.splitlines()
    assert re.match(r"0:0\d  \d+%  is there an orange star\?  evidence 0:0\d", line)
    (picture,) = (tmp_path / "seen").iterdir()
    assert line.endswith(str(picture)) and picture.read_bytes()[:2] == b"\xff\xd8"
    assert picture.name.startswith("event1_1_0-0")


def test_one_object_an_event_as_documented(watch: Run, film: Path) -> None:
    code, out, err = watch(film, "--when", ORANGE, "--when", PURPLE, "--jsonl")
    assert code == 0, err
    shown = [json.loads(line) for line in out.splitlines()]
    assert [one["condition"] for one in shown] == [ORANGE]
    assert shown[0]["schema"] == "longtake.event/1" and shown[0]["wall_s"] is None
    assert 0 <= shown[0]["at_s"] < shown[0]["fired_s"] <= 4
    section = documented("longtake.event/1")
    for name in (*shown[0], *shown[0]["evidence"][0]):
        assert f"`{name}`" in section, f"{name} is not in docs/json.md"


def test_one_object_at_the_end_as_documented(watch: Run, film: Path) -> None:
    code, out, err = watch(film, "--when", ORANGE, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["schema"] == "longtake.watch/1" and shown["ended"] == "source"
    assert shown["complete"] is True and "answers" not in shown
    (alert,) = shown["alerts"]
    assert alert["judged"] == SECONDS // 2 and alert["fired"] == len(shown["events"]) == 1
    assert 0 <= alert["last_probability"] < 0.5
    section = documented("longtake.watch/1")
    for name in (*alert, "alerts", "events", "ended"):
        assert f"`{name}`" in section, f"{name} is not in docs/json.md"


def documented(schema: str) -> str:
    text = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    return text.partition(f"## `{schema}`")[2].partition("\n## ")[0]


def test_nothing_that_fires_is_6_and_says_how_near_it_was(watch: Run, film: Path) -> None:
    code, out, err = watch(film, "--when", PURPLE, "--to", "6")
    assert (code, out) == (NOTHING_FOUND, "")
    assert f"{PURPLE}: did not come true in 3 judgements; in the end its probability" in err


def test_each_file_is_judged_anew(watch: Run, film: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.mp4"
    write_film(Film(random.Random(4), SECONDS), again, fps=4, scale=2)
    code, out, err = watch(film, again, "--when", ORANGE, "--jsonl")
    assert code == 0, err
    first, second = (json.loads(line) for line in out.splitlines())
    assert second["at_s"] == pytest.approx(first["at_s"] + SECONDS)
    assert second["number"] > first["number"]


def test_without_a_condition_the_memory_is_filled(watch: Run, film: Path, tmp_path: Path) -> None:
    code, out, err = watch(film, "--memory", tmp_path / "m")
    assert (code, out) == (0, ""), err
    with longtake.open("embedded", tmp_path / "m") as take:
        assert take.stats().chunks == SECONDS // 2
    assert "is forgotten" in watch(film, "--to", "2")[2], "without --memory"


def test_events_are_kept_in_the_memory(watch: Run, film: Path, tmp_path: Path) -> None:
    assert watch(film, "--when", ORANGE, "--memory", tmp_path / "m")[0] == 0
    with longtake.open("embedded", tmp_path / "m") as take:
        (kept,) = take.events()
        assert kept.kind == "alert" and kept.text == ORANGE


# ------------------------------------------------------------------ cameras


def test_a_camera_is_watched_until_the_first_event(watch: Run, camera: tuple[str, ...]) -> None:
    words = ("--when", ORANGE, "--once", "--until", "60s", "--camera", "door", "--jsonl")
    code, out, err = watch(*camera, *words)
    assert code == 0, err
    (shown,) = (json.loads(line) for line in out.splitlines())
    assert shown["camera"] == "door" and shown["wall_s"] > 1.7e9
    assert "door: live" in err and "door: seen to 0:0" in err


def test_a_camera_that_was_never_reached_is_4_when_time_is_over(watch: Run) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"rtsp://anna:secret@127.0.0.1:{held.getsockname()[1]}/main"
        code, out, err = watch(address, "--until", "0.5s", "--when", ORANGE, "--jsonl")
    assert (code, out) == (cli.SOURCE, "")
    assert "refused" in err.strip().splitlines()[-1] and "secret" not in err


def test_ctrl_c_keeps_what_fired(
    watch: Run, film: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    show = Shown.show

    def interrupted(self: Shown, fired: Any) -> None:
        show(self, fired)
        if self.count:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Shown, "show", interrupted)
    code, out, err = watch(film, "--when", ORANGE, "--json", "--memory", tmp_path / "m")
    assert code == cli.INTERRUPTED and "interrupted" in err
    shown = json.loads(out)
    assert shown["ended"] == "interrupted" and shown["complete"] is False
    assert len(shown["events"]) == 1


# ------------------------------------------------------------------ who is told


def test_a_webhook_is_posted_to_and_signed(
    watch: Run, film: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_WEBHOOK_SECRET", SECRET)
    code, out, err = watch(film, "--when", ORANGE, "--notify", receiver.url, "--jsonl")
    assert code == 0, err
    ((headers, body),) = receiver.posts
    posted, shown = json.loads(body), json.loads(out)
    assert posted == {name: value for name, value in shown.items() if name != "pictures"}
    signed = f"{headers['X-Longtake-Timestamp']}.".encode() + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Longtake-Signature"] == f"sha256={expected}"
    assert "hidden" not in out + err and SECRET not in out + err


def test_who_cannot_be_told_is_noted_and_changes_no_code(watch: Run, film: Path) -> None:
    refusing = Receiver(status=400)
    try:
        code, _, err = watch(film, "--when", ORANGE, "--notify", refusing.url, "--json")
    finally:
        refusing.close()
    assert code == 0 and len(refusing.posts) == 1
    assert f"{ORANGE}: of 1 events 1 could not be told to everybody" in err
    assert "hidden" not in err


def test_a_program_runs_without_a_shell(watch: Run, film: Path, tmp_path: Path) -> None:
    told = tmp_path / "told; $HOME"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    command = f"{sys.executable} -c \"{script}\" '{told}'"
    code, _, err = watch(film, "--when", ORANGE, "--run", command)
    assert code == 0, err
    (line,) = told.read_text().splitlines()
    assert json.loads(line)["condition"] == ORANGE


def test_once_tells_the_first_event_alone(watch: Run, film: Path, receiver: Receiver) -> None:
    words = ("--when", ORANGE, "--when", "is there a star?", "--confirm", "1", "--cooldown", "0")
    code, out, err = watch(film, *words, "--once", "--jsonl", "--notify", receiver.url)
    assert code == 0, err
    (shown,) = (json.loads(line) for line in out.splitlines())
    assert [json.loads(body)["number"] for _, body in receiver.posts] == [shown["number"]]


def test_the_first_is_whoever_asks_first() -> None:
    first = First(once=True)
    done: list[AlertEvent] = []
    told = Told(done.append, first)
    one, two = event(1), event(2)
    told(two)
    told(one)
    assert done == [two] and first.passes(two) and not first.passes(one) and first.is_enough
    every = First(once=False)
    assert every.passes(one) and every.passes(two) and not every.is_enough


def test_a_line_tells_when_where_and_how_sure() -> None:
    line = in_words(event(1, camera="door\n", wall_s=0.0), ["a.jpg"])
    assert re.fullmatch(
        r"0:42  19\d\d-\d\d-\d\d \d\d:\d\d:\d\d  97%  is there a ring\?  \[door\\n\]  a\.jpg", line
    )


def test_the_object_at_the_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_EVENTS", 3)
    shown = Shown("json", sys.stdout, None)
    shown.show(event(number) for number in range(5))
    assert [one["number"] for one in shown.events] == [2, 3, 4] and shown.count == 5


# ------------------------------------------------------------------ what is wrong is said at once


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], cli.USAGE, "SOURCE"),
        ([""], cli.USAGE, "empty"),
        (["/nowhere/clip.mp4"], cli.SOURCE, "no such file"),
        (["webcam:97"], cli.SOURCE, "/dev/video97"),
        (["{film}", "--notify", "http://127.0.0.1/"], cli.USAGE, "--when"),
        (["{film}", "--run", "true"], cli.USAGE, "--when"),
        (["{film}", "--once"], cli.USAGE, "--when"),
        (["{film}", "--when", " "], cli.USAGE, "the condition is empty"),
        (["{film}", "--when", "a?", "--when", "a?"], cli.USAGE, "stands twice"),
        (["{film}", "--when", "a?", "--every", "0"], cli.USAGE, "every_s=0"),
        (["{film}", "--when", "a?", "--cooldown", "-1"], cli.USAGE, "cooldown_s=-1"),
        (["{film}", "--when", "a?", "--confirm", "0"], cli.USAGE, "confirm=0"),
        (["{film}", "--when", "a?", "--threshold", "2"], cli.USAGE, "threshold=2"),
        (["{film}", "--when", "a?", "--until", "later"], cli.USAGE, "--until later"),
        (["{film}", "--when", "a?", "--notify", "ftp://x/?token=hidden"], cli.USAGE, "http"),
        (["{film}", "--when", "a?", "--run", "/nowhere/program"], cli.USAGE, "no such program"),
        (["{film}", "--when", "a?", "--run", "'x"], cli.USAGE, "quote"),
        (["{film}", "--json", "--jsonl"], cli.USAGE, "choose one form"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_is_loaded(
    watch: Run,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(longtake.engine, "load", load)
    got, out, err = watch(*(word.replace("{film}", str(film)) for word in words))
    assert (got, out) == (code, ""), err
    assert said in err and len(err.strip().splitlines()) == 1 and "hidden" not in err
