"""The hub's errors in words: its client's own classes, raised where it would ask the network."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from longtake import cli
from longtake.models import hub
from longtake.models.base import ModelError
from longtake.models.loader import EMBEDDED, load


@pytest.fixture
def cache(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, with one model in it."""
    folder = tmp_path / "hub"
    owner = folder / "models--anna--tiny-video"
    (owner / "refs").mkdir(parents=True)
    (owner / "refs" / "main").write_text("1234")
    (owner / "blobs").mkdir()
    shutil.copytree(tiny_model, owner / "snapshots" / "1234")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def response(status: int) -> Any:
    request = SimpleNamespace(headers={"authorization": "Bearer hf_secret"})
    return SimpleNamespace(status_code=status, headers={}, request=request)


def http(kind: str, status: int) -> Exception:
    from huggingface_hub import errors

    told = f"{status} Client Error. token=hf_secret\nInvalid username or password."
    made: Exception = getattr(errors, kind)(told, response=response(status))
    return made


def not_here(cause: Exception) -> Exception:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        raise LocalEntryNotFoundError("Got: something") from cause
    except LocalEntryNotFoundError as error:
        return error


def hub_errors() -> dict[str, tuple[Exception, str]]:
    import huggingface_hub.errors as errors

    half = errors.IncompleteSnapshotError("3 files are missing", snapshot_path="/cache")
    full = OSError(errno.ENOSPC, "No space left on device", "/cache/blobs/1.incomplete")
    return {
        "gated": (http("GatedRepoError", 403), "accept its terms at https://huggingface.co/"),
        "unknown": (http("RepositoryNotFoundError", 404), "no such model, or it is private"),
        "disabled": (http("DisabledRepoError", 403), "has disabled it"),
        "token": (http("HfHubHTTPError", 401), "refuses access (401): log in anew"),
        "busy": (http("HfHubHTTPError", 429), "asks to wait (429"),
        "down": (not_here(http("HfHubHTTPError", 503)), "has trouble of its own (503)"),
        "offline": (not_here(errors.OfflineModeIsEnabled("x")), "HF_HUB_OFFLINE is set"),
        "no network": (not_here(ConnectionError("x")), "cannot be reached (ConnectionError)"),
        "half": (half, "only a part of it is on this machine"),
        "full": (full, "is full"),
        "full, by the downloader": (RuntimeError("IO: No space left on device"), "is full"),
        "read-only": (PermissionError(errno.EACCES, "Permission denied"), "cannot be written"),
        "odd name": (errors.HFValidationError("Repo id must use ..."), "is no hub id"),
        "anything": (TypeError("hf_secret"), "cannot be reached (TypeError)"),
    }


@pytest.mark.parametrize("what", hub_errors())
def test_what_the_hub_says_is_one_line_with_a_way_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    error, said = hub_errors()[what]

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    code = cli.main(["doctor", "--model", "anna/tiny-vidoe", "--json"])
    problems = [c for c in json.loads(capsys.readouterr().out)["checks"] if c["state"] == "problem"]
    assert code == cli.MODEL and len(problems) == 1
    told = problems[0]["value"]
    assert told.startswith("anna/tiny-vidoe: ") and said in told
    assert "\n" not in told and "hf_secret" not in told
    if what in ("unknown", "offline", "no network"):
        assert "did you mean anna/tiny-video?" in told
    if what in ("offline", "no network"):
        assert "hf download anna/tiny-vidoe" in told and "on this machine: embedded, anna" in told


def test_a_downloaded_model_is_loaded_and_only_what_it_needs_is_fetched(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    snapshot = cache / "models--anna--tiny-video" / "snapshots" / "1234"

    def found(name: str, **given: Any) -> str:
        asked.update(given, name=name)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", found)
    assert load("anna/tiny-video", device="cpu").name == "anna/tiny-video"
    assert asked["name"] == "anna/tiny-video"
    assert not {"*.py", "*.bin", "*"} & set(asked["allow_patterns"])
    (snapshot / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="run hf download anna/tiny-video --force-download"):
        load("anna/tiny-video", device="cpu")
    (snapshot / "config.json").unlink()
    with pytest.raises(ModelError, match=r"^anna/tiny-video: holds no config\.json"):
        load("anna/tiny-video", device="cpu")


def test_names_on_this_machine(cache: Path) -> None:
    assert hub.names_here() == [EMBEDDED, "anna/tiny-video"]
    assert hub.near("anna/tinyvideo") == "; did you mean anna/tiny-video?"
    assert hub.near("somebody/else") == ""


def test_a_slip_in_the_name_of_what_ships() -> None:
    with pytest.raises(ModelError, match="did you mean embedded"):
        load("embeded")
