"""Disks that fill up, folders that cannot be written, kills, closed pipes and odd names.

Whatever goes wrong: one line (and one more where seen chunks are lost), the right code, and what
was seen stays; the same command goes on.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from longtake import cli
from longtake.memory import files
from longtake.memory.catalog import Catalog
from longtake.memory.files import MemoryFull
from longtake.memory.survey import survey
from tests.clips import write_clip

Run = Any
SECONDS = 40
QUESTIONS = ("what was there?", "and then?")
ROOT = Path(__file__).resolve().parents[1]
HEAD = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
runpy.run_path({str(ROOT / "tests" / "conftest.py")!r})  # maps `longtake` like the tests' own
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS, fps=2)


@pytest.fixture(scope="module")
def flags(tiny_model: Path) -> list[str]:
    return ["--model", str(tiny_model), "--fps", "1", "--window", "4"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], flags: list[str]) -> Run:
    """Run ``longtake ask``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["ask", *flags, *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture(scope="module")
def whole(clip: Path, flags: list[str]) -> dict[str, Any]:
    """What an ingest that nothing disturbs has to say."""
    with redirect_stdout(io.StringIO()) as out:
        assert cli.main(["ask", *flags, str(clip), *QUESTIONS, "--json"]) == 0
    return essence(out.getvalue())


def essence(out: str) -> dict[str, Any]:
    """Of a ``--json`` output: what may not depend on how often an ingest was interrupted."""
    shown = json.loads(out)
    return {
        "chunks": shown["ingest"]["chunks"],
        "answers": [
            (a["text"], a["as_of_s"], [(m["start_s"], m["end_s"]) for m in a["evidence"]])
            for a in shown["answers"]
        ],
    }


def assert_one_line(err: str) -> str:
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("longtake: "), err
    assert "Traceback" not in err
    return lines[0]


def assert_goes_on(run: Run, clip: Path, memory: Path, whole: dict[str, Any]) -> None:
    """The same command again sees only the rest, and answers as if nothing had happened."""
    held = survey(memory).chunks
    code, out, err = run(clip, *QUESTIONS, "--memory", memory, "--json")
    assert code == 0, err
    assert essence(out) == whole
    assert json.loads(out)["ingest"]["frames"] <= SECONDS - held


def assert_answers_from_what_was_kept(run: Run, memory: Path, at_least: int) -> None:
    code, out, err = run("what was there?", "--memory", memory, "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert at_least <= shown["ingest"]["chunks"] < SECONDS
    assert shown["answers"][0]["as_of_s"] == pytest.approx(shown["ingest"]["chunks"] - 1)
    assert shown["answers"][0]["coverage"] == 1.0


# ------------------------------------------------------------------ disks that fill up or fail


@contextmanager
def file_size_limit(nbytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_space_after(writes: int) -> Iterator[None]:
    calls, write_all = 0, files.write_all

    def write(fd: int, data: bytes | bytearray, offset: int) -> None:
        nonlocal calls
        calls += 1
        if calls > writes:
            os.pwrite(fd, data[: len(data) // 3], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(fd, data, offset)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "write_all", write)
        yield


@pytest.mark.parametrize("limit", ["file size", "no space"])
def test_a_disk_that_fills_up_keeps_what_was_seen(
    run: Run, clip: Path, tmp_path: Path, whole: dict[str, Any], limit: str
) -> None:
    memory = tmp_path / "m"
    with file_size_limit(200 << 10) if limit == "file size" else no_space_after(15):
        code, out, err = run(clip, *QUESTIONS, "--memory", memory)
        assert (code, out) == (cli.CONFIGURATION, "")
        said = assert_one_line(err)
        assert "no room" in said and "could not be kept, the first" in said
    assert_answers_from_what_was_kept(run, memory, at_least=10)
    assert_goes_on(run, clip, memory, whole)


def test_a_budget_that_is_used_up_keeps_what_was_seen(
    run: Run, clip: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    memory = tmp_path / "m"
    for _ in range(2):  # the same command again says the same
        budget = ("--disk-bytes", "400K", "--ladder", "none")
        code, out, err = run(clip, *QUESTIONS, "--memory", memory, *budget)
        assert (code, out) == (cli.CONFIGURATION, "")
        said = assert_one_line(err)
        assert "--disk-bytes" in said and "could not be kept, the first" in said
    assert_answers_from_what_was_kept(run, memory, at_least=10)
    assert_goes_on(run, clip, memory, whole)


def test_a_disk_that_fails_keeps_what_was_durable(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "m"
    assert run(clip, "what?", "--memory", memory, "--to", "10")[0] == 0

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(files, "sync_data", fail)
        code, out, err = run(clip, "what?", "--memory", memory)
        assert (code, out) == (cli.CONFIGURATION, "")
        first, last = err.splitlines()  # when it began; then the error's one line
        for said in (first, last):
            assert "the disk did not take the newest" in said and "Check the disk" in said
        assert_one_line(last)
    assert_answers_from_what_was_kept(run, memory, at_least=10)
    code, out, err = run(clip, "what?", "--memory", memory, "--json")
    assert code == 0, err
    assert json.loads(out)["source"]["complete"]
    assert (survey(memory).chunks, survey(memory).lost) == (10 + SECONDS, 0)


def test_where_the_rows_of_chunks_find_no_room_some_chunks_make_it(
    run: Run, clip: Path, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, commit = tmp_path / "m", Catalog.commit

    def commit_ten_rows(catalog: Catalog) -> None:
        if len(catalog) > 10:
            raise MemoryFull("catalog.sqlite: the disk is full")
        commit(catalog)

    with monkeypatch.context() as full:
        full.setattr(Catalog, "commit", commit_ten_rows)
        code, out, err = run(clip, *QUESTIONS, "--memory", memory)
        assert (code, out) == (cli.CONFIGURATION, "")
        assert "the first 10 are" in assert_one_line(err)
    assert survey(memory).chunks == 10 and survey(memory).lost == 0
    assert_answers_from_what_was_kept(run, memory, at_least=10)
    assert_goes_on(run, clip, memory, whole)


def test_a_small_disk_that_is_full(run: Run, clip: Path, tmp_path: Path, flags: list[str]) -> None:
    """A real one, in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=300k none {disk} || exit 99"
    script = f'{mounted}; "$@"; code=$?; cp -r {disk}/m {tmp_path}/m; exit $code'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    try:
        allowed = subprocess.run([*command, "mkdir", str(disk / "m")], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if allowed.returncode:
        pytest.skip(f"no mount namespace: {allowed.stderr.decode().strip()}")
    shutil.rmtree(tmp_path / "m")
    code, out, err = longtake("ask", *flags, clip, "what?", "--memory", disk / "m", before=command)
    assert (code, out) == (cli.CONFIGURATION, ""), err
    assert "full" in err or "no room" in err
    assert_one_line(err)
    assert_answers_from_what_was_kept(run, tmp_path / "m", at_least=1)


def test_a_memory_on_a_disk_with_no_room_at_all_answers(
    clip: Path, tmp_path: Path, flags: list[str]
) -> None:
    """The same disk, filled to the last byte behind the ingest, and asked there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=1m none {disk} || exit 99
        "$@" {clip} "what?" --memory {disk}/m >&2
        cat /dev/zero > {disk}/fill 2>/dev/null
        "$@" "what was there?" --memory {disk}/m --json
    """
    code, out, err = longtake(
        "ask", *flags, before=["unshare", "--user", "--map-root-user", "--mount", *sh(script)]
    )
    if code == 99 or "unshare" in err:
        pytest.skip(f"no mount namespace: {err.strip()}")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["ingest"]["chunks"] >= 10 and shown["answers"][0]["coverage"] == 1.0
    assert "can only be read" in err


def test_a_memory_whose_newest_chunks_were_cut_off_sees_them_again(
    run: Run, clip: Path, tmp_path: Path, whole: dict[str, Any]
) -> None:
    memory = tmp_path / "m"
    assert run(clip, "what?", "--memory", memory)[0] == 0
    (segment,) = (memory / "segments").iterdir()
    os.truncate(segment, segment.stat().st_size // 2)
    code, out, err = run(clip, *QUESTIONS, "--memory", memory, "--json")
    assert code == 0, err
    assert "chunks are cut off" in err and len(err.splitlines()) == 1
    assert 0 < json.loads(out)["ingest"]["frames"] < SECONDS
    assert essence(out) == whole
    assert json.loads(out)["source"]["complete"]


def test_a_memory_without_one_of_its_files_says_so_once_and_is_not_complete(
    capsys: pytest.CaptureFixture[str], clip: Path, tmp_path: Path, ending_model: Path
) -> None:
    memory = tmp_path / "m"
    words = ["--model", str(ending_model), "--fps", "1", "--window", "4", "--memory", str(memory)]
    again = ["ask", *words, str(clip), "what?", "--json", "--strict"]
    assert cli.main(again) == 0
    (segment,) = (memory / "segments").iterdir()
    segment.rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert cli.main(again) == cli.PARTIAL
    shown = capsys.readouterr()
    assert not json.loads(shown.out)["complete"]
    assert shown.err.count("left out of the index") == 1
    (tmp_path / "elsewhere").rename(segment)
    assert cli.main(again) == 0


def sh(script: str) -> list[str]:
    return ["sh", "-c", script, "sh"]


def longtake(
    *words: object, before: tuple[str, ...] | list[str] = (), program: str = ""
) -> tuple[int, str, str]:
    """`longtake` in a process of its own; ``program`` runs before it."""
    code = f"{HEAD}\n{program}\nfrom longtake import cli\nsys.exit(cli.main(sys.argv[1:]))"
    command = [*before, sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


# ------------------------------------------------------------------ folders that cannot be used


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Nothing can be made in this folder; root is held back by the file system alone."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    try:
        done = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("root, and there is no chattr")
    if done.returncode:
        pytest.skip(f"root, and this file system knows no immutable folders: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


@pytest.mark.parametrize("place", ["{file}/m", "/proc/longtake-memory", "{frozen}/m"])
def test_a_folder_that_cannot_be_made_is_one_line(
    run: Run, clip: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "frozen").mkdir()
    with frozen(tmp_path / "frozen"):
        memory = place.format(file=tmp_path / "file", frozen=tmp_path / "frozen")
        code, out, err = run(clip, "what?", "--memory", memory)
    assert (code, out) == (cli.CONFIGURATION, "")
    assert memory in assert_one_line(err)


def test_a_memory_in_a_folder_that_became_read_only(run: Run, clip: Path, tmp_path: Path) -> None:
    memory = tmp_path / "m"
    assert run(clip, "what?", "--memory", memory, "--to", "6")[0] == 0
    before = contents(memory)
    with frozen(memory):
        code, out, err = run(clip, "what?", "--memory", memory)
        assert (code, out) == (cli.CONFIGURATION, "")
        assert str(memory) in assert_one_line(err)
        assert cli.main(["memory", "info", str(memory)]) == 0
        code, out, err = run("what was there?", "--memory", memory, "--json")
        assert code == 0 and "can only be read" in assert_one_line(err)
        assert json.loads(out.splitlines()[-1])["answers"][0]["coverage"] == 1.0
    assert contents(memory) == before


HOLD = """
import sys
from pathlib import Path
from longtake.memory.files import WriterLock

with WriterLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_memory_that_another_process_writes_to(run: Run, clip: Path, tmp_path: Path) -> None:
    memory = tmp_path / "m"
    assert run(clip, "what?", "--memory", memory, "--to", "6")[0] == 0
    command = [sys.executable, "-c", HEAD + HOLD, str(memory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        before = contents(memory)
        code, out, err = run(clip, "what?", "--memory", memory)
        assert (code, out) == (cli.CONFIGURATION, "")
        said = assert_one_line(err)
        assert f"process {holder.pid}" in said and str(memory) in said
        assert "end that process" in said and "another folder" in said
        assert contents(memory) == before
        holder.stdin.close()
    assert holder.returncode == 0
    assert run(clip, "what?", "--memory", memory)[0] == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--from", "99"], cli.SOURCE), (["--from", "5", "--to", "2"], cli.USAGE)],
)
def test_a_range_that_makes_no_sense_leaves_the_memory_as_it_was(
    run: Run, clip: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    memory = tmp_path / "m"
    got, _, err = run(clip, "what?", "--memory", memory, *words)
    assert got == code and survey_or_none(memory) == 0, err
    assert run(clip, "what?", "--memory", memory, "--to", "6")[0] == 0
    before = contents(memory)
    got, out, err = run(clip, "what?", "--memory", memory, *words)
    assert (got, out) == (code, "")
    assert_one_line(err)
    assert contents(memory) == before


def survey_or_none(memory: Path) -> int:
    return survey(memory).chunks if memory.exists() else 0


# ------------------------------------------------------------------ the process ends


STOP = """
import os, signal, threading
from longtake.memory.store import Store

put, told = Store.put, threading.Event()

def interrupted(number, frame):
    told.set()
    raise KeyboardInterrupt

def put_and_stop(store, chunk, vectors):
    put(store, chunk, vectors)
    if chunk.info.number == 8:
        store.sync()
    if chunk.info.number == 16:
        os.kill(os.getpid(), SIGNAL)
        told.wait()

signal.signal(signal.SIGINT, interrupted)
Store.put = put_and_stop
"""


def stopped_by(number: int) -> str:
    return STOP.replace("SIGNAL", str(int(number)))


def test_a_killed_ingest_goes_on_with_the_same_command(
    run: Run, clip: Path, tmp_path: Path, flags: list[str], whole: dict[str, Any]
) -> None:
    memory = tmp_path / "m"
    words = ("ask", *flags, clip, *QUESTIONS, "--memory", memory, "--json")
    code, out, err = longtake(*words, program=stopped_by(signal.SIGKILL))
    assert (code, out, err) == (-signal.SIGKILL, "", "")
    assert 8 < survey(memory).chunks < SECONDS
    assert_goes_on(run, clip, memory, whole)


def test_an_interrupted_ingest_goes_on_with_the_same_command(
    run: Run, clip: Path, tmp_path: Path, flags: list[str], whole: dict[str, Any]
) -> None:
    memory = tmp_path / "m"
    words = ("ask", *flags, clip, *QUESTIONS, "--memory", memory, "--json")
    code, out, err = longtake(*words, program=stopped_by(signal.SIGINT))
    assert (code, out) == (cli.INTERRUPTED, "")
    assert "Traceback" not in err and "interrupted" in err.splitlines()[-1]
    assert 16 < survey(memory).chunks < SECONDS
    assert_goes_on(run, clip, memory, whole)


@contextmanager
def closed_pipe() -> Iterator[int]:
    """What is written there has no reader any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def test_a_closed_pipe_is_silent(
    run: Run, clip: Path, tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "m"
    assert run(clip, "what?", "--memory", memory, "--to", "6")[0] == 0
    with closed_pipe() as writer, suppress(BrokenPipeError):
        with (
            open(writer, "w", closefd=False) as stdout,  # closing it meets the pipe once more
            pytest.MonkeyPatch.context() as patched,
        ):
            patched.setattr(sys, "stdout", stdout)
            code = cli.main(["ask", *flags, "--memory", str(memory), "what?"])
    assert code == 0
    assert capsys.readouterr().err == ""
    assert run("what?", "--memory", memory)[0] == 0


def test_a_closed_pipe_is_silent_to_the_end_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "catalog.sqlite").touch()
    code = f"{HEAD}\nfrom longtake import cli\nsys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "memory", "ls", str(tmp_path)]
    with closed_pipe() as writer:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------ odd names


ENCODINGS = [
    ("utf-8", "strict"),  # nearly everywhere
    ("utf-8", "surrogateescape"),  # LC_ALL=C
    ("ascii", "surrogateescape"),  # LC_ALL=C and PYTHONUTF8=0
    ("iso8859-1", "strict"),
]


class Terminal:
    """Streams as Python opens them in other places of the world."""

    def __init__(self, encoding: str, errors: str) -> None:
        self.encoding = encoding
        self.out = io.TextIOWrapper(io.BytesIO(), encoding, errors)
        self.err = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")

    def run(self, *words: object) -> tuple[int, str, str]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "stdout", self.out)
            patched.setattr(sys, "stderr", self.err)
            code = cli.main([str(word) for word in words])
        return code, self._shown(self.out), self._shown(self.err)

    def _shown(self, stream: io.TextIOWrapper) -> str:
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        return stream.buffer.getvalue().decode(self.encoding, "surrogateescape")


@pytest.mark.parametrize(("encoding", "errors"), ENCODINGS)
def test_names_that_are_not_utf8_work_on_any_terminal(
    clip: Path, tmp_path: Path, flags: list[str], encoding: str, errors: str
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(clip, odd)
    fixed = [*flags, "--to", "4", "--memory", tmp_path / os.fsdecode(b"m\xe9mo")]
    code, out, err = Terminal(encoding, errors).run(
        *("ask", *fixed, odd, "what?", "--evidence-dir", tmp_path / os.fsdecode(b"vu\xe9"))
    )
    assert code == 0, err
    assert out.startswith("Q  what?") and "picture" in out
    code, out, err = Terminal(encoding, errors).run("ask", *fixed, odd, "what?", "--json")
    assert code == 0 and json.loads(out)["ingest"]["frames"] == 0, err
    assert "caf" in err and "seen before" in err
    code, out, err = Terminal(encoding, errors).run("ask", *flags, f"{odd}x.mp4", "what?")
    assert (code, out) == (cli.SOURCE, "")
    assert "caf" in assert_one_line(err)
    code, out, err = Terminal(encoding, errors).run("memory", "info", fixed[-1])
    assert code == 0 and "caf\\xe9.mp4: complete" in out, err


def test_json_of_a_name_that_is_not_utf8_is_unicode(run: Run, clip: Path, tmp_path: Path) -> None:
    """A lone surrogate is no text: strict readers of JSON refuse it."""
    odd = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(clip, odd)
    memory = tmp_path / os.fsdecode(b"m\xe9mo")
    code, out, err = run(odd, "what?", "--memory", memory, "--to", "4", "--json")
    assert code == 0, err
    shown = json.loads(out)
    for text in (shown["source"]["address"], shown["memory"]):
        assert text.encode()


@pytest.mark.parametrize(
    "name",
    [
        "with some space.mp4",
        "-dash.mp4",
        "--json",
        "two\nlines.mp4",
        "12:30 100%d '\"[a]*?.mp4",
        "x" * 251 + ".mp4",
    ],
)
def test_any_name_that_a_file_can_have(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, tmp_path / name)
    code, out, err = run("--to", "3", "--json", "--memory", "m", "--", name, "what?")
    assert (code, err) == (0, "")
    source = json.loads(out)["source"]
    assert source["address"] == name and source["complete"]
    assert cli.main(["memory", "info", "m"]) == 0


def test_a_note_about_a_name_of_two_lines_is_one_line(run: Run, clip: Path, tmp_path: Path) -> None:
    name = tmp_path / "two\nlines.mp4"
    shutil.copy(clip, name)
    words = ("--to", "3", "--memory", tmp_path / "m", name, "what?")
    assert run(*words)[0] == 0
    assert "seen before" in assert_one_line(run(*words)[2])


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "a/" * 3000 + "b.mp4", "gone\nfile.mp4"])
def test_names_that_no_file_has_are_one_line(run: Run, name: str) -> None:
    code, out, err = run(name, "what?")
    assert (code, out) == (cli.SOURCE, "")
    assert_one_line(err)


# ------------------------------------------------------------------ tracebacks


@pytest.mark.parametrize("words", [["--debug", "ask"], ["ask", "--debug"]])
def test_debug_lets_the_traceback_through(words: list[str]) -> None:
    with pytest.raises(OSError, match="no such file"):
        cli.main([*words, "/nowhere/clip.mp4", "what?"])


def test_our_own_mistake_is_one_line_too(
    run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longtake.cli import run_ask

    def fail(*_: object) -> None:
        raise RuntimeError("this should\nnot be")

    monkeypatch.setattr(run_ask, "run", fail)
    code, out, err = run(clip, "what?")
    assert (code, out) == (1, "")
    assert assert_one_line(err) == "longtake: this should not be"
    with pytest.raises(RuntimeError):
        run("--debug", clip, "what?")
