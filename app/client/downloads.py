"""An export that comes from a server as one zip: kept as that, or laid out as a folder.

Nothing of it stays where it breaks off.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def check_place(out: Path) -> None:
    """Raises FileExistsError where something would be overwritten."""
    is_taken = out.exists() and (is_zip(out) or not out.is_dir() or any(out.iterdir()))
    if is_taken:
        raise FileExistsError(f"{out}: is there already; name a place where nothing is")


def is_zip(out: Path) -> bool:
    return out.suffix.lower() == ".zip"


def save(pieces: Iterable[bytes], out: Path) -> None:
    """Write an export to ``out``: a file, where it is called ``.zip``, else a folder.

    Raises:
        OSError: if it cannot be written, or what came is no zip.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".longtake-", dir=out.parent) as beside:
        packed = Path(beside) / "export.zip"
        with packed.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        if is_zip(out):
            packed.replace(out)
            return
        folder = Path(beside) / "export"
        _unpack(packed, folder)
        if out.is_dir():
            out.rmdir()
        folder.replace(out)


def _unpack(packed: Path, folder: Path) -> None:
    """Without the folder of the take's name that all files in it lie in."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(packed) as archive:
            for info in archive.infolist():
                inside = PurePosixPath(info.filename).parts[1:]
                if info.is_dir() or not inside or ".." in inside:
                    continue
                place = folder.joinpath(*inside)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, place.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as error:
        raise OSError(f"the export broke off: {error}") from error
