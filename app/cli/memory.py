"""``longtake memory``: its commands and their flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longtake.cli import flags
from longtake.cli.common import shared

FolderArgument = Annotated[str, typer.Argument(metavar="DIR", help="a memory")]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask")]

app = typer.Typer(
    help="Look at memories, search them, check and mend them, move them, forget.",
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
def info(folder: FolderArgument, as_json: flags.JsonOption = False) -> None:
    """What one memory holds: model, time, gaps, codecs, sources, sizes, and who writes to it.

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


@app.command()
@shared
def search(
    folder: FolderArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="what to look for, in words")],
    top: Annotated[
        int, typer.Option(parser=flags.whole, metavar="N", help="most moments that are shown (10)")
    ] = 10,
    between: flags.BetweenOption = None,
    evidence_dir: Annotated[
        Path | None,
        typer.Option(
            parser=flags.folder, metavar="DIR", help="write pictures of the moments there, as JPEG"
        ),
    ] = None,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    quantize: flags.QuantizeOption = None,
    max_pixels: flags.MaxPixelsOption = None,
    as_json: flags.JsonOption = False,
) -> int:
    """Find moments by words; the model that made the memory looks for them.

    longtake memory search runs/street "a red ring"
    """
    from longtake.cli import run_memory_search

    return run_memory_search.run(
        run_memory_search.Request(
            folder=folder,
            text=text,
            given={
                "model": model,
                "device": device,
                "dtype": dtype,
                "quantize": quantize,
                "max_pixels": max_pixels,
            },
            top=top,
            between_s=flags.between(between),
            evidence_dir=evidence_dir,
            as_json=as_json,
        )
    )


@app.command()
@shared
def events(
    folder: FolderArgument,
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="events from here on (m:ss or s)")
    ] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="T", help="events up to here")] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="of one kind alone, such as alert")
    ] = None,
    as_json: flags.JsonOption = False,
) -> int:
    """What happened, as alerts have told it; no model is needed.

    longtake memory events runs/door --from 1:00 --to 2:30
    """
    from longtake.cli import run_memory_events

    return run_memory_events.run(
        folder, flags.seconds("--from", start), flags.seconds("--to", stop), kind, as_json
    )


@app.command()
@shared
def verify(
    folder: FolderArgument,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="make the catalog again, from the segments")
    ] = False,
    model: flags.ModelOption = None,
    device: flags.DeviceOption = None,
    dtype: flags.DtypeOption = None,
    quantize: flags.QuantizeOption = None,
    max_pixels: flags.MaxPixelsOption = None,
    as_json: flags.JsonOption = False,
) -> int:
    """Read every checksum; end with 3 if something has changed or is gone.

    longtake memory verify runs/street

    longtake memory verify runs/street --rebuild
    """
    from longtake.cli import run_memory_verify

    given = {
        "model": model,
        "device": device,
        "dtype": dtype,
        "quantize": quantize,
        "max_pixels": max_pixels,
    }
    if not rebuild:
        if any(value is not None for value in given.values()):
            raise ValueError("--model and what belongs to it are for --rebuild")
        return run_memory_verify.verify(folder, as_json)
    settings = None if model is None else flags.settings(given)
    return run_memory_verify.rebuild(folder, settings, as_json)


@app.command()
@shared
def export(
    folder: FolderArgument,
    out: Annotated[str, typer.Argument(metavar="OUT", help="a new or empty folder")],
    start: Annotated[
        str | None, typer.Option("--from", metavar="T", help="chunks from here on (m:ss or s)")
    ] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="T", help="chunks up to here")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="write into a folder that holds something")
    ] = False,
    as_json: flags.JsonOption = False,
) -> None:
    """Write a memory as safetensors, JSON and JPEG.

    longtake memory export runs/street exported --from 1:00 --to 2:30
    """
    from longtake.cli import run_memory_move

    run_memory_move.export(
        folder,
        out,
        flags.seconds("--from", start),
        flags.seconds("--to", stop),
        force,
        as_json,
    )


@app.command("import")
@shared
def import_(
    source: Annotated[str, typer.Argument(metavar="OUT", help="what export wrote")],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a new or empty folder")],
    as_json: flags.JsonOption = False,
) -> None:
    """Make a memory of an export; every tensor is verified.

    longtake memory import exported runs/again
    """
    from longtake.cli import run_memory_move

    run_memory_move.import_(source, folder, as_json)


@app.command()
@shared
def purge(
    folder: FolderArgument,
    start: Annotated[str, typer.Option("--from", metavar="T", help="forget from here (m:ss or s)")],
    stop: Annotated[str, typer.Option("--to", metavar="T", help="forget up to here")],
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="of this camera alone")] = None,
    yes: YesOption = False,
    as_json: flags.JsonOption = False,
) -> None:
    """Forget a stretch of time for good: keys, pictures, captions, every copy of them.

    longtake memory purge runs/street --from 12:00 --to 12:30
    """
    from longtake.cli import run_memory_change

    start_s, end_s = flags.seconds("--from", start), flags.seconds("--to", stop)
    assert start_s is not None and end_s is not None
    run_memory_change.purge(folder, start_s, end_s, camera, yes, as_json)


@app.command()
@shared
def gc(
    folder: FolderArgument,
    as_json: flags.JsonOption = False,
) -> None:
    """Finish what was interrupted, age what is due, and give room back to the disk.

    longtake memory gc runs/street
    """
    from longtake.cli import run_memory_change

    run_memory_change.gc(flags.settings({}), folder, as_json)
