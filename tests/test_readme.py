"""The README's commands and code, run as they stand, beside a short drawn clip."""

from __future__ import annotations

import io
import random
import re
import shlex
from pathlib import Path

import pytest

from longtake import cli
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def beside_a_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "clips").mkdir()
    write_film(Film(random.Random(4), 60), folder / "clips" / "demo.mp4", fps=1)
    return folder


def commands() -> list[str]:
    lines = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def test_there_is_something_to_run() -> None:
    assert [kind for kind, _ in BLOCKS].count("python") == 2
    assert sum(line.startswith("longtake ") for line in commands()) >= 5


@pytest.mark.parametrize("line", [c for c in commands() if c.startswith("./")])
def test_scripts_are_there(line: str) -> None:
    script = ROOT / shlex.split(line)[0]
    assert script.is_file() and script.stat().st_mode & 0o100


def test_commands_run_in_their_order(
    beside_a_clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(beside_a_clip)
    for line in commands():
        if "longtake " not in line or line.startswith("./"):
            continue
        piped, _, command = line.rpartition(" | ")
        command, _, target = command.partition(" > ")
        typed = shlex.split(piped)[1] if piped else ""
        monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        assert cli.main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        assert out
        assert not target or "-->" in out
    assert list((beside_a_clip / "runs" / "seen").glob("*.jpg"))


def test_code_runs(beside_a_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(beside_a_clip)
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {})


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
