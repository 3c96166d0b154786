"""A dialogue on the command line: from a pipe, at a terminal, stopped, saved."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import longtake
import longtake.engine
from longtake import cli
from longtake.asking import Asking
from longtake.cli import chat_lines
from longtake.models.base import Adapter
from tests.clips import write_clip

Run = Any
FIXED = ("--fps", "1", "--window", "4")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No history of the developer, and short answers: random weights seldom end one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LONGTAKE_MAX_TOKENS", "16")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A take of 12 s, to be talked about again and again."""
    folder = tmp_path_factory.mktemp("chat")
    clip = write_clip(folder / "clip.mp4", seconds=12, fps=2)
    with longtake.open(str(tiny_model), folder / "memory", fps=1.0, window_s=4.0) as take:
        take.watch(clip).wait()
    return folder / "memory"


@pytest.fixture
def chat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> Run:
    """Run ``longtake chat`` with these lines on stdin; returns exit code, stdout and stderr."""

    def call(lines: str | Typed, *words: object) -> tuple[int, str, str]:
        stdin = io.StringIO(lines) if isinstance(lines, str) else lines
        monkeypatch.setattr(sys, "stdin", stdin)
        code = cli.main(["chat", *map(str, words), "--model", str(tiny_model), *FIXED])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


class Typed(io.StringIO):
    """A terminal at which these lines are typed, or keys pressed; then Ctrl-D."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *typed: str | type[BaseException]) -> None:
        super().__init__()
        coming = iter(typed)

        def read(prompt: str = "") -> str:
            line = next(coming, EOFError)
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr("builtins.input", read)

    def isatty(self) -> bool:
        return True


class Spied:
    """An adapter that keeps the prompts that went into the decoder; it can wait before a token."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.prompts: list[str] = []
        self.before_token: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def embed(self, ids: Any) -> Any:
        if len(ids) > 1:
            self.prompts.append(self._adapter.text(ids.tolist()))
        return self._adapter.embed(ids)

    def logits(self, hidden: Any) -> Any:
        self.before_token()
        return self._adapter.logits(hidden)


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Spied:
    """The model that the command line will load."""
    one = Spied(longtake.engine.load(str(tiny_model), device="cpu"))
    monkeypatch.setattr(longtake.engine, "load", lambda *_, **__: one)
    return one


# ------------------------------------------------------------------ questions from a pipe


def test_lines_of_a_pipe_are_questions_and_answers_come_without_a_prompt(
    chat: Run, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=6, fps=2)
    code, out, err = chat("what was there?\n\n  \nand then?", clip)
    assert (code, err) == (0, "")
    assert len(re.findall(r"^   evidence  0:0\d.* \(\d+%\)", out, re.MULTILINE)) == 2
    assert "> " not in out and "what was there?" not in out


def test_an_answer_is_the_one_that_ask_gives(
    chat: Run, memory: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = chat("what was there?\n", "--memory", memory, "--json")
    told = json.loads(out)
    words = ("--memory", str(memory), "what was there?", "--json", "--model", str(tiny_model))
    assert cli.main(["ask", *words, *FIXED]) == 0
    asked = json.loads(capsys.readouterr().out)["answers"][0]
    assert told["text"] == asked["text"] and told["evidence"] == asked["evidence"]


def test_json_is_one_object_a_question_and_nothing_else(chat: Run, memory: Path) -> None:
    lines = "/help\nwhat was there?\n/evidence\n/nonsense\nand then?\n/stats\n"
    code, out, err = chat(lines, "--memory", memory, "--json")
    assert code == 0
    shown = [json.loads(line) for line in out.splitlines()]
    assert [one["question"] for one in shown] == ["what was there?", "and then?"]
    assert {one["schema"] for one in shown} == {"longtake.chat/1"}
    assert all(one["evidence"] and one["partial"] in (True, False) for one in shown)
    assert "/save FILE" in err and "first token" in err and "/nonsense: no such" in err


# ------------------------------------------------------------------ the dialogue


def test_an_earlier_turn_reaches_the_model(chat: Run, memory: Path, spied: Spied) -> None:
    code, out, _ = chat("was it red?\nand its shape?\n", "--memory", memory, "--json")
    assert code == 0
    first = json.loads(out.splitlines()[0])["text"]
    last = spied.prompts[-1]
    assert "was it red?" in last and "and its shape?" in last
    assert first.strip() and first in last


def test_a_long_dialogue_keeps_its_newest_turns(chat: Run, memory: Path, spied: Spied) -> None:
    questions = [f"question {number} " + "x" * 250 + "?" for number in range(6)]
    code, out, err = chat("\n".join(questions), "--memory", memory, "--json")
    assert code == 0, err
    assert len(out.splitlines()) == 6
    prompt = spied.prompts[-1]
    kept = [number for number, question in enumerate(questions) if question in prompt]
    assert 0 not in kept and {4, 5} <= set(kept)
    assert kept == list(range(kept[0], 6)), "turns are left out from the oldest on"


def test_a_failing_question_is_told_and_the_chat_goes_on(
    chat: Run, memory: Path, spied: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = replace(spied.shape, trained_tokens=700)
    monkeypatch.setattr(spied, "shape", shape, raising=False)
    lines = "x" * 600 + "\nwhat was there?\n"
    code, out, err = chat(lines, "--memory", memory, "--json")
    assert code == 0
    failed, told = (json.loads(line) for line in out.splitlines())
    assert "trained for 700" in failed["error"] and failed["question"].startswith("xxx")
    assert told["text"]
    assert err.startswith("longtake: ") and len(err.splitlines()) == 1


# ------------------------------------------------------------------ commands


def test_evidence_is_shown_and_its_pictures_written(
    chat: Run, memory: Path, tmp_path: Path
) -> None:
    lines = f'what was there?\n/evidence\n/evidence "{tmp_path}/some pictures"\n'
    code, out, err = chat(lines, "--memory", memory)
    assert (code, err) == (0, "")
    pictures = sorted((tmp_path / "some pictures").glob("*.jpg"))
    assert pictures and all(f"picture   {picture}" in out for picture in pictures)
    assert out.count("first token") == 2 and "\u2588" in out


def test_between_and_at_bound_what_is_known_until_they_are_lifted(chat: Run, memory: Path) -> None:
    lines = "/between 2 0:05\nwhat?\n/between\nwhat?\n/at 5s\nwhat?\n/at off\nwhat?\n"
    code, out, err = chat(lines, "--memory", memory, "--json")
    assert code == 0
    bounded, free, early, late = (json.loads(line) for line in out.splitlines())
    assert all(2 <= m["end_s"] and m["start_s"] <= 5 for m in bounded["evidence"])
    assert any(m["start_s"] > 5 or m["end_s"] < 2 for m in free["evidence"])
    assert early["as_of_s"] == 5.0 and late["as_of_s"] == free["as_of_s"] == 11.0
    assert "recall from 0:02 to 0:05 only" in err and "answers are as of 0:05" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/evidnce", "did you mean /evidence?"),
        ("/", "/help lists the commands"),
        ("/evidence", "there is no answer yet"),
        ("/between 3", "needs two times"),
        ("/between 5 3", "must not be earlier"),
        ("/between 1:00 2:00", "the take ends at 0:11"),
        ("/between x y", "/between x: must be seconds"),
        ("/at 1:99", "/at 1:99: must be seconds"),
        ("/at 1 2", "too many words; it is /at [T]"),
        ("/save", "needs a name"),
        ("/save {text}", "it exists"),
        ("/save {text}/talk.md", "Not a directory"),
        ("/save 'talk.md", "a quote is opened and not closed"),
        ("/model tiny", "longtake chat --model tiny VIDEO"),
    ],
)
def test_a_bad_command_is_one_line_and_the_chat_goes_on(
    chat: Run, memory: Path, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "text").write_text("mine")
    lines = line.format(text=tmp_path / "text") + "\n/stats\n"
    code, out, err = chat(lines, "--memory", memory)
    assert code == 0 and "12 chunks in the take" in out
    assert said in err and len(err.splitlines()) == 1 and err.startswith("longtake: ")
    assert (tmp_path / "text").read_text() == "mine"


def test_model_and_help_say_what_there_is(chat: Run, memory: Path, tiny_model: Path) -> None:
    code, out, _ = chat("/model\n/help\n/quit\nnever asked\n", "--memory", memory)
    assert code == 0
    for said in (str(tiny_model), "llava_onevision", "float32 on cpu", "4 s (", "16 chunks"):
        assert said in out
    for name in chat_lines.COMMANDS:
        assert name in out
    assert "evidence  0:" not in out, "/quit ends the chat"


def test_the_limits_of_a_model_are_said(
    chat: Run, memory: Path, spied: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spied, "recipe", replace(spied.recipe, note="knows nothing"), raising=False)
    _, out, _ = chat("/model\n", "--memory", memory)
    assert "limits  knows nothing" in out


def test_a_dialogue_is_saved_as_markdown_and_as_lines(
    chat: Run, memory: Path, tmp_path: Path
) -> None:
    markdown, lines = tmp_path / "talk.md", tmp_path / "talk.jsonl"
    typed = f"what?\n/save {markdown}\nand then?\n/save {markdown}\n/save {lines}\n"
    code, _, err = chat(typed, "--memory", memory)
    assert (code, err) == (0, "")
    text = markdown.read_text()
    assert text.startswith(f"# About {memory}\n")
    assert text.index("## what?") < text.index("## and then?")
    assert len(re.findall(r"^Evidence: 0:\d\d.*; as of 0:11\.", text, re.MULTILINE)) == 2
    saved = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [one["question"] for one in saved] == ["what?", "and then?"]
    assert saved[0]["schema"] == "longtake.chat/1" and saved[0]["evidence"]


# ------------------------------------------------------------------ Ctrl-C and the end


@pytest.fixture
def stops_at_once(spied: Spied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the first answer's third token is made."""
    reached, cancelled = threading.Event(), threading.Event()
    tokens = iter(range(1_000_000))
    cancel, pieces, interrupts = Asking.cancel, Asking.__iter__, iter([signal.SIGINT])

    def wait() -> None:
        if next(tokens) == 2:
            reached.set()
            assert cancelled.wait(60)

    def tell(asking: Asking) -> None:
        cancel(asking)
        cancelled.set()

    def interrupted(asking: Asking) -> Iterator[str]:
        for number in interrupts:
            assert reached.wait(60)
            signal.raise_signal(number)
        yield from pieces(asking)

    spied.before_token = wait
    monkeypatch.setattr(Asking, "cancel", tell)
    monkeypatch.setattr(Asking, "__iter__", interrupted)


@pytest.mark.usefixtures("stops_at_once")
def test_ctrl_c_stops_an_answer_and_not_the_chat(chat: Run, memory: Path, spied: Spied) -> None:
    code, out, err = chat("what was there?\nand then?\n", "--memory", memory, "--json")
    assert (code, err) == (0, "")
    stopped, whole = (json.loads(line) for line in out.splitlines())
    assert stopped["partial"] is True and stopped["timings"]["tokens"] == 3
    assert whole["timings"]["tokens"] > 3
    assert stopped["text"] in spied.prompts[-1], "what was said is remembered"


@pytest.mark.usefixtures("stops_at_once")
def test_a_stopped_answer_says_so_in_its_line(chat: Run, memory: Path) -> None:
    code, out, _ = chat("what was there?\nand then?\n", "--memory", memory)
    assert code == 0
    assert out.count(" (stopped)\n") == 1 and out.count("   evidence  ") == 2


def test_ctrl_c_at_the_prompt_explains_and_the_second_leaves(
    chat: Run, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = (KeyboardInterrupt, "/stats", KeyboardInterrupt, KeyboardInterrupt, "what?")
    code, out, err = chat(Typed(monkeypatch, *keys), "--memory", memory)
    assert code == cli.INTERRUPTED
    assert err.count("Ctrl-D or /quit ends the chat") == 2
    assert "12 chunks" in out and "evidence" not in out


def test_ctrl_c_while_watching_ends_with_130_and_keeps_what_was_seen(
    chat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longtake.watch import Watch

    clip = write_clip(tmp_path / "clip.mp4", seconds=6, fps=2)
    looks = Watch.is_seen

    def interrupt(watch: Watch, timeout_s: float | None = 0.0) -> bool:
        monkeypatch.setattr(Watch, "is_seen", looks)
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "is_seen", interrupt)
    code, out, err = chat("what?\n", clip, "--memory", tmp_path / "m")
    assert (code, out) == (cli.INTERRUPTED, "") and "seen to" in err
    code, out, err = chat("what?\n", clip, "--memory", tmp_path / "m")
    assert code == 0 and "evidence" in out, err


def test_a_closed_pipe_ends_silently(memory: Path, tiny_model: Path) -> None:
    script = (
        "import os, sys; from longtake import cli; "
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1); "
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ("chat", "--memory", str(memory), "--model", str(tiny_model), *FIXED)
    done = subprocess.run(
        [sys.executable, "-c", script, *words], input="what?\n", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], cli.USAGE, "no video"),
        (["/nowhere/clip.mp4"], cli.SOURCE, "/nowhere/clip.mp4: no such file"),
        (["-"], cli.USAGE, "standard input"),
        (["--memory", "/nowhere/memory"], cli.USAGE, "/nowhere/memory"),
        (["--memory", "{memory}", "--top-k", "0"], cli.USAGE, "top_k=0"),
    ],
)
def test_what_cannot_begin_ends_with_a_code(
    chat: Run, memory: Path, words: list[str], code: int, said: str
) -> None:
    got, out, err = chat("what?\n", *(word.format(memory=memory) for word in words))
    assert (got, out) == (code, "") and said in err and len(err.splitlines()) == 1


# ------------------------------------------------------------------ history and a real terminal


def test_what_was_typed_is_kept_for_the_owner_alone(
    chat: Run, memory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "longtake" / "chat_history"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"earlier {number}\n" for number in range(1500)))
    assert chat(Typed(monkeypatch, "/stats", " ", "/at 3"), "--memory", memory)[0] == 0
    lines = path.read_text().splitlines()
    assert lines[-3:] == ["earlier 1499", "/stats", "/at 3"]
    assert len(lines) == chat_lines.MAX_HISTORY_LINES
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["chat_history"]


def test_a_history_that_cannot_be_kept_is_no_error(
    chat: Run, memory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file stands where the folder should")
    for verbose, notes in (("-q", 0), ("-v", 1)):
        code, out, err = chat(Typed(monkeypatch, "/stats"), "--memory", memory, verbose)
        assert code == 0 and "12 chunks" in out
        assert err.count("history of this chat is not kept") == notes


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, Path("/s/longtake/chat_history")),
        ({"XDG_STATE_HOME": "s", "HOME": "/h"}, Path("/h/.local/state/longtake/chat_history")),
        ({"HOME": "/h"}, Path("/h/.local/state/longtake/chat_history")),
        ({}, None),
    ],
)
def test_where_the_history_lies(environment: dict[str, str], path: Path | None) -> None:
    assert chat_lines.history_file(environment) == path


def test_tab_completes_commands_at_the_head_of_a_line() -> None:
    complete = chat_lines.completer(lambda: 0)
    assert [complete("/s", number) for number in range(4)] == [
        "/status ",
        "/stats ",
        "/save ",
        None,
    ]
    assert complete("what", 0) is None
    assert chat_lines.completer(lambda: 6)("/s", 0) is None


class Screen:
    """The other side of a terminal in which a program runs."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        name = os.ttyname(slave)
        # A session's first process that opens a terminal is controlled by it: Ctrl-C reaches it.
        script = 'exec "$@" <"$0" >"$0" 2>&1'
        self.process = subprocess.Popen(
            ["sh", "-c", script, name, *arguments], start_new_session=True, env=environment
        )
        self.waits_for_slave = slave  # held until the program holds it too
        self.text = ""
        self._deadline = time.monotonic() + 120

    def until(self, pattern: str) -> str:
        """Read until a line matches, from what was read last on."""
        while (found := re.search(pattern, self.text)) is None:
            left_s = self._deadline - time.monotonic()
            ready = select.select([self._master], [], [], max(0.0, left_s))[0]
            assert ready, f"{pattern} never came: {self.text!r}"
            self.text += os.read(self._master, 4096).decode(errors="replace")
        before, self.text = self.text[: found.end()], self.text[found.end() :]
        return before

    def until_it_waits(self) -> None:
        """Python sees a signal between prompt and wait only with the next key."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            threading.Event().wait(0.001)
            assert time.monotonic() < self._deadline

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.waits_for_slave)
        os.close(self._master)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_at_a_real_terminal(memory: Path, tiny_model: Path, tmp_path: Path) -> None:
    words = ["chat", "--memory", str(memory), "--model", str(tiny_model), *FIXED]
    environment = os.environ | {"TERM": "dumb", "XDG_STATE_HOME": str(tmp_path)}
    screen = Screen([sys.executable, "-m", "longtake", *words], environment)
    try:
        screen.until(r"seen to 0:11; ask about it")
        screen.until(r"\n> ")
        screen.type("what was there?\n")
        screen.until(r"   evidence  0:\d\d")
        screen.until(r"\n> ")
        screen.until_it_waits()
        screen.type("\x03")
        screen.until(r"Ctrl-D or /quit ends the chat")
        screen.until(r"> ")
        screen.type("half a line")
        screen.until(r"half a line")  # Ctrl-C drops what no program has read yet
        screen.until_it_waits()
        screen.type("\x03")
        assert "Ctrl-D or" not in screen.until(r"\n> ")
        screen.type("/stats\t\n")
        screen.until(r"12 chunks in the take")
        screen.until(r"\n> ")
        screen.type("\x04")
        assert screen.process.wait(60) == 0
    finally:
        screen.close()
    history = (tmp_path / "longtake" / "chat_history").read_text().splitlines()
    assert history == ["what was there?", "/stats "]
