"""The command over every clip of other people's: answered about, or refused in one line.

Clips are found as in `test_streaming_media`; where there are none these tests skip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from longtake import cli
from longtake.engine import Engine
from longtake.models.loader import load
from tests.test_streaming_media import MEDIA

REFUSED = {"zero.mp4", "text.mp4", "random.mp4", "moov_missing.mp4", "audioonly.m4a"}
PARTIAL = {"trunc_half.mp4", "trunc_faststart.mp4"}
FILES = sorted(
    p
    for folder in (MEDIA, MEDIA / "stress")
    if folder.is_dir()
    for p in folder.iterdir()
    if p.is_file() and p.suffix != ".md"
)

pytestmark = pytest.mark.skipif(not FILES, reason=f"no clips at {MEDIA}")


@pytest.fixture(scope="module", autouse=True)
def loaded_once(tiny_model: Path) -> Iterator[None]:
    """Loading is not what is tested here."""
    adapter = load(str(tiny_model), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longtake.engine.load", lambda *_args, **_options: adapter)
        assert Engine.__module__ == "longtake.engine"
        yield


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_clip_is_answered_about_or_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["ask", str(path), "what happened?", "--fps", "1", "--window", "4", "--json"])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    if path.name in REFUSED:
        assert code == cli.SOURCE
        assert shown.out == "" and path.name in shown.err
        return
    assert code == 0, shown.err
    told = json.loads(shown.out)
    assert told["ingest"]["frames"] >= 1
    assert told["answers"][0]["coverage"] == 1.0
    assert told["source"]["complete"] is (path.name not in PARTIAL)
