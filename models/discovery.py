"""Where checkpoints lie on this machine: what ships, the hub's cache, folders that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from longtake.models.loader import EMBEDDED, find_folder

CONFIG = "config.json"  # a folder that has one is a checkpoint
_DEPTH = 3  # folders looked into below one that was named

LeaveOut = Callable[[Path, OSError], None]


def on_this_machine(folders: Sequence[Path], leave_out: LeaveOut) -> Iterator[tuple[str, Path]]:
    """Names for --model, and folders: the one that ships, the hub's cache, the named folders.

    Args:
        leave_out: is told of each folder that cannot be looked into, and why.

    Raises:
        ValueError: if a named folder is not there.
    """
    for folder in folders:
        if not folder.expanduser().is_dir():
            raise ValueError(f"{folder}: no such folder")
    yield EMBEDDED, find_folder(EMBEDDED)
    yield from _in_the_cache(leave_out)
    for folder in folders:
        for found in _below(folder.expanduser(), _DEPTH, leave_out):
            yield str(found), found


def _in_the_cache(leave_out: LeaveOut) -> Iterator[tuple[str, Path]]:
    """Hub ids that were downloaded, each with its newest snapshot.  Asks no network."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return
    except OSError as error:  # one private folder in it, and it tells of none
        leave_out(Path(constants.HF_HUB_CACHE), error)
        return
    for repository in sorted(cache.repos, key=lambda r: r.repo_id):
        if repository.repo_type != "model":
            continue
        revisions = sorted(
            repository.revisions, key=lambda r: ("main" in r.refs, r.last_modified), reverse=True
        )
        if revisions and (revisions[0].snapshot_path / CONFIG).is_file():
            yield repository.repo_id, revisions[0].snapshot_path


def _below(folder: Path, depth: int, leave_out: LeaveOut) -> Iterator[Path]:
    try:
        is_checkpoint = (folder / CONFIG).is_file()
        inner = [] if is_checkpoint or depth == 0 else sorted(folder.iterdir())
    except (NotADirectoryError, FileNotFoundError):  # a file, or a link to nothing
        return
    except OSError as error:
        leave_out(folder, error)
        return
    if is_checkpoint:
        yield folder
    for path in inner:
        if path.name[0] != ".":
            yield from _below(path, depth - 1, leave_out)
