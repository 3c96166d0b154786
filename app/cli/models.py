"""``longtake models``: its flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import flags


def models(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER...]", help="look for checkpoints in these too"),
    ] = None,
    as_json: flags.JsonOption = False,
) -> None:
    """Show the known families, and the models on this machine with what they need.

    longtake models ~/checkpoints
    """
    from longtake.cli import run_models

    run_models.run(tuple(folders or ()), as_json)
