"""What can still be read of a damaged database, row by row.

A page that cannot be read ends a walk through a table; what lies behind it is reached from the
other end.  What the rows mean is not known here.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from longtake.memory.database import connect
from longtake.memory.files import MemoryDamaged

Value = int | float | str | bytes | None


def salvaged(path: Path, table: str, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
    """Rows of a table that can be read, each once, in no order; nothing where there is none.

    Columns that an older version did not have come as None.
    """
    try:
        database = connect(path, read_only=True, synchronous="OFF")
    except (OSError, sqlite3.Error):
        return
    with closing(database):
        there = _columns(database, table)
        if not there:
            return
        asked = ", ".join(name if name in there else f"NULL AS {name}" for name in columns)
        seen: set[int] = set()
        for order in ("ASC", "DESC"):
            query = f"SELECT rowid, {asked} FROM {table} ORDER BY rowid {order}"
            try:
                for rowid, *values in database.execute(query):
                    if rowid in seen:
                        break  # met what came from the other end
                    seen.add(rowid)
                    yield tuple(values)
                else:
                    return
            except (sqlite3.Error, MemoryDamaged, UnicodeDecodeError):
                continue


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    try:
        found = database.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return set()
    return {str(name) for (name,) in found}
