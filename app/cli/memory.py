"""``longtake memory``: its commands and their flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import flags
from longtake.cli.common import shared

app = typer.Typer(
    help="Look at memories: which there are, what one holds, what it takes on disk.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
@shared
def ls(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER...]",
            help="a memory, or a folder of memories; the current one by default",
        ),
    ] = None,
    as_json: flags.JsonOption = False,
) -> None:
    """List memories: length, chunks, size, model, last change, state.

    longtake memory ls runs
    """
    from longtake.cli import run_memory

    run_memory.ls(folders or ["."], as_json)


@app.command()
@shared
def info(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a memory")],
    as_json: flags.JsonOption = False,
) -> None:
    """What one memory holds: model, time, sources, sizes, and who writes to it.

    longtake memory info runs/street
    """
    from longtake.cli import run_memory

    run_memory.info(folder, as_json)


@app.command()
@shared
def du(
    folders: Annotated[list[str], typer.Argument(metavar="DIR...", help="memories")],
    exact: Annotated[
        bool, typer.Option("--bytes", help="exact numbers instead of KiB, MiB, GiB")
    ] = False,
    as_json: flags.JsonOption = False,
) -> None:
    """What memories take on disk: by part, by hour of stream, in total.

    longtake memory du runs/street
    """
    from longtake.cli import run_memory

    run_memory.du(folders, exact, as_json)
