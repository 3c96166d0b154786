"""`longtake memory search`: moments by words, from a memory that is only read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from longtake import cli
from longtake.memory.store import Store
from tests.chunks import MODEL
from tests.clips import write_clip
from tests.memories import contents

Run = Any


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``longtake memory search``; returns exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = cli.main(["memory", "search", *(str(word) for word in words)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture(scope="module")
def street(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory that the tiny model made of a clip, with a caption."""
    folder = tmp_path_factory.mktemp("street")
    clip = write_clip(folder / "clip.mp4", seconds=12, fps=2)
    flags = ["--model", str(tiny_model), "--fps", "1", "--window", "4", "-q"]
    memory = folder / "m"
    assert cli.main(["ask", "--memory", str(memory), str(clip), "what?", *flags]) == 0
    with Store.open_as_found(memory) as store:
        store.album.add_caption(5.0, 6.0, "A RED ring rolls by")
        store.sync()
        store.album.commit()
    return memory


def test_moments_are_found_by_the_model_that_made_the_memory(
    run: Run, street: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "m"
    shutil.copytree(street, memory)
    before = contents(memory)
    code, out, err = run(memory, "red ring", "--json", "--evidence-dir", tmp_path / "seen")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert (shown["schema"], shown["text"]) == ("longtake.memory.search/1", "red ring")
    assert 1 < len(shown["moments"]) <= 10
    (spoken,) = (m for m in shown["moments"] if "caption" in m["matched"])
    assert (spoken["start_s"], spoken["end_s"]) == (5.0, 6.0)
    assert spoken["caption"] == "A RED ring rolls by"
    assert all(0 <= m["score"] <= 1 for m in shown["moments"])
    pictures = [Path(m["picture"]) for m in shown["moments"]]
    assert sorted(pictures) == sorted((tmp_path / "seen").iterdir())
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in pictures)
    after = contents(memory)
    assert {name: after[name] for name in before} == before


def test_words_show_time_share_and_what_they_matched(run: Run, street: Path) -> None:
    code, out, _ = run(street, "ring", "--top", "2")
    assert code == 0 and len(out.splitlines()) == 2
    assert "0:05-0:06" in out and "caption" in out and "A RED ring rolls by" in out


def test_only_a_stretch_of_time_is_searched(run: Run, street: Path) -> None:
    code, out, _ = run(street, "ring", "--between", "8", "0:11", "--json")
    moments = json.loads(out)["moments"]
    assert code == 0 and moments
    assert all(m["start_s"] >= 7 and m["matched"] == ["keys"] for m in moments)


def test_nothing_found_ends_with_6(run: Run, street: Path, tmp_path: Path) -> None:
    code, out, err = run(street, "ring", "--between", "100", "200")
    assert (code, out) == (6, "") and "nothing found" in err
    with Store.open(tmp_path / "empty", **MODEL):
        pass
    code, out, err = run(tmp_path / "empty", "ring", "--json")
    assert (code, json.loads(out)["moments"]) == (6, []) and "empty" in err


def test_a_search_reads_along_with_a_writer(run: Run, street: Path, tmp_path: Path) -> None:
    memory = tmp_path / "m"
    shutil.copytree(street, memory)
    with Store.open_as_found(memory):
        assert run(memory, "ring")[0] == 0


def test_what_makes_no_sense_is_refused(run: Run, street: Path, tmp_path: Path) -> None:
    for words, code, said in (
        ((street, " "), cli.USAGE, "nothing to search for"),
        ((street, "ring", "--top", "0"), cli.USAGE, "--top 0"),
        ((street, "ring", "--between", "3", "1"), cli.USAGE, "--between 3 1"),
        ((street,), cli.USAGE, "TEXT"),
        ((street, "ring", "--model", "embedded"), cli.MODEL, "was written"),
        ((tmp_path, "ring"), cli.CONFIGURATION, "no memory here"),
    ):
        found = run(*words)
        assert found[:2] == (code, "") and said in found[2], words
