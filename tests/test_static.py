"""The page's own files: small, linted, of this origin alone, and without HTML from text."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "ui" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
STYLES = sorted(STATIC.glob("*.css"))
PICTURES = sorted(STATIC.glob("*.svg"))
MOST_FILE_BYTES = 9_000
MOST_SENT_BYTES = 45_000  # of all scripts, as a server that compresses sends them
NAMESPACE = "http://www.w3.org/2000/svg"  # a name; nothing is fetched from there
# Text would become HTML or code.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\s*\(|new Function|"
    r"createContextualFragment|DOMParser|srcdoc"
)
# `//host` is an address too; behind a colon it is part of one that is found already.
ELSEWHERE = re.compile(r"""(?:https?:|wss?:|['"(])//[\w.-]+""")
IMPORT = re.compile(r"""(?:from|import)\s+['"]([^'"]+)['"]""")
STYLE_IMPORT = re.compile(r"""url\(["']?([^"')]+)["']?\)""")
by_name = pytest.mark.parametrize


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_the_linter_finds_nothing() -> None:
    oxlint = Path(sys.executable).with_name("oxlint")
    done = subprocess.run(
        [oxlint, "--deny-warnings", "-c", ROOT / ".oxlintrc.json", STATIC],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"on {len(SCRIPTS)} files" in done.stdout  # it looked at all of them


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "bad.js").write_text("export const run = (text) => eval(text);\n")
    oxlint = Path(sys.executable).with_name("oxlint")
    done = subprocess.run(
        [oxlint, "--deny-warnings", "-c", ROOT / ".oxlintrc.json", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "no-eval" in done.stdout


@by_name("name", names(SCRIPTS))
def test_a_script_is_one_small_idea_that_says_what_it_is_for(name: str) -> None:
    text = (STATIC / name).read_text()
    assert text.startswith("/**\n * ")
    assert len(text.encode()) <= MOST_FILE_BYTES
    assert max(map(len, text.splitlines())) <= 130


def test_all_scripts_together_are_sent_quickly() -> None:
    assert sum(len(gzip.compress(path.read_bytes())) for path in SCRIPTS) <= MOST_SENT_BYTES


@by_name("name", names(SCRIPTS))
def test_a_script_makes_no_html_or_code_from_text(name: str) -> None:
    assert DANGEROUS.findall((STATIC / name).read_text()) == []


@by_name("name", names([*SCRIPTS, *STYLES, *PICTURES]))
def test_nothing_is_fetched_from_another_origin(name: str) -> None:
    text = (STATIC / name).read_text().replace(NAMESPACE, "")
    # The way to this machine itself is written out for people to read, not fetched.
    text = text.replace("http://localhost:${port}", "")
    assert ELSEWHERE.findall(text) == []


@by_name("name", names(SCRIPTS))
def test_every_import_is_there(name: str) -> None:
    for wanted in IMPORT.findall((STATIC / name).read_text()):
        assert wanted.startswith("./"), wanted
        assert (STATIC / wanted).is_file(), wanted


def test_every_script_is_used() -> None:
    used = {Path(each).name for path in SCRIPTS for each in IMPORT.findall(path.read_text())}
    unused = set(names(SCRIPTS)) - used
    assert unused == {"begin.js", "main.js", "upload.js"}  # the page's head names the first
    begin = (STATIC / "begin.js").read_text()
    assert all(f"'./{each}'" in begin for each in unused - {"begin.js"})


@by_name("name", names(STYLES))
def test_every_file_that_a_style_names_is_there(name: str) -> None:
    for wanted in STYLE_IMPORT.findall((STATIC / name).read_text()):
        assert (STATIC / wanted).is_file(), wanted


def test_styles_that_a_script_names_exist() -> None:
    """A class in a script that no style knows is a slip of the pen."""
    styled = " ".join(path.read_text() for path in STYLES)
    known = set(re.findall(r"[.#](lt-[a-z-]+)", styled))
    told = {
        each
        for path in SCRIPTS
        for said in re.findall(r"""class(?:List\.\w+\(|: )['"]([^'"]+)['"]""", path.read_text())
        for each in said.split()
        if each.startswith("lt-")
    }
    assert told - known == set()


def test_an_icon_is_a_picture_of_ours() -> None:
    for path in PICTURES:
        assert path.read_text().startswith("<svg ")
        assert "<script" not in path.read_text()
