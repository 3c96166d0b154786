"""`longtake memory export` and `import`: what goes out comes back, and damage does not."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longtake import cli
from longtake.memory import exporting, files, importing
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryFull
from longtake.memory.importing import import_memory
from longtake.memory.manifest import ExportDamaged
from longtake.memory.store import Store
from longtake.memory.survey import survey
from longtake.memory.verify import verify
from tests.chunks import DTYPES, MODEL, assert_same, make_chunk, put, same_bits, vectors_of
from tests.memories import contents, patch, places, written

Run = Any
NO_CACHE = MemoryConfig(ram_bytes=0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake memory``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["memory", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def lived(path: Path, count: int = 6, **shape: Any) -> Path:
    """A memory with all that one may hold."""
    bias = torch.arange(16, dtype=torch.float32).view(2, 8)
    with Store.open(path, **MODEL, key_bias=bias) as store:
        for number in range(count):
            put(store, number, **shape)
            store.album.put(number, np.full((9, 12, 3), number * 9, np.uint8))
        store.album.add_caption(1.0, 2.5, "a red ring", "door")
        store.note("sources", [{"offset_s": 0.0}])
        store.keep(2.0, 3.0)
        store.sync()
    return path


def manifest(out: Path) -> Any:
    return json.loads((out / "memory.json").read_text())


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_memory_comes_back_bit_for_bit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(exporting, "_FILE_CHUNKS", 4)
    shape: Any = {"dtype": dtype, "axes": 3, "weights": True, "camera": "door", "wall_s": 7.5}
    lived(tmp_path / "m", **shape)
    before = contents(tmp_path / "m")
    code, out, err = run("export", tmp_path / "m", tmp_path / "out")
    assert (code, err) == (0, "") and "6 chunks, 6 pictures, 1 captions" in out
    after = contents(tmp_path / "m")
    assert {name: after[name] for name in before} == before
    code, out, err = run("import", tmp_path / "out", tmp_path / "new", "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["schema"] == "longtake.memory.imported/1"
    assert (shown["chunks"], shown["pictures"], shown["complete"]) == (6, 6, True)
    with (
        Store.open(tmp_path / "m", **MODEL, config=NO_CACHE) as old,
        Store.open(tmp_path / "new", **MODEL, config=NO_CACHE) as new,
    ):
        assert new.infos() == old.infos() and new.next_number == old.next_number
        for number in range(6):
            assert_same(new.read(number), make_chunk(number, **shape))
            assert same_bits(new.vectors(number), old.vectors(number))
            assert new.album.jpeg(number) == old.album.jpeg(number) is not None
        assert new.album.captions(0, 9) == old.album.captions(0, 9) != []
        assert new.noted("sources") == [{"offset_s": 0.0}] and new.kept() == old.kept() != []
        assert new.key_bias is not None and old.key_bias is not None
        assert same_bits(new.key_bias, old.key_bias)
    assert verify(tmp_path / "new").is_sound
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "new", "out"]


def test_others_read_the_tensors_by_their_names(tmp_path: Path) -> None:
    lived(tmp_path / "m", 2, weights=True)
    with Store.open(tmp_path / "m", **MODEL) as store:
        exporting.export(store, tmp_path / "out")
    held = load_file(tmp_path / "out" / "chunks-000000.safetensors")
    kinds = ("keys", "values", "positions", "vectors", "weights")
    assert set(held) == {f"{kind}.{number}" for kind in kinds for number in (0, 1)}
    chunk = make_chunk(1, weights=True)
    assert same_bits(held["keys.1"], chunk.keys) and same_bits(held["values.1"], chunk.values)
    assert same_bits(held["vectors.1"], vectors_of(chunk))
    said = manifest(tmp_path / "out")
    assert (said["schema"], said["model"]) == ("longtake.memory.export/1", "tiny")
    assert (tmp_path / "out" / said["chunks"][1]["picture"]["name"]).read_bytes()[:2] == b"\xff\xd8"
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").rglob("*"))


def test_gaps_numbers_and_chunks_without_keys_come_back(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL, config=MemoryConfig(segment_bytes=2000)) as store:
        for number in range(8):
            put(store, number)
            store.album.put(number, np.full((9, 12, 3), number, np.uint8))
    ladder = MemoryConfig(segment_bytes=2000, ladder="picture@1s")
    with Store.open_as_found(tmp_path / "m", ladder) as store:
        store.tidy()
        assert store.rungs()["picture"] > 2
        store.forget(7.0, 9.0)
    assert run("export", tmp_path / "m", tmp_path / "out")[0] == 0
    assert run("import", tmp_path / "out", tmp_path / "new")[0] == 0
    with Store.open(tmp_path / "m", **MODEL) as old, Store.open(tmp_path / "new", **MODEL) as new:
        assert new.infos() == old.infos() and new.rungs() == old.rungs()
        assert new.gaps() == old.gaps() != [] and new.next_number == old.next_number == 8
        assert not new.has_keys(0) and new.album.jpeg(0) == old.album.jpeg(0) is not None


def test_a_stretch_of_time_is_exported_alone(run: Run, tmp_path: Path) -> None:
    lived(tmp_path / "m", 10)
    code, out, _ = run(
        "export", tmp_path / "m", tmp_path / "out", "--from", "3", "--to", "0:05", "--json"
    )
    shown = json.loads(out)
    assert (code, shown["chunks"], shown["captions"]) == (0, 2, 0)
    said = manifest(tmp_path / "out")
    assert [chunk["number"] for chunk in said["chunks"]] == [3, 4]
    assert (said["from_s"], said["to_s"], said["notes"]) == (3.0, 5.0, {})
    assert run("import", tmp_path / "out", tmp_path / "new")[0] == 0
    with Store.open(tmp_path / "new", **MODEL) as store:
        assert [info.number for info in store.infos()] == [3, 4]
        assert_same(store.read(4), make_chunk(4))
        put(store, 10)
    for times, said in (
        (("--from", "50"), "nothing lies between 50 s"),
        (("--from", "5", "--to", "3"), "--to 3"),
        (("--from", "x"), "--from x"),
    ):
        code, out, err = run("export", tmp_path / "m", tmp_path / "none", *times)
        assert (code, out) == (cli.USAGE, "") and said in err
        assert not (tmp_path / "none").exists()


def test_an_export_beside_a_writer_holds_what_is_durable(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path / "m", **MODEL, config=MemoryConfig(commit_s=1000)) as store:
        put(store, 0, 1)
        store.sync()
        put(store, 2)
        assert run("export", tmp_path / "m", tmp_path / "out")[0] == 0
        assert len(manifest(tmp_path / "out")["chunks"]) == 2


def test_damaged_chunks_are_left_out_and_said(run: Run, tmp_path: Path) -> None:
    written(tmp_path / "m", *range(4))
    _, offset, nbytes = places(tmp_path / "m")[2]
    patch(tmp_path / "m" / "segments" / "000000.kvseg", offset + nbytes // 2, b"\1\2\3\4")
    code, out, err = run("export", tmp_path / "m", tmp_path / "out", "--json")
    shown = json.loads(out)
    assert (code, shown["complete"], shown["chunks"]) == (0, False, 3)
    assert [one["number"] for one in shown["damaged"]] == [2] and "verify" in err
    code, out, err = run("import", tmp_path / "out", tmp_path / "new", "--json")
    assert (code, json.loads(out)["complete"]) == (0, False) and "lacks" in err


# ------------------------------------------------------------------ where it may go


def test_a_folder_that_holds_something_is_left_alone(run: Run, tmp_path: Path) -> None:
    lived(tmp_path / "m")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "file").touch()
    for out in ("out", "m", "file"):
        code, said, err = run("export", tmp_path / "m", tmp_path / out)
        assert (code, said) == (cli.CONFIGURATION, "") and str(tmp_path / out) in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert run("export", tmp_path / "m", tmp_path / "m", "--force")[0] == cli.CONFIGURATION
    assert run("export", tmp_path / "m", tmp_path / "out", "--force")[0] == 0
    assert run("export", tmp_path / "m", tmp_path / "out", "--force", "--to", "2")[0] == 0
    left = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    pictures = [f"pictures/{number:08d}.jpg" for number in (0, 1)]
    tensors = ["chunks-000000.safetensors", "key_bias.safetensors"]
    assert left == [*tensors, "memory.json", "mine.txt", *pictures]
    assert run("import", tmp_path / "out", tmp_path / "new")[0] == 0
    before = contents(tmp_path / "new")
    for folder in ("new", "file"):
        code, said, err = run("import", tmp_path / "out", tmp_path / folder)
        assert (code, said) == (cli.CONFIGURATION, "") and str(tmp_path / folder) in err
    assert contents(tmp_path / "new") == before
    (tmp_path / "empty").mkdir()
    assert run("import", tmp_path / "out", tmp_path / "empty")[0] == 0


def test_too_little_room_is_said_before_anything_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path / "m")
    assert run("export", tmp_path / "m", tmp_path / "out")[0] == 0
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1000))
    for command in (("export", "m", "more"), ("import", "out", "new")):
        code, out, err = run(command[0], *(tmp_path / name for name in command[1:]))
        assert (code, out) == (cli.CONFIGURATION, "") and "1000 are free" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "out"]


# ------------------------------------------------------------------ cut short


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_was_cut_short_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    lived(tmp_path / "m", 3)
    write_all, left = files.write_all, [0]

    def fail_in_time(fd: int, data: bytes | bytearray, offset: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            write_all(fd, data[: len(data) // 2], offset)
            raise error
        write_all(fd, data, offset)

    store = Store.open(tmp_path / "m", **MODEL, read_only=True)
    with monkeypatch.context() as patched, store:
        patched.setattr(files, "write_all", fail_in_time)
        for step in range(1, 20):
            left[0] = step
            try:
                exporting.export(store, tmp_path / "out")
                break
            except type(error):
                assert not (tmp_path / "out").exists(), step
    assert 4 < step < 19
    assert import_memory(tmp_path / "out", tmp_path / "new").chunks == 3


def test_an_import_that_was_cut_short_is_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(tmp_path / "m", 4)
    with Store.open(tmp_path / "m", **MODEL) as store:
        exporting.export(store, tmp_path / "out")

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_memory(tmp_path / "out", tmp_path / "new", interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "out"]
    with monkeypatch.context() as patched:  # as kill -9 does
        patched.setattr(importing.shutil, "rmtree", lambda *given, **named: None)
        with pytest.raises(KeyboardInterrupt):
            import_memory(tmp_path / "out", tmp_path / "new", interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.importing", "m", "out"]
    assert import_memory(tmp_path / "out", tmp_path / "new").chunks == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "new", "out"]


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what was killed does not look whole."""
    lived(tmp_path / "m", 3)
    named: list[str] = []
    replace = os.replace

    def note(old: Any, new: Any) -> None:
        named.append(Path(new).name)
        replace(old, new)

    with Store.open(tmp_path / "m", **MODEL) as store, monkeypatch.context() as patched:
        patched.setattr(os, "replace", note)
        exporting.export(store, tmp_path / "out")
    assert named[-1] == "memory.json" and named.count("memory.json") == 1
    (tmp_path / "out" / "memory.json").unlink()
    with pytest.raises(ExportDamaged, match="no finished export"):
        import_memory(tmp_path / "out", tmp_path / "new")


# ------------------------------------------------------------------ what is not as it was written


def test_every_damage_of_an_export_is_refused(run: Run, tmp_path: Path) -> None:
    lived(tmp_path / "m", 3)
    assert run("export", tmp_path / "m", tmp_path / "whole")[0] == 0
    names = [str(p.relative_to(tmp_path / "whole")) for p in (tmp_path / "whole").rglob("*.*")]
    assert len(names) == 6
    out = tmp_path / "out"
    for name in names:
        size = (tmp_path / "whole" / name).stat().st_size
        for harm in ("missing", "cut", "flipped", "longer"):
            if harm == "flipped" and name == "memory.json":
                continue
            shutil.copytree(tmp_path / "whole", out)
            if harm == "missing":
                (out / name).unlink()
            elif harm == "cut":
                os.truncate(out / name, size - 1)
            elif harm == "flipped":
                patch(out / name, size // 2, b"\x5a\xa5")
            else:
                with (out / name).open("ab") as file:
                    file.write(b"}")
            code, said, err = run("import", out, tmp_path / "new")
            assert (code, said) == (cli.CONFIGURATION, ""), (name, harm)
            assert str(out) in err and len(err.splitlines()) == 1
            assert not (tmp_path / "new").exists()
            shutil.rmtree(out)


def set_in(path: str, value: Any) -> Any:
    def change(said: Any) -> None:
        *above, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in above:
            said = said[key]
        if value is None:
            del said[last]
        else:
            said[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_in("schema", "longtake.memory.export/2"), "newer longtake"),
        (set_in("schema", "something/1"), "expected 'longtake.memory.export/1'"),
        (set_in("schema", 3), "cannot be understood"),
        (set_in("model", None), "'model' is missing"),
        (set_in("chunks.1.number", 0), "not in order"),
        (set_in("chunks.1.end_s", -5.0), "before its start"),
        (set_in("chunks.1.start_s", "x"), "cannot be understood"),
        (set_in("chunks.1.tokens", 99), "99 in its info"),
        (set_in("chunks.1.file", "other.safetensors"), "not listed"),
        (set_in("files.0.name", "../m/catalog.sqlite"), "no name within the folder"),
        (set_in("files.0.name", "/etc/passwd"), "no name within the folder"),
        (set_in("chunks.0.picture.name", "../../x"), "no name within the folder"),
        (set_in("kept", [[3.0, 1.0]]), "must not be before"),
        (set_in("gaps", [{"first": 1}]), "is missing"),
        (set_in("chunks", {"a": 1}), "cannot be understood"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    written(tmp_path / "m", 0, 1)
    with Store.open(tmp_path / "m", **MODEL) as store:
        store.album.put(0, np.zeros((8, 8, 3), np.uint8))
        exporting.export(store, tmp_path / "out")
    said = manifest(tmp_path / "out")
    change(said)
    (tmp_path / "out" / "memory.json").write_text(json.dumps(said))
    with pytest.raises(ExportDamaged, match=why):
        import_memory(tmp_path / "out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_tensors_of_other_shapes_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from xxhash import xxh3_64_hexdigest

    written(tmp_path / "m", 0, 1)
    with Store.open(tmp_path / "m", **MODEL) as store:
        exporting.export(store, tmp_path / "out")
    path, said = tmp_path / "out" / "chunks-000000.safetensors", manifest(tmp_path / "out")
    held = load_file(path)
    for name, tensor in (
        ("keys.1", torch.zeros(2, 2, 9, 4)),
        ("values.1", torch.zeros(2, 2, 5, 4, dtype=torch.float16)),
        ("positions.1", torch.ones(1, 5, dtype=torch.int32)),
        ("vectors.1", torch.zeros(2, 7)),
        ("vectors.1", torch.zeros(2, 8, dtype=torch.float16)),
        ("keys.1", None),
    ):
        changed = {**held, name: tensor} if tensor is not None else dict(held)
        if tensor is None:
            del changed[name]
        save_file(changed, path)
        data = path.read_bytes()
        said["files"][0] |= {"bytes": len(data), "xxh3": xxh3_64_hexdigest(data)}
        (tmp_path / "out" / "memory.json").write_text(json.dumps(said))
        with pytest.raises(ExportDamaged):
            import_memory(tmp_path / "out", tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_what_is_no_memory_and_no_export_is_named(run: Run, tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty", **MODEL):
        pass
    (tmp_path / "nothing").mkdir()
    for words, code, said in (
        (("export", "gone", "out"), cli.CONFIGURATION, "no such folder"),
        (("export", "nothing", "out"), cli.CONFIGURATION, "no memory here"),
        (("export", "empty", "out"), cli.USAGE, "holds no chunk yet"),
        (("import", "gone", "new"), cli.CONFIGURATION, "no such folder"),
        (("import", "nothing", "new"), cli.CONFIGURATION, "no finished export"),
    ):
        found = run(words[0], *(tmp_path / word for word in words[1:]))
        assert found[:2] == (code, "") and said in found[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "nothing"]


def test_a_full_disk_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "m", 0)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 10))
    with Store.open(tmp_path / "m", **MODEL) as store, pytest.raises(MemoryFull, match="--from"):
        exporting.export(store, tmp_path / "out")
    assert survey(tmp_path / "m").chunks == 1
