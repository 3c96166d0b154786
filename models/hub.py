"""A name on the Hugging Face hub becomes a folder, or one line that says why not.

The hub's own client fetches and caches; here its errors get words.  Which of them carries a
token is not looked into: only kinds, status codes and our own words are shown.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

from longtake.models.base import ModelError

_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = ("no space left", "quota exceeded", "os error 28")  # the downloader's, untyped
_LISTED = 5  # names of models


def fetch(name: str) -> Path:
    """The newest snapshot of ``owner/name``, from the cache where the hub cannot be reached.

    Raises:
        ModelError: says why there is none, and what to do.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=_PATTERNS))
    except Exception as error:  # the hub's errors have no common base
        raise ModelError(f"{name}: {why(name, error)}") from error


def names_here() -> list[str]:
    """What --model takes on this machine, without asking any network."""
    from longtake.models.discovery import on_this_machine

    def leave_out(folder: Path, error: OSError) -> None:
        """A private folder cannot be offered."""

    return [name for name, _ in on_this_machine((), leave_out)]


def near(name: str) -> str:
    """``; did you mean X?`` where a name on this machine is like this one, else nothing."""
    found = difflib.get_close_matches(name, names_here(), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def why(name: str, error: BaseException) -> str:
    """What an error of the hub's client means for a person."""
    from huggingface_hub import errors

    causes = list(_chain(error))
    if _is_full(causes):
        return _when_full()
    status = _status(causes)
    if _any(causes, errors.GatedRepoError):
        return (
            f"is gated: accept its terms at https://huggingface.co/{name}, and log in on this "
            "machine with hf auth login (or set HF_TOKEN)"
        )
    if _any(causes, errors.RepositoryNotFoundError):
        return (
            f"the hub has no such model, or it is private{near(name)}; check the name at "
            f"https://huggingface.co/{name}, and for a private one log in with hf auth login"
        )
    if _any(causes, errors.DisabledRepoError):
        return "its owner or the hub has disabled it; take another model"
    if status in (401, 403):
        return (
            f"the hub refuses access ({status}): log in anew with hf auth login, with a token that "
            f"may read it; see https://huggingface.co/{name}"
        )
    if _any(causes, errors.HFValidationError):
        return f"is no hub id (owner/name){near(name)}; {_here()}"
    incomplete = getattr(errors, "IncompleteSnapshotError", None)  # older hubs have it not
    if incomplete is not None and _any(causes, incomplete):
        return (
            f"only a part of it is on this machine, and the hub {_unreachable(causes)}: run "
            f"hf download {name} once there is a network"
        )
    if _any(causes, PermissionError):
        from huggingface_hub import constants

        return (
            f"cannot be written into the hub's cache, {constants.HF_HUB_CACHE}: give yourself "
            "the right, or set HF_HOME to another folder"
        )
    if status == 429:
        return "the hub asks to wait (429, too many requests): try again later, or log in"
    if status is not None and status >= 500:
        return f"the hub has trouble of its own ({status}): try again later; {_here()}"
    return (
        f"not on this machine{near(name)}, and the hub {_unreachable(causes)}: run hf download "
        f"{name} where there is a network, or give a folder; {_here()}"
    )


def _unreachable(causes: list[BaseException]) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    if _any(causes, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return "is not asked (HF_HUB_OFFLINE is set)"
    return f"cannot be reached ({type(causes[-1]).__name__})"


def _here() -> str:
    names = names_here()
    more = f" and {len(names) - _LISTED} more (longtake models)" if len(names) > _LISTED else ""
    return f"on this machine: {', '.join(names[:_LISTED])}{more}"


def _when_full() -> str:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next((folder for folder in (cache, *cache.parents) if folder.is_dir()), Path("/"))
    free = disk_usage(there).free / 2**30
    return (
        f"the disk of the hub's cache is full ({cache}, {free:.1f} GiB free): free some space "
        "(hf cache prune), or set HF_HOME to a folder on another disk; what was fetched is kept"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the first cause last."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        yield inner
        inner = inner.__cause__ or inner.__context__


def _any(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)


def _is_full(causes: list[BaseException]) -> bool:
    return any(
        (isinstance(cause, OSError) and cause.errno in _FULL)
        or any(words in str(cause).lower() for words in _FULL_WORDS)
        for cause in causes
    )


def _status(causes: list[BaseException]) -> int | None:
    for cause in causes:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None
