"""`longtake memory`: what is said about folders, and that saying it changes nothing."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtake import cli
from longtake.cli import run_memory_events
from longtake.memory import catalog, events, files, folder, ladder, segments, signature
from longtake.memory import survey as surveying
from longtake.memory.config import MemoryConfig
from longtake.memory.events import Event
from longtake.memory.store import Store
from longtake.memory.survey import survey
from tests.chunks import MODEL, make_chunk, put, segment_files, vectors_of
from tests.clips import write_clip
from tests.memories import contents, smooth, written

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake memory``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["memory", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


# ------------------------------------------------------------------ ls


def test_memories_of_a_folder_are_listed(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "b")
    written(tmp_path / "a", 0, 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "a file").touch()
    code, out, err = run("ls", tmp_path)
    assert (code, err) == (0, "")
    head, *rows = (line.split() for line in out.splitlines())
    assert head[:3] == ["name", "length", "chunks"]
    assert [row[0] for row in rows] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert [row[1:3] for row in rows] == [["0:00:01", "2"], ["0:00:03", "4"]]
    assert all(row[-1] == "closed" and "tiny" in row for row in rows)


def test_a_memory_itself_and_the_current_folder_are_listed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "a")
    assert str(tmp_path / "a") in run("ls", tmp_path / "a")[1]
    monkeypatch.chdir(tmp_path)
    assert run("ls")[1].splitlines()[1].startswith("a ")
    monkeypatch.chdir(tmp_path / "a")
    assert run("ls")[1].splitlines()[1].startswith(". ")


def test_no_memory_at_all_is_a_note_and_no_error(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ls", tmp_path)
    assert (code, out) == (0, "")
    assert err.startswith(f"longtake: no memory in {tmp_path}")
    code, out, _ = run("ls", tmp_path, "--json")
    assert code == 0 and json.loads(out)["memories"] == []


def test_what_cannot_be_read_is_listed_beside_what_can(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "good")
    (written(tmp_path / "bad") / "catalog.sqlite").write_bytes(b"not a database at all" * 400)
    code, out, err = run("ls", tmp_path, "--json")
    assert code == 0
    bad, good = json.loads(out)["memories"]
    assert (bad["state"], bad["chunks"]) == ("damaged", None) and "bad" in bad["damage"]
    assert (good["state"], good["chunks"], good["damage"]) == ("closed", 4, None)
    assert len(err.splitlines()) == 1 and "catalog.sqlite" in err


def test_names_of_any_bytes_are_listed(run: Run, tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"two\nlines", b"with space", "日本".encode()):
        written(tmp_path / os.fsdecode(name), 0)
    code, out, _ = run("ls", tmp_path)
    assert code == 0 and len(out.splitlines()) == 5
    assert "caf\\xe9" in out and "two\\nlines" in out and "with space" in out and "日本" in out
    code, out, _ = run("ls", tmp_path, "--json")
    shown = [Path(row["memory"]).name for row in json.loads(out)["memories"]]
    assert shown == ["caf\\xe9", "two\nlines", "with space", "日本"]


# ------------------------------------------------------------------ info


def test_what_an_ingest_left_is_told(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=8, fps=2)
    cut = tmp_path / "cut.mkv"
    whole = write_clip(tmp_path / "whole.mkv", seconds=12, fps=4).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    flags = ["--model", str(tiny_model), "--fps", "1", "--window", "4", "-q"]
    memory = str(tmp_path / "m")
    assert cli.main(["ask", "--memory", memory, str(clip), str(cut), "what?", *flags]) == 0
    run("ls", tmp_path)  # lets go of the answer
    code, out, err = run("info", memory, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["schema"] == "longtake.memory.info/1"
    assert shown["state"] == "closed" and shown["writer"] is None and shown["lost"] == 0
    assert shown["model"]["name"] and len(shown["model"]["fingerprint"]) == 12
    assert shown["chunks"] == shown["thumbnails"] > 8
    assert shown["first_s"] == 0.0 and shown["last_s"] == pytest.approx(shown["chunks"] - 1, abs=1)
    first, second = shown["sources"]
    assert (first["address"], first["state"], first["complete"]) == (str(clip), "complete", True)
    assert first["seen_s"] == pytest.approx(7.0) and first["offset_s"] == 0.0
    assert (second["address"], second["state"], second["complete"]) == (
        str(cut),
        "cut short",
        False,
    )
    assert 0 < second["seen_s"] < 11 and second["offset_s"] == pytest.approx(8.0)
    _, out, _ = run("info", memory)
    assert f"{clip}: complete, seen to 0:07" in out and f"{cut}: cut short" in out


def test_info_reads_along_with_a_writer(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put(store, 0, 1)
        store.sync()
        put(store, 2)
        shown = json.loads(run("info", tmp_path, "--json")[1])
        assert (shown["state"], shown["writer"], shown["chunks"]) == ("open", os.getpid(), 2)
        assert "has it open" in run("info", tmp_path)[1]
        assert run("ls", tmp_path)[1].rstrip().endswith("open")
        put(store, 3)
    shown = json.loads(run("info", tmp_path, "--json")[1])
    assert (shown["state"], shown["writer"], shown["chunks"]) == ("closed", None, 4)


def test_a_memory_that_nothing_was_put_into_yet(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty", **MODEL):
        pass
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "catalog.sqlite").touch()
    code, out, _ = run("ls", tmp_path, "--json")
    assert code == 0
    assert [(m["chunks"], m["model"]) for m in json.loads(out)["memories"]] == [
        (0, "tiny"),
        (0, None),
    ]
    for name in ("empty", "killed"):
        code, out, err = run("info", tmp_path / name)
        assert (code, err) == (0, "") and "0 chunks" in out
        assert run("du", tmp_path / name)[0] == 0


def test_chunks_whose_bytes_are_gone_are_counted(run: Run, tmp_path: Path) -> None:
    written(tmp_path, *range(6), segment_bytes=2200)
    first, _, last = segment_files(tmp_path)
    first.unlink()
    os.truncate(last, last.stat().st_size - 1)
    shown = json.loads(run("info", tmp_path, "--json")[1])
    assert (shown["state"], shown["lost"], shown["chunks"]) == ("damaged", 3, 6)
    assert "000000.kvseg is missing" in shown["damage"]
    assert "000002.kvseg is too short" in shown["damage"]
    code, out, _ = run("info", tmp_path)
    assert code == 0 and "3 of 6 chunks are gone" in out


def aged(path: Path) -> Path:
    """A memory whose chunks went down the ladder, with a gap and a kept moment."""
    config = MemoryConfig(segment_bytes=2000)
    with Store.open(path, **MODEL, config=config) as store:
        for number in range(9):
            put(store, number, camera=("door", "yard")[number % 2])
            store.album.put(number, np.full((9, 12, 3), number, np.uint8))
        store.keep(0.0, 1.0)
        store.sync()
    with Store.open_as_found(path, replace(config, ladder="picture@1s")) as store:
        store.tidy()
        store.forget(4.0, 5.0)
    return path


def test_gaps_codecs_and_kept_moments_are_told(run: Run, tmp_path: Path) -> None:
    aged(tmp_path)
    with Store.open(tmp_path, **MODEL) as store:
        rungs = store.rungs()
    shown = json.loads(run("info", tmp_path, "--json")[1])
    assert (shown["format"], shown["cameras"], shown["chunks"]) == (2, ["door", "yard"], 8)
    assert {one["codec"]: one["chunks"] for one in shown["codecs"]} == rungs
    assert rungs["picture"] > 2 and rungs["raw"] >= 2
    by_codec = {one["codec"]: one["bytes"] for one in shown["codecs"]}
    assert by_codec["picture"] == 0 and by_codec["raw"] > 1000
    (gap,) = shown["gaps"]
    assert (gap["chunks"], gap["reason"], gap["start_s"]) == (1, "forgotten", 4.1)
    assert shown["spans"] == [{"start_s": 0.1, "end_s": 3.6}, {"start_s": 5.1, "end_s": 8.6}]
    assert shown["kept"] == [{"start_s": 0.0, "end_s": 1.0}] and shown["damage"] is None
    out = run("info", tmp_path)[1]
    assert "gaps        1 chunks forgotten (0:04)" in out and "kept        0:00-0:01" in out
    assert f"picture {rungs['picture']} (0 B)" in out
    usage = json.loads(run("du", tmp_path, "--json")[1])["memories"][0]
    assert usage["codecs"] == shown["codecs"]
    assert "chunks in raw" in run("du", tmp_path)[1]


def test_a_memory_of_the_first_longtake_is_told_alike(run: Run, tmp_path: Path) -> None:
    """Its catalog knows no codecs, kept moments or gaps."""
    written(tmp_path)
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    with database:
        database.execute("DROP INDEX chunks_by_segment")
        database.execute("ALTER TABLE chunks DROP COLUMN codec")
        database.execute("DROP TABLE kept")
        database.execute("DROP TABLE gaps")
        database.execute("UPDATE take SET format = 1")
    database.close()
    shown = json.loads(run("info", tmp_path, "--json")[1])
    assert (shown["format"], shown["gaps"], shown["kept"]) == (1, [], [])
    assert [(one["codec"], one["chunks"]) for one in shown["codecs"]] == [("raw", 4)]
    assert shown["spans"] == [{"start_s": 0.1, "end_s": 3.6}]
    assert run("info", tmp_path)[0] == run("verify", tmp_path)[0] == 0


# ------------------------------------------------------------------ du


def test_sizes_add_up_to_the_files(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name)
        (tmp_path / name / "notes.txt").write_text("mine")
    code, out, err = run("du", tmp_path / "a", tmp_path / "b", "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    for memory in shown["memories"]:
        held = contents(Path(memory["memory"]))
        parts = memory["bytes"]
        assert parts["total"] == sum(map(len, held.values()))
        assert parts["segments"] == len(held["segments/000000.kvseg"])
        assert parts["album"] == len(held["album.sqlite"])
        assert parts["other"] == len(held["writer.lock"]) + len("mine")
    assert shown["bytes"] == sum(memory["bytes"]["total"] for memory in shown["memories"])
    _, out, _ = run("du", tmp_path / "a", tmp_path / "b", "--bytes")
    assert out.splitlines()[-1].split() == [str(shown["bytes"]), "total"]
    assert "KiB" in run("du", tmp_path / "a")[1]


def test_bytes_are_told_by_hour_of_stream(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        for number, start_s in enumerate((0.0, 3599.9, 3600.0, 7300.0)):
            chunk = make_chunk(number)
            info = replace(chunk.info, start_s=start_s, end_s=start_s)
            store.put(replace(chunk, info=info), vectors_of(chunk))
    shown = json.loads(run("du", tmp_path, "--json")[1])["memories"][0]
    assert [(h["hour"], h["chunks"]) for h in shown["hours"]] == [(0, 2), (1, 1), (2, 1)]
    assert shown["bytes_per_h"] == round(shown["bytes"]["total"] * 3600 / 7300)
    assert "1:00:00 to 2:00:00" in run("du", tmp_path)[1]


# ------------------------------------------------------------------ what is no memory


@pytest.mark.parametrize("command", ["info", "du"])
def test_what_is_no_memory_is_named_with_what_is_missing(
    run: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "no memory here (there is no catalog.sqlite)"),
        (tmp_path / "gone", "no such folder"),
        (tmp_path / "file", "a file, not a folder"),
    ):
        code, out, err = run(command, path)
        assert (code, out) == (cli.CONFIGURATION, "")
        assert err.startswith(f"longtake: {path}: ") and said in err
        assert "longtake memory ls" in err and len(err.splitlines()) == 1


def test_a_folder_to_list_must_be_there(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ls", tmp_path / "gone")
    assert (code, out) == (cli.CONFIGURATION, "") and str(tmp_path / "gone") in err


@pytest.mark.parametrize("damage", ["no catalog", "no database", "newer"])
def test_damage_is_one_line(run: Run, tmp_path: Path, damage: str) -> None:
    catalog = written(tmp_path) / "catalog.sqlite"
    if damage == "no catalog":
        catalog.unlink()
    elif damage == "no database":
        catalog.write_bytes(b"not a database at all" * 400)
    else:
        database = sqlite3.connect(catalog)
        with database:
            database.execute("UPDATE take SET format = 3")
        database.close()
    for command in ("info", "du"):
        code, out, err = run(command, tmp_path)
        assert (code, out) == (cli.CONFIGURATION, "")
        assert str(tmp_path) in err and len(err.splitlines()) == 1
    assert run("ls", tmp_path)[1].rstrip().endswith("damaged")


# ------------------------------------------------------------------ looking changes nothing


def test_a_look_leaves_every_file_as_it_was(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "closed")
    store = Store.open(tmp_path / "open", **MODEL)
    put(store, 0, 1)
    store.sync()
    shutil.copytree(tmp_path / "open", tmp_path / "killed")  # as kill -9 leaves it
    store.close()
    before = contents(tmp_path)
    assert "killed/catalog.sqlite-wal" in before
    for name in ("closed", "killed"):
        for command in ("ls", "info", "du"):
            assert run(command, tmp_path / name)[0] == 0
    assert json.loads(run("info", tmp_path / "killed", "--json")[1])["chunks"] == 2
    after = contents(tmp_path)
    assert set(after) == set(before)
    changed = {name for name in before if before[name] != after[name]}
    assert all(name.endswith("-shm") for name in changed)


def test_a_look_never_keeps_a_writer_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    looker = os.open(tmp_path / "writer.lock", os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    lock, tried = files._lock, []

    def lock_and_let_go(fd: int, kind: int) -> bool:
        tried.append(got := lock(fd, kind))
        if len(tried) == 2:
            os.close(looker)  # it has seen what it wanted
        return got

    monkeypatch.setattr(files, "_lock", lock_and_let_go)
    with Store.open(tmp_path, **MODEL) as store:
        assert tried == [False, True, True]
        assert files.writer_of(tmp_path) == str(os.getpid())
        put(store, 4)
    assert files.writer_of(tmp_path) is None


def test_names_that_stand_twice_are_the_same() -> None:
    assert (surveying.CATALOG, surveying.ALBUM) == (folder.CATALOG, folder._ALBUM)
    assert (surveying.SEGMENTS, surveying.FORMAT) == (folder._SEGMENTS, signature.FORMAT)
    assert (surveying.PICTURE, surveying.OWN_NOTES) == (
        ladder.PICTURE,
        {catalog._NEXT, catalog._GENERATION, catalog._INTENT},
    )


def test_every_segment_is_found_by_its_own_name(tmp_path: Path) -> None:
    written(tmp_path, *range(4), segment_bytes=900)
    assert segments.segment_path(tmp_path / "segments", 3).is_file()
    assert survey(tmp_path).lost == 0
    segments.segment_path(tmp_path / "segments", 3).unlink()
    assert survey(tmp_path).causes == ("segments/000003.kvseg is missing",)


def test_no_look_needs_torch_or_a_model(tmp_path: Path) -> None:
    written(tmp_path)
    program = (
        "import sys; from longtake import cli\n"
        "for command in ('ls', 'info', 'du', 'events'):\n"
        "    assert cli.main(['memory', command, sys.argv[1], '-q']) in (0, 6)\n"
        "    assert cli.main(['memory', command, sys.argv[1], '--json', '-q']) in (0, 6)\n"
        "print(*({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.split()) == (0, [])


# ------------------------------------------------------------------ events


def told(at_s: float, **given: Any) -> Event:
    known: dict[str, Any] = {"kind": "alert", "name": "ring", "text": "is there a ring?"}
    return Event(at_s, at_s + 2.0, **known | given)


def test_events_are_shown_in_their_order_beside_a_writer(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        put(store, *range(4))
        store.log(told(90.0, camera="door", wall_s=0.0, score=0.97))
        store.log(told(40.0, kind="note", name="n\n", text="caf\u00e9"))
        store.sync()
        code, out, err = run("events", tmp_path)
        assert (code, err) == (0, "")
        first, second = out.splitlines()
        assert first == "0:40-0:42  note n\\n  caf\u00e9"
        assert second.startswith("1:30-1:32  19") and second.endswith(
            "97%  alert ring  is there a ring?  [door]"
        )
        assert json.loads(run("info", tmp_path, "--json")[1])["events"] == 2
    shown = json.loads(run("events", tmp_path, "--json", "--from", "1:00", "--kind", "alert")[1])
    assert shown["schema"] == "longtake.events/1" and shown["memory"] == str(tmp_path)
    (event,) = shown["events"]
    assert event == asdict(told(90.0, camera="door", wall_s=0.0, score=0.97, number=1))
    page = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    section = page.partition("## `longtake.events/1`")[2].partition("\n## ")[0]
    for name in (*shown, *event):
        assert f"`{name}`" in section, f"{name} is not in docs/json.md"


def test_no_event_is_6(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "m")
    code, out, err = run("events", tmp_path / "m")
    assert (code, out) == (cli.endings.NOTHING_FOUND, "") and "no such event" in err
    code, out, _ = run("events", tmp_path / "m", "--json", "--to", "5")
    assert code == cli.endings.NOTHING_FOUND and json.loads(out)["events"] == []
    code, _, err = run("events", tmp_path / "m", "--from", "5", "--to", "4")
    assert code == cli.USAGE and "--to 4" in err
    assert run("events", tmp_path / "nowhere")[0] == cli.CONFIGURATION


def test_columns_that_stand_twice_are_the_same() -> None:
    assert sorted(run_memory_events.COLUMNS) == sorted(events.COLUMNS)


# ------------------------------------------------------------------ purge and gc


def canary(number: int) -> bytes:
    return make_chunk(number).keys[0].numpy().tobytes()


def everything(path: Path) -> bytes:
    return b"".join(contents(path).values())


def test_what_is_purged_is_in_no_file(run: Run, tmp_path: Path) -> None:
    written(tmp_path, *range(6), segment_bytes=2000)
    secrets = [canary(2), b"what it looked like", b"what was said of it"]
    with Store.open(tmp_path, **MODEL) as store:
        store.album.put_jpeg(2, secrets[1])
        store.album.add_caption(2.0, 3.0, secrets[2].decode())
        store.sync()
    assert all(secret in everything(tmp_path) for secret in secrets)
    code, out, err = run("purge", tmp_path, "--from", "2", "--to", "0:03", "--yes", "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["schema"] == "longtake.memory.purge/1"
    assert (shown["chunks"], shown["from_s"], shown["to_s"]) == (1, 2.0, 3.0)
    assert not any(secret in everything(tmp_path) for secret in secrets)
    with Store.open(tmp_path, **MODEL) as store:
        assert [info.number for info in store.infos()] == [0, 1, 3, 4, 5]
    assert run("verify", tmp_path)[0] == 0
    code, out, _ = run("purge", tmp_path, "--from", "2", "--to", "3", "--yes")
    assert code == 0 and "0 chunks forgotten" in out


def test_a_purge_of_one_camera_leaves_the_others(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path, **MODEL) as store:
        for number in range(6):
            put(store, number, camera=("door", "yard")[number % 2])
    times = ("--from", "0", "--to", "9", "--yes")
    code, _, err = run("purge", tmp_path, *times, "--camera", "hall")
    assert code == cli.USAGE and "door, yard" in err
    assert run("purge", tmp_path, *times, "--camera", "door")[0] == 0
    with Store.open(tmp_path, **MODEL) as store:
        assert [info.number for info in store.infos()] == [1, 3, 5]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("no\n", 4), ("", 4)])
def test_a_purge_asks_first_where_somebody_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    written(tmp_path)
    times = ("--from", "1", "--to", "2.9")
    code, _, err = run("purge", tmp_path, *times)
    assert code == cli.USAGE and "--yes" in err and survey(tmp_path).chunks == 4

    class Typed(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Typed(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = run("purge", tmp_path, *times)
    assert code == 0 and "forget 2 chunks of 0:01 to 0:02?" in err
    assert survey(tmp_path).chunks == left


def test_what_a_rebuild_set_aside_is_named_by_purge_and_removed_by_gc(
    run: Run, tmp_path: Path
) -> None:
    written(tmp_path)
    assert run("verify", tmp_path, "--rebuild")[0] == 0
    code, _, err = run("purge", tmp_path, "--from", "0", "--to", "1", "--yes")
    assert code == 0 and "catalog.sqlite.damaged-1" in err and "memory gc" in err
    code, out, _ = run("gc", tmp_path, "--json")
    shown = json.loads(out)
    assert (code, shown["removed"], shown["aged"]) == (0, ["catalog.sqlite.damaged-1"], 0)
    assert shown["freed_bytes"] > 10_000
    assert not list(tmp_path.glob("*.damaged-*")) and survey(tmp_path).chunks == 3


def test_gc_finishes_ages_and_gives_room_back(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path / "m", **MODEL, config=MemoryConfig(segment_bytes=90_000)) as store:
        for number in range(40):
            chunk = smooth(number, tokens=64, dim=16)
            store.put(chunk, vectors_of(chunk))
        store.note("long", "x" * 400_000)
        store.sync()
        store.note("long", "")
    config = tmp_path / "config.toml"
    config.write_text('[memory]\nladder = "kivi4@10s,gone@30s"\n')
    before = survey(tmp_path / "m")
    code, out, _ = run("gc", tmp_path / "m", "--config", config, "--json")
    shown = json.loads(out)
    after = survey(tmp_path / "m")
    assert code == 0 and shown["aged"] > 20
    assert after.chunks < before.chunks and "kivi4" in {rung.codec for rung in after.rungs}
    assert after.nbytes["segments"] < before.nbytes["segments"] / 2
    assert after.nbytes["catalog"] < 100_000
    assert shown["freed_bytes"] > 400_000
    assert run("verify", tmp_path / "m")[0] == 0
    again = json.loads(run("gc", tmp_path / "m", "--config", config, "--json")[1])
    assert again["aged"] == 0


@pytest.mark.parametrize("command", [("gc",), ("purge", "--from", "0", "--to", "1", "--yes")])
def test_what_changes_a_memory_needs_it_alone(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    name, *flags = command
    with Store.open(tmp_path, **MODEL) as store:
        put(store, 0, 1)
        store.sync()
        code, out, err = run(name, tmp_path, *flags)
        assert (code, out) == (cli.CONFIGURATION, "") and str(os.getpid()) in err
    assert survey(tmp_path).chunks == 2
    for path, said in ((tmp_path / "gone", "no such folder"), (tmp_path.parent, "no memory here")):
        code, out, err = run(name, path, *flags)
        assert (code, out) == (cli.CONFIGURATION, "") and said in err


def test_purge_needs_two_times_in_order(run: Run, tmp_path: Path) -> None:
    written(tmp_path)
    for flags, said in (
        (("--from", "1"), "--to"),
        (("--to", "1"), "--from"),
        (("--from", "2", "--to", "1"), "--to 1"),
        (("--from", "x", "--to", "1"), "--from x"),
    ):
        code, out, err = run("purge", tmp_path, *flags, "--yes")
        assert (code, out) == (cli.USAGE, "") and said in err
