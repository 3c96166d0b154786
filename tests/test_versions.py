"""The laws, and equal outputs, at older releases of transformers.

`scripts/test` puts the releases of tests/versions.txt into .versions/ (`scripts/versions`).  Each
is tried in a process of its own that finds it first; torch and all else are those of .venv.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from longtake.models.loader import EMBEDDED
from tests import checkpoints, release
from tests.conformance import TOLERANCE
from tests.streams import worst

ROOT = Path(__file__).resolve().parents[1]
RELEASES = [
    line.split()[0].removeprefix("transformers==")
    for line in (ROOT / "tests" / "versions.txt").read_text().splitlines()
    if not line.startswith("#")
]
OLDEST = RELEASES[0]
FEW = ("llava_onevision", "qwen2_5_vl")


@pytest.mark.parametrize(
    ("version", "families"),
    [
        pytest.param(OLDEST, FEW, id=f"{OLDEST}-few"),
        *(
            pytest.param(v, tuple(sorted(checkpoints.FAMILIES)), id=v, marks=pytest.mark.long)
            for v in RELEASES
        ),
    ],
)
def test_the_laws_hold_and_streams_become_the_same_at(
    version: str, families: tuple[str, ...], tmp_path: Path
) -> None:
    packages, written = ROOT / ".versions" / version, tmp_path / version
    if not packages.is_dir():
        pytest.skip(f"transformers {version} is not in {packages}: scripts/versions --all")
    written.mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["tests/release.py", "tests/test_dense.py", "tests/test_laws.py"]
    command += [] if families == FEW else ["tests/test_modes.py", "tests/test_mode_streamingvlm.py"]
    command += ["-k", " or ".join(("release", *families))]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=release.environment(packages, written, families),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"
    for name in (*families, EMBEDDED):
        there = torch.load(written / f"{name}.pt")
        here = release.become(EMBEDDED if name == EMBEDDED else str(written / name))
        for what in ("embeds", "logits"):
            assert worst(here[what], there[what]) <= TOLERANCE, (name, what)
