"""Write a memory, or a stretch of it, in forms that others read: safetensors, JSON and JPEG.

    memory.json | chunks-000000.safetensors ... | key_bias.safetensors | pictures/00000000.jpg ...

`memory.json` comes last: without it an export is not finished.  Each file of tensors holds whole
chunks; of chunk 7 ``keys.7`` and ``values.7`` ``[L, H, T, D]`` before rotary position,
``positions.7`` int32 ``[A, T]``, ``vectors.7`` float32 ``[L, H*D]`` and, where it has them,
``weights.7`` float32 ``[T]``.  A writer may go on with the memory meanwhile.

L layers, H key/value heads, T tokens, D head dimension, A position axes.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xxhash
from safetensors.torch import save
from torch import Tensor

from longtake.memory import files
from longtake.memory.chunk import ChunkInfo
from longtake.memory.files import MemoryFull
from longtake.memory.known import ChunkMissing
from longtake.memory.manifest import KEY_BIAS, SCHEMA
from longtake.memory.manifest import NAME as MANIFEST
from longtake.memory.record import ChunkCorrupt
from longtake.memory.segments import read_head, segment_numbers, segment_path
from longtake.memory.store import Store
from longtake.memory.survey import CATALOG, OWN_NOTES, SEGMENTS, gaps_of, reading, survey

PICTURES = "pictures"
_FILE_NBYTES = 128 << 20  # of tensors in one file, about
_FILE_CHUNKS = 1000

Progress = Callable[[int, int], None]  # chunks so far, chunks in all


@dataclass(slots=True)
class Exported:
    """What was written."""

    path: Path
    chunks: int = 0
    pictures: int = 0
    captions: int = 0
    nbytes: int = 0
    gone: int = 0  # a writer removed them meanwhile
    damaged: list[dict[str, Any]] = field(default_factory=list)  # cannot be read: left out


def export(
    store: Store,
    out: Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write the chunks that touch a stretch of time, or all of them.

    Nothing that was written stays there when it fails or is interrupted.

    Args:
        store: open, to be read.
        out: a folder; made where there is none.
        start_s: session time; None: from the beginning.
        end_s: session time; None: to the end.
        force: write into a folder that holds something; files of the same names are replaced.

    Raises:
        FileExistsError: if the folder holds something.
        MemoryFull: if there is no room for it.
        ValueError: if nothing lies between these times.
        OSError: if it cannot be written.
    """
    infos = [info for info in store.infos() if _touches(info, start_s, end_s)]
    if not infos:
        raise ValueError(f"{store.folder}: {_nothing(store, start_s, end_s)}")
    target = _Target(out, store.folder, force)
    try:
        _require_room(store, infos, target.path)
        exported = _write(store, infos, target, (start_s, end_s), progress)
    except BaseException:
        target.take_back()
        raise
    target.finish()
    return exported


def _touches(info: ChunkInfo, start_s: float | None, end_s: float | None) -> bool:
    return (start_s is None or info.end_s >= start_s) and (end_s is None or info.start_s <= end_s)


def _ends(infos: Sequence[ChunkInfo]) -> tuple[float, float]:
    """Start and end of all the time of chunks; those of several cameras may cross."""
    return min(info.start_s for info in infos), max(info.end_s for info in infos)


def _nothing(store: Store, start_s: float | None, end_s: float | None) -> str:
    infos = store.infos()
    if not infos:
        return "it holds no chunk yet"
    first_s, last_s = _ends(infos)
    return (
        f"nothing lies between {start_s or 0:g} s and {end_s or last_s:g} s; it holds "
        f"{first_s:g} s to {last_s:g} s"
    )


# ------------------------------------------------------------------ where it is written


class _Target:
    """A folder that is written to, and what was written into it.

    Raises:
        FileExistsError: if it holds something and `force` was not given.
    """

    def __init__(self, path: Path, memory: Path, force: bool) -> None:
        self.path = path
        self.nbytes = 0
        self._written: dict[str, None] = {}
        self._before: set[str] = set()
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path}: this is a file; name a folder to export into")
        if path.exists() and path.samefile(memory):
            raise FileExistsError(f"{path}: this is the memory itself; name another folder")
        if memory.resolve() in path.resolve().parents:
            raise FileExistsError(f"{path}: this lies within the memory; name a folder elsewhere")
        self._made = [at for at in (path / PICTURES, path) if not at.exists()]
        if path.exists() and any(path.iterdir()):
            if not force:
                raise FileExistsError(
                    f"{path}: this folder is not empty; name another one, or replace what it "
                    "holds of the same names: --force"
                )
            self._before = _names_in(path)
            files.unlink(path / MANIFEST)  # from here on it is no finished export
        files.make_folder(path)
        files.make_folder(path / PICTURES)

    def write(self, name: str, data: bytes, *, durable: bool = True) -> dict[str, Any]:
        """A file that has its name only when it is whole; what the manifest says of it."""
        path = self.path / name
        part = path.with_name(f"{path.name}.part")
        self._written[f"{name}.part"] = None
        fd = files.open_to_append(part)
        try:
            files.truncate(fd, 0)
            files.write_all(fd, data, 0)
            if durable:
                files.sync_data(fd)
        finally:
            os.close(fd)
        self._written[name] = None
        os.replace(part, path)
        del self._written[f"{name}.part"]
        self.nbytes += len(data)
        return {"name": name, "bytes": len(data), "xxh3": xxhash.xxh3_64_hexdigest(data)}

    def finish(self) -> None:
        """Remove what an earlier export left beside this one."""
        for name in self._before - set(self._written):
            (self.path / name).unlink(missing_ok=True)
        files.sync_folder(self.path)

    def take_back(self) -> None:
        """Remove what was written."""
        for name in reversed(self._written):
            (self.path / name).unlink(missing_ok=True)
        for folder in self._made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _names_in(folder: Path) -> set[str]:
    """Files of an export that lies there, whole or not."""
    kinds = ("chunks-*.safetensors", f"{PICTURES}/*.jpg", "*.part", f"{PICTURES}/*.part")
    return {str(path.relative_to(folder)) for kind in kinds for path in folder.glob(kind)}


def _require_room(store: Store, infos: Sequence[ChunkInfo], out: Path) -> None:
    first = next((i for i in infos if store.has_keys(i.number)), None)
    needed = store.album.nbytes
    if first is not None:
        try:
            chunk = store.read(first.number)
        except (ChunkCorrupt, ChunkMissing):
            return
        each = chunk.nbytes / chunk.tokens
        needed += round(sum(info.tokens * each for info in infos if store.has_keys(info.number)))
    free = shutil.disk_usage(out).free
    if needed > free:
        raise MemoryFull(
            f"{out}: needs about {needed} bytes, {free} are free; free some space, choose another "
            "disk, or export less of it (--from, --to)"
        )


# ------------------------------------------------------------------ what is written


def _write(
    store: Store,
    infos: Sequence[ChunkInfo],
    target: _Target,
    span: tuple[float | None, float | None],
    progress: Progress,
) -> Exported:
    exported, written, listed = Exported(target.path), list[dict[str, Any]](), dict[int, Any]()
    for index, group in enumerate(_groups(store, infos, exported, progress)):
        tensors: dict[str, Tensor] = {}
        name = f"chunks-{index:06d}.safetensors"
        for info, of_chunk in group:
            tensors |= {f"{kind}.{info.number}": tensor for kind, tensor in of_chunk.items()}
            listed[info.number] = name if of_chunk else None
        if tensors:
            written.append(target.write(name, save(tensors)))
    chunks = []
    for info in infos:
        if info.number not in listed:
            continue
        jpeg = store.album.jpeg(info.number)
        picture = None
        if jpeg is not None:
            at = f"{PICTURES}/{info.number:08d}.jpg"
            picture = target.write(at, jpeg, durable=False)
            exported.pictures += 1
        chunks.append(_chunk_json(info, listed[info.number], picture))
    exported.chunks = len(chunks)
    key_bias, bias = _key_bias(store), None
    if key_bias is not None:
        bias = target.write(f"{KEY_BIAS}.safetensors", save({KEY_BIAS: key_bias}))
    manifest = _manifest(store, infos, span, exported)
    manifest |= {"key_bias": bias, "files": written, "chunks": chunks}
    exported.captions = len(manifest["captions"])
    target.write(MANIFEST, json.dumps(manifest, indent=1).encode())
    exported.nbytes = target.nbytes
    return exported


_Group = list[tuple[ChunkInfo, dict[str, Tensor]]]


def _groups(
    store: Store, infos: Sequence[ChunkInfo], exported: Exported, progress: Progress
) -> Iterator[_Group]:
    """Chunks with their tensors, as many as go into one file; without, where none are left."""
    group: _Group = []
    nbytes = 0
    for done, info in enumerate(infos, 1):
        try:
            tensors = _tensors(store, info.number) if store.has_keys(info.number) else {}
        except ChunkMissing:
            exported.gone += 1
            continue
        except ChunkCorrupt as error:
            times = {"number": info.number, "start_s": info.start_s, "end_s": info.end_s}
            exported.damaged.append({**times, "why": str(error)})
            continue
        group.append((info, tensors))
        nbytes += sum(tensor.nbytes for tensor in tensors.values())
        progress(done, len(infos))
        if nbytes >= _FILE_NBYTES or len(group) >= _FILE_CHUNKS:
            yield group
            group, nbytes = [], 0
    if group:
        yield group


def _key_bias(store: Store) -> Tensor | None:
    """What the newest segment says that was taken off the keys."""
    segments = store.folder / SEGMENTS
    for number in sorted(segment_numbers(segments), reverse=True):
        try:
            head = read_head(segment_path(segments, number))
        except OSError:  # damaged, or gone meanwhile
            continue
        if head is not None:
            return head.key_bias
    return None


def _tensors(store: Store, number: int) -> dict[str, Tensor]:
    chunk = store.read(number)
    tensors = {
        "keys": chunk.keys,
        "values": chunk.values,
        "positions": chunk.positions,
        "vectors": store.vectors(number),
    }
    if chunk.weights is not None:
        tensors["weights"] = chunk.weights
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}


def _chunk_json(info: ChunkInfo, file: str | None, picture: Any) -> dict[str, Any]:
    return {
        "number": info.number,
        "start_s": info.start_s,
        "end_s": info.end_s,
        "camera": info.camera,
        "wall_s": info.wall_s,
        "tokens": info.tokens,
        "file": file,
        "picture": picture,
    }


def _manifest(
    store: Store,
    infos: Sequence[ChunkInfo],
    span: tuple[float | None, float | None],
    exported: Exported,
) -> dict[str, Any]:
    """All but chunks and files."""
    seen = survey(store.folder)
    is_whole = span == (None, None)
    first_s, last_s = _ends(infos)
    start_s = first_s if span[0] is None else span[0]
    end_s = last_s if span[1] is None else span[1]
    captions = store.album.captions(start_s, end_s)
    return {
        "schema": SCHEMA,
        "model": store.model,
        "fingerprint": store.fingerprint,
        "from_s": span[0],
        "to_s": span[1],
        "complete": not exported.damaged,
        "damaged": exported.damaged,
        "captions": [
            {"start_s": c.start_s, "end_s": c.end_s, "text": c.text, "camera": c.camera}
            for c in captions
        ],
        "kept": [[span.start_s, span.end_s] for span in seen.kept],
        "events": [asdict(event) for event in store.events(start_s, end_s)],
        "gaps": _gaps(store.folder) if is_whole else [],
        # of a part they would claim that sources were seen which are not in it
        "notes": {k: v for k, v in seen.notes.items() if k not in OWN_NOTES} if is_whole else {},
    }


def _gaps(folder: Path) -> list[dict[str, Any]]:
    with reading(folder / CATALOG) as catalog:
        return [asdict(missing) for missing in gaps_of(catalog)]
