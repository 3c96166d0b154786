"""Make a memory from an export: every tensor and picture is verified, nothing is guessed.

The memory is built under another name beside its place and moved there when it is whole, so that
what was interrupted is no memory.  Chunks keep their numbers and are written as they were exported,
in codec ``raw``: what a lossy codec took from them before stays lost.

L layers, H key/value heads, T tokens, D head dimension, A position axes.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from longtake.memory import files
from longtake.memory.catalog import Catalog, Row
from longtake.memory.chunk import Chunk
from longtake.memory.config import MemoryConfig
from longtake.memory.files import MemoryFull, MemoryInUse, writer_of
from longtake.memory.ladder import PICTURE
from longtake.memory.manifest import KEY_BIAS, ExportDamaged, Listed, Manifest, read_manifest
from longtake.memory.store import Store
from longtake.memory.survey import CATALOG

Progress = Callable[[int, int], None]  # chunks so far, chunks in all


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it."""

    path: Path
    model: str
    chunks: int
    pictures: int
    captions: int
    complete: bool  # False: the export lacked chunks that could not be read


def import_memory(
    export: Path, folder: Path, progress: Progress = lambda done, total: None
) -> Imported:
    """Make a memory.

    Args:
        export: a folder that `exporting.export` wrote.
        folder: where the memory will lie; new, or empty.

    Raises:
        ExportDamaged: if the export is not finished, or not what was written.
        FileExistsError: if the folder holds something.
        MemoryInUse: if another process imports to the same place.
        MemoryFull: if there is no room for it.
    """
    manifest = read_manifest(export)
    folder = folder.absolute()
    _require_empty(folder)
    files.make_folder(folder.parent)
    _require_room(manifest, folder.parent)
    work = folder.with_name(f".{folder.name}.importing")
    _clear(work)
    try:
        pictures = _fill(work, export, manifest, progress)
        _finish(work, manifest)
        _move(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return Imported(
        folder,
        manifest.model,
        len(manifest.chunks),
        pictures,
        len(manifest.captions),
        manifest.complete,
    )


def _require_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: this is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: this folder is not empty; name a new one")


def _require_room(manifest: Manifest, place: Path) -> None:
    needed = sum(file.nbytes for file in manifest.files.values())
    needed += sum(chunk.picture.nbytes for chunk in manifest.chunks if chunk.picture)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise MemoryFull(
            f"{place}: needs about {needed} bytes, {free} are free; free some space, or choose "
            "another disk"
        )


def _clear(work: Path) -> None:
    """What an interrupted import left."""
    if not work.exists():
        return
    writer = writer_of(work)
    if writer is not None:
        raise MemoryInUse(f"{work}: process {writer} imports to the same place; wait for it")
    shutil.rmtree(work)


def _move(work: Path, folder: Path) -> None:
    try:
        files.rename(work, folder)  # over an empty folder too
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot become the memory ({error.strerror}); name a new folder",
            str(folder),
        ) from error


# ------------------------------------------------------------------ what is put into it


def _fill(work: Path, export: Path, manifest: Manifest, progress: Progress) -> int:
    """All chunks that have tensors, and all pictures; how many pictures."""
    pictures = done = 0
    config = MemoryConfig(ram_bytes=0, ladder="none")
    with Store.open(
        work,
        model=manifest.model,
        fingerprint=manifest.fingerprint,
        config=config,
        key_bias=_key_bias(export, manifest),
    ) as store:
        for chunk, vectors in _chunks(export, manifest):
            try:
                store.put(chunk, vectors)
            except ValueError as error:
                raise ExportDamaged(f"{export}: {error}") from error
            done += 1
            progress(done, len(manifest.chunks))
        for listed in manifest.chunks:
            if listed.picture is not None:
                path = listed.picture.check(export)
                store.album.put_jpeg(listed.info.number, path.read_bytes())
                pictures += 1
                if pictures % 1000 == 0:
                    store.sync()
        for said in manifest.captions:
            store.album.add_caption(said.start_s, said.end_s, said.text, said.camera)
        for event in manifest.events:
            store.log(event)
        store.sync()
        store.album.commit()
    return pictures


def _finish(work: Path, manifest: Manifest) -> None:
    """What no store puts: chunks without tensors, gaps, notes, kept spans."""
    catalog = Catalog(work / CATALOG, model=manifest.model, fingerprint=manifest.fingerprint)
    with closing(catalog):
        newest = catalog.last()
        geometry = (0, 0, 0) if newest is None else newest.geometry
        for listed in manifest.chunks:
            if listed.file is None:
                catalog.add(Row(listed.info, geometry, None, PICTURE))
        for gap in manifest.gaps:
            catalog.miss(gap)
        for key, value in manifest.notes.items():
            catalog.note(key, json.dumps(value))
        catalog.commit()
        for span in manifest.kept:
            catalog.marks.keep(span)
        catalog.checkpoint()


# ------------------------------------------------------------------ what the files hold


def _key_bias(export: Path, manifest: Manifest) -> Tensor | None:
    if manifest.key_bias is None:
        return None
    path = manifest.key_bias.check(export)
    try:
        with safe_open(os.fspath(path), framework="pt") as tensors:
            bias: Tensor = tensors.get_tensor(KEY_BIAS)
    except SafetensorError as error:
        raise ExportDamaged(f"{path}: {error}") from error
    return bias


def _chunks(export: Path, manifest: Manifest) -> Iterator[tuple[Chunk, Tensor]]:
    """Chunks and their search vectors, in order, each file checked before it is read."""
    held = (chunk for chunk in manifest.chunks if chunk.file is not None)
    for name, group in groupby(held, lambda chunk: chunk.file or ""):
        path = manifest.files[name].check(export)
        try:
            yield from _of_file(path, group)
        except (SafetensorError, ValueError) as error:
            raise ExportDamaged(f"{path}: {error}") from error


def _of_file(path: Path, group: Iterable[Listed]) -> Iterator[tuple[Chunk, Tensor]]:
    with safe_open(os.fspath(path), framework="pt") as tensors:
        names = set(tensors.keys())
        for listed in group:
            number = listed.info.number
            missing = {f"{k}.{number}" for k in ("keys", "values", "positions", "vectors")} - names
            if missing:
                raise ValueError(f"there is no {sorted(missing)[0]}")
            keys, values, positions, vectors = (
                tensors.get_tensor(f"{kind}.{number}")
                for kind in ("keys", "values", "positions", "vectors")
            )
            has_weights = f"weights.{number}" in names
            weights = tensors.get_tensor(f"weights.{number}") if has_weights else None
            if vectors.dtype != torch.float32:
                raise ValueError(f"vectors.{number} is {vectors.dtype}, expected torch.float32")
            yield Chunk(listed.info, keys, values, positions, weights), vectors
