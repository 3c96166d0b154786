"""The sample for a robot with its longtake elsewhere does what its first lines say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.rigs.remote import far

SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "remote.py"


def test_the_robot_is_stopped_by_an_alert_from_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("sample_remote", SAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("LONGTAKE_TOKEN", raising=False)
    with far() as server:
        # a third of it is before the ring is red; an alert that is confirmed ends it early
        monkeypatch.setattr(sys, "argv", ["remote.py", server.url, "--seconds", "6"])
        module.main()
        assert [hosted.id for hosted in server.hall.all()] == ["live"], "its take is removed"
    said = capsys.readouterr().out
    assert "is there a red ring? no" in said and "is there a red ring? yes" in said, said
    assert "the alert stopped the robot" in said, said
