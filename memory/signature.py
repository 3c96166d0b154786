"""Whose memory a catalog is, and the form of its tables.

A new catalog is signed once; one of an earlier format is brought to this one by its first writer.
"""

import sqlite3
from dataclasses import dataclass

from longtake.memory import marks
from longtake.memory.database import Database
from longtake.memory.files import MemoryMissing
from longtake.memory.record import MemoryFromFuture

FORMAT = 2  # 1: without codecs, kept spans and gaps
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS take (
        id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER, model TEXT, fingerprint TEXT)""",
    """CREATE TABLE IF NOT EXISTS chunks (
        number INTEGER PRIMARY KEY, start_s REAL, end_s REAL, camera TEXT, wall_s REAL,
        tokens INTEGER, layers INTEGER, heads INTEGER, dim INTEGER,
        segment INTEGER, offset INTEGER, nbytes INTEGER, codec TEXT DEFAULT 'raw')""",
    "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT)",
    *marks.SCHEMA,
)
_BY_SEGMENT = "CREATE INDEX IF NOT EXISTS chunks_by_segment ON chunks (segment, offset)"
_COLUMNS = "SELECT name FROM pragma_table_info('chunks')"
_SIGNED = "SELECT format, model, fingerprint FROM take"


class WrongModel(ValueError):
    """The memory was written by another model: its keys mean nothing to this one."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Of one catalog."""

    model: str
    fingerprint: str
    has_codec: bool  # False: of format 1, looked at by a reader


def read_signature(database: Database, model: str | None, fingerprint: str | None) -> Signature:
    """Who wrote a catalog.

    Args:
        model, fingerprint: who wants to read it; None: whoever.

    Raises:
        WrongModel, MemoryFromFuture: see `sign`.
        MemoryMissing: if nobody has signed it yet.
    """
    tables = database.select("SELECT 1 FROM sqlite_master WHERE name = 'take'")
    rows = database.select(_SIGNED) if tables else []
    if not rows:
        raise MemoryMissing(f"{database.path.parent}: no memory here yet")
    found = _checked(database, rows[0], model, fingerprint)
    return Signature(*found, has_codec=("codec",) in database.select(_COLUMNS))


def sign(database: Database, model: str | None, fingerprint: str | None) -> Signature:
    """Make the tables, and sign a new catalog; a refusal leaves the file as it was.

    Raises:
        WrongModel: if another model signed it.
        MemoryFromFuture: if a newer longtake wrote it in a form that this one does not know.
        MemoryMissing: if it is new, and no model is given.
    """
    with database.change() as change:
        for statement in _SCHEMA:
            change.execute(statement)
        rows = change.execute(_SIGNED).fetchall()
        if rows:
            model, fingerprint = _checked(database, rows[0], model, fingerprint)
        elif model is None or fingerprint is None:
            raise MemoryMissing(f"{database.path.parent}: no memory here yet")
        else:
            change.execute("INSERT INTO take VALUES (1, ?, ?, ?)", (FORMAT, model, fingerprint))
        _bring_up(change)
    return Signature(model, fingerprint, has_codec=True)


def _bring_up(change: sqlite3.Connection) -> None:
    """From format 1, and from a catalog whose gaps have no camera."""
    if ("codec",) not in change.execute(_COLUMNS).fetchall():
        change.execute("ALTER TABLE chunks ADD COLUMN codec TEXT DEFAULT 'raw'")
        change.execute("UPDATE take SET format = ?", (FORMAT,))
    if ("camera",) not in change.execute(marks.COLUMNS_OF).fetchall():
        change.execute(marks.CAMERA)
    change.execute(_BY_SEGMENT)


def _checked(
    database: Database,
    row: tuple[int, str, str],
    model: str | None,
    fingerprint: str | None,
) -> tuple[str, str]:
    """Model and fingerprint of a signature, if they are the ones."""
    version, its_model, its_fingerprint = row
    folder = database.path.parent
    if version > FORMAT:
        raise MemoryFromFuture(
            f"{folder} has format {version}, this longtake reads up to {FORMAT}; "
            "upgrade longtake, or choose another folder"
        )
    # the same weights may go by several names
    if fingerprint is not None and its_fingerprint != fingerprint:
        was = f"by model {its_model!r}, this is {model!r}"
        if its_model == model:
            was = f"by other weights or settings of model {model!r}"
        raise WrongModel(
            f"{folder} was written {was} (fingerprint {its_fingerprint[:12]}, this is "
            f"{fingerprint[:12]}); choose another memory folder, or the --model {its_model} "
            "that it was made with"
        )
    return its_model, its_fingerprint
