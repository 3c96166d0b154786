"""``longtake user``: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="who may come in")],
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="the file of `longtake serve --users-file`: the line is added there, or replaced",
        ),
    ] = None,
) -> None:
    """Make a line for a user of `longtake serve`: a name, and what checks a password.

    The password is asked for, twice; where standard input is no terminal, it is its first line.

    longtake user anna --file users.txt

    longtake user anna < password.txt >> users.txt
    """
    from longtake.cli import run_user

    run_user.run(name, file)
