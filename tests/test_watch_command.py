"""``longtake watch``: events as they fire, who is told, and how it ends."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import random
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import longtake
import longtake.engine
from longtake import cli
from longtake.alerts.action import ActionFailed
from longtake.alerts.event import AlertEvent
from longtake.cli import events, run_watch
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
    assert f"{ORANGE}: 1 of 1 event could not be told to everybody" in err
    assert "hidden" not in err


def test_a_program_runs_without_a_shell(watch: Run, film: Path, tmp_path: Path) -> None:
    told = tmp_path / "told; $HOME"
    script = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
    command = f"{sys.executable} -c \"{script}\" '{told}'"
    code, _, err = watch(film, "--when", ORANGE, "--run", command)
    assert code == 0, err
    (line,) = told.read_text().splitlines()
    assert json.loads(line)["condition"] == ORANGE


def test_several_programs_are_run_and_one_that_fails_is_told_of(
    watch: Run, film: Path, tmp_path: Path
) -> None:
    first, last = (f"touch {tmp_path / name}" for name in "ab")
    programs = ("--run", first, "--run", "false", "--run", last)
    code, _, err = watch(film, "--when", ORANGE, *programs)
    assert code == 0 and {path.name for path in tmp_path.iterdir()} >= {"a", "b"}
    assert f"{ORANGE}: 1 of 1 event could not be told to everybody" in err


def test_a_slow_webhook_has_its_time_after_ctrl_c_and_no_more(
    watch: Run, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_watch, "LEAST_SETTLE_S", 1.0)
    with never_answering() as (url, was_asked):
        interrupt_when(was_asked)
        begun = time.monotonic()
        code, _, err = watch(film, "--when", ORANGE, "--notify", url, "--live", "--until", "9s")
        assert time.monotonic() - begun < 8
    assert code == cli.INTERRUPTED
    assert "telling 1 event; Ctrl-C again gives up" in err
    assert f"{ORANGE}: 1 of 1 event could not be told to everybody" in err


def test_a_second_ctrl_c_gives_up_at_once(
    watch: Run, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = threading.Event()
    say = run_watch.say

    def heard(text: str) -> None:
        say(text)
        if text.startswith("telling"):
            said.set()

    monkeypatch.setattr(run_watch, "say", heard)
    monkeypatch.setattr(run_watch, "LEAST_SETTLE_S", 20.0)
    with never_answering() as (url, was_asked):
        interrupt_when(was_asked, said)
        begun = time.monotonic()
        code, _, err = watch(film, "--when", ORANGE, "--notify", url, "--live", "--until", "9s")
        assert time.monotonic() - begun < 15
    assert code == cli.INTERRUPTED and "1 of 1 event could not be told" in err


@contextmanager
def never_answering() -> Iterator[tuple[str, threading.Event]]:
    """An address that takes what is posted and says nothing; the event: somebody has come."""
    came = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                held.append(server.accept()[0])
                came.set()

        held: list[socket.socket] = []
        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/in", came
    for one in held:
        one.close()


def interrupt_when(*events: threading.Event) -> None:
    """Ctrl-C after each of these."""

    def press() -> None:
        for one in events:
            if one.wait(30):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


def test_an_action_that_is_let_go_of_is_waited_for_by_nobody() -> None:
    class Hanging:
        begun, end = threading.Event(), threading.Event()

        def __call__(self, _: AlertEvent) -> None:
            self.begun.set()
            self.end.wait(30)

        def stop(self) -> None:
            self.end.set()

    hanging, errors = Hanging(), queue.SimpleQueue[BaseException]()
    told = Told(hanging, First(once=False))

    def tell() -> None:
        try:
            told(event(1))
        except BaseException as error:
            errors.put(error)

    threading.Thread(target=tell, daemon=True).start()
    assert hanging.begun.wait(5)
    told.let_go()
    assert isinstance(errors.get(timeout=5), ActionFailed) and not hanging.end.is_set()
    told.stop()
    assert hanging.end.is_set()


def test_advice_for_programs_is_not_given_at_the_command_line() -> None:
    class Late:
        def __call__(self, _: AlertEvent) -> None:
            raise ActionFailed(
                "x: killed after 30 s; raise timeout_s to give it longer; it said: y"
            )

        def stop(self) -> None:
            pass

    with pytest.raises(ActionFailed, match=r"^x: killed after 30 s; it said: y$"):
        Told(Late(), First(once=False))(event(1))


def test_once_reads_a_file_no_further(watch: Run, film: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.mp4"
    write_film(Film(random.Random(4), 300), long, fps=2, scale=2)
    words = ("--when", ORANGE, "--once", "--memory", tmp_path / "m", "--camera", "door")
    code, out, err = watch(long, *words, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["ended"] == "once" and shown["sources"][0]["camera"] == "door"
    assert shown["ingest"]["frames"] < 300, "of 600"
    with longtake.open("embedded", tmp_path / "m") as take:
        seen = take.watch(long)
        assert not seen.is_known
        seen.wait()
        assert take.stats().frames + shown["ingest"]["frames"] >= 300, "what was left is seen now"


def test_what_was_seen_before_is_told_from_the_log(watch: Run, film: Path, tmp_path: Path) -> None:
    memory = ("--memory", tmp_path / "m")
    assert watch(film, *memory, "--when", ORANGE)[0] == 0
    code, out, err = watch(film, *memory, "--when", ORANGE, "--when", PURPLE)
    assert (code, out) == (0, ""), err
    assert f"{ORANGE}: what was seen before was not judged anew; the memory's log holds 1 ev" in err
    assert f"{PURPLE}: what was seen before" in err and "holds 0 events" in err
    assert f"longtake memory events {tmp_path / 'm'}" in err and "judgements" not in err
    code, out, _ = watch(film, *memory, "--when", PURPLE, "--json")
    assert code == NOTHING_FOUND
    assert json.loads(out)["alerts"][0]["logged"] == 0


def test_a_memory_in_use_says_what_can_be_done(watch: Run, film: Path, tmp_path: Path) -> None:
    with longtake.open("embedded", tmp_path / "m"):
        code, _, err = watch(film, "--memory", tmp_path / "m")
    said = err.strip().splitlines()[-1]
    assert code == cli.CONFIGURATION and "read-only" not in said
    assert f"longtake ask --memory {tmp_path / 'm'}" in said and "another folder" in said


def test_once_tells_the_first_event_alone(watch: Run, film: Path, receiver: Receiver) -> None:
    words = ("--when", ORANGE, "--when", "is there a star?", "--confirm", "1", "--cooldown", "0")
    code, out, err = watch(film, *words, "--once", "--jsonl", "--notify", receiver.url)
    assert code == 0, err
    (shown,) = (json.loads(line) for line in out.splitlines())
    assert [json.loads(body)["number"] for _, body in receiver.posts] == [shown["number"]]


def test_the_first_is_whoever_asks_first() -> None:
    enough: list[bool] = []
    first = First(once=True, on_enough=lambda: enough.append(True))

    class Kept(list[AlertEvent]):
        def __call__(self, event: AlertEvent) -> None:
            self.append(event)

        def stop(self) -> None:
            pass

    done = Kept()
    told = Told(done, first)
    one, two = event(1), event(2)
    told(two)
    told(one)
    assert done == [two] and first.passes(two) and not first.passes(one) and first.is_enough
    assert enough == [True]
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
        (["{film}", "--when", "a?", "--every", "0"], cli.USAGE, "--every 0"),
        (["{film}", "--when", "a?", "--cooldown", "-1"], cli.USAGE, "--cooldown -1"),
        (["{film}", "--when", "a?", "--confirm", "0"], cli.USAGE, "--confirm 0"),
        (["{film}", "--when", "a?", "--threshold", "2"], cli.USAGE, "--threshold 2"),
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
