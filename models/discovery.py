"""Where checkpoints lie on this machine: what ships, the hub's cache, folders that are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from longtake.models.loader import EMBEDDED, find_folder

CONFIG = "config.json"  # a folder that has one is a checkpoint
_DEPTH = 3  # folders looked into below one that was named


def on_this_machine(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Names for --model, and folders: the one that ships, the hub's cache, the named folders.

    Raises:
        ValueError: if a named folder is not there.
    """
    for folder in folders:
        if not folder.expanduser().is_dir():
            raise ValueError(f"{folder}: no such folder")
    yield EMBEDDED, find_folder(EMBEDDED)
    yield from _in_the_cache()
    for folder in folders:
        for found in _below(folder.expanduser(), _DEPTH):
            yield str(found), found


def _in_the_cache() -> Iterator[tuple[str, Path]]:
    """Hub ids that were downloaded, each with its newest snapshot.  Asks no network."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return
    for repository in sorted(cache.repos, key=lambda r: r.repo_id):
        if repository.repo_type != "model":
            continue
        revisions = sorted(
            repository.revisions, key=lambda r: ("main" in r.refs, r.last_modified), reverse=True
        )
        if revisions and (revisions[0].snapshot_path / CONFIG).is_file():
            yield repository.repo_id, revisions[0].snapshot_path


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / CONFIG).is_file():
        yield folder
        return
    if depth == 0:
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_dir())
    except PermissionError:
        return
    for path in inner:
        yield from _below(path, depth - 1)
