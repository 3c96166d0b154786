"""``longtake memory purge`` and ``gc``: take out of a memory what nobody shall see, or needs.

No model is needed; nobody else may be writing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtake.cli.common import say
from longtake.cli.names import as_text, shown
from longtake.memory.config import MemoryConfig
from longtake.stretch import SEEN
from longtake.ui.view import bytes_text, clock

if TYPE_CHECKING:
    from longtake.config import Settings
    from longtake.memory.store import Store


def purge(
    folder: str,
    start_s: float,
    end_s: float,
    camera: str | None,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Forget a stretch of time, for good."""
    if end_s < start_s:
        raise ValueError(f"--to {end_s:g}: must not be earlier than --from {start_s:g} (seconds)")
    with _opened(folder, MemoryConfig(ladder="none")) as store:
        chunks = [
            info
            for info in store.infos()
            if info.end_s >= start_s and info.start_s <= end_s and camera in (None, info.camera)
        ]
        what = f"{len(chunks)} chunks of {clock(start_s)} to {clock(end_s)}"
        if camera is not None:
            what += f", camera {camera}"
            _require_camera(store, camera)
        if chunks and not is_sure and not _agreed(f"{shown(folder)}: forget {shown(what)}?"):
            say("nothing was changed")
            return
        held = store.infos()
        if held:  # a video whose end is forgotten is not seen again for that
            store.note(SEEN, max(held[-1].end_s, store.noted(SEEN, 0.0)))
        gone = store.forget(start_s, end_s, camera)
    aside = [path.name for path in _set_aside(Path(folder))]
    if aside:
        say(
            f"{', '.join(aside)}: set aside by a rebuild, may still hold what was forgotten; "
            f"delete it: longtake memory gc {folder}"
        )
    if as_json:
        print(json.dumps(_purged(folder, start_s, end_s, camera, gone.chunks, gone.nbytes)))
        return
    print(f"{shown(folder)}: {gone.chunks} chunks forgotten, {bytes_text(gone.nbytes)}")


def gc(settings: Settings, folder: str, as_json: bool) -> None:
    """Finish what was interrupted, age what is due, delete what nothing refers to."""
    path = Path(folder)
    before = _nbytes(path)
    with _opened(folder, settings.take.memory) as store:  # which finishes what a crash interrupted
        aged = store.tidy()
    aside = _set_aside(path)
    removed = [one.name for one in aside]
    for one in aside:
        one.unlink(missing_ok=True)
    freed = before - _nbytes(path)
    if as_json:
        print(
            json.dumps(
                {
                    "schema": "longtake.memory.gc/1",
                    "memory": as_text(folder),
                    "aged": aged,
                    "removed": [as_text(name) for name in removed],
                    "freed_bytes": freed,
                }
            )
        )
        return
    for name in removed:
        print(f"{shown(folder)}: removed {shown(name)}")
    if aged:
        print(f"{shown(folder)}: {aged} chunks went down the ladder")
    print(f"{shown(folder)}: {bytes_text(max(0, freed))} freed")


def _opened(folder: str, config: MemoryConfig) -> Store:
    from longtake.memory.store import Store
    from longtake.memory.survey import survey

    survey(Path(folder))  # says what is wrong with it in better words
    return Store.open_as_found(Path(folder), config)


def _agreed(question: str) -> bool:
    """What a person says.  Raises ValueError where there is none to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ValueError("purge deletes for good, and nobody is there to be asked; add --yes")
    print(f"{question} This cannot be undone. [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _require_camera(store: Store, camera: str) -> None:
    known = {info.camera for info in store.infos()}
    if camera not in known:
        named = ", ".join(sorted(name for name in known if name)) or "none has a name"
        raise ValueError(f"--camera {camera}: there is no such camera ({named})")


def _purged(
    folder: str, start_s: float, end_s: float, camera: str | None, chunks: int, nbytes: int
) -> dict[str, Any]:
    return {
        "schema": "longtake.memory.purge/1",
        "memory": as_text(folder),
        "from_s": start_s,
        "to_s": end_s,
        "camera": None if camera is None else as_text(camera),
        "chunks": chunks,
        "bytes": nbytes,
    }


def _set_aside(folder: Path) -> list[Path]:
    """What a rebuild kept, or an interrupted one left."""
    found = (*folder.glob("*.damaged-*"), *folder.glob("segments/*.damaged-*"))
    return sorted((*found, *folder.glob("*.sqlite.new*")))


def _nbytes(folder: Path) -> int:
    """Bytes that files take, without their holes."""
    found = (path.stat() for path in folder.rglob("*") if path.is_file())
    return sum(min(one.st_size, one.st_blocks * 512) for one in found)
