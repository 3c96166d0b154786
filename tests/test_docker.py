"""Files for containers: linted, and naming only what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from longtake.cli.root import app

ROOT = Path(__file__).parent.parent
DOCKERFILES = ("docker/Dockerfile", "docker/Dockerfile.cuda")
BIN = Path(sys.executable).parent


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*words], cwd=ROOT, text=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_is_without_findings(name: str) -> None:
    linted = run(str(BIN / "hadolint"), "--failure-threshold", "style", name)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_compose_file_fits_its_schema() -> None:
    checked = run(
        str(BIN / "check-jsonschema"),
        *("--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"),
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", [*DOCKERFILES, "docker/compose.yaml"])
def test_what_a_container_starts_is_a_command_with_such_flags(name: str) -> None:
    text = (ROOT / name).read_text()
    serve = next(each for each in app.registered_commands if each.callback.__name__ == "serve")  # type: ignore[union-attr]
    named = set(re.findall(r"--(host|port|memory|takes|token-file)\b", text))
    assert {"host", "memory", "takes"} <= named
    assert "serve" in text and serve is not None
    from typer.testing import CliRunner

    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for flag in named:
        assert f"--{flag}" in shown


def test_an_image_gets_all_that_a_build_needs() -> None:
    """What .dockerignore lets through holds every folder that setuptools maps."""
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for folder in ("app", "kernels", "memory", "models", "streaming", "ui"):
        assert f"!{folder}" in let_in
    for file in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "constraints.txt"):
        assert f"!{file}" in let_in
        assert (ROOT / file).is_file()
