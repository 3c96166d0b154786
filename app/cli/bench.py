"""``longtake bench``: its commands and their flags."""

from __future__ import annotations

from typing import Annotated

import typer

from longtake.cli import flags
from longtake.cli.common import shared

app = typer.Typer(
    help="Measure this machine: every run prints machine, versions, sizes and ratios.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
@shared
def ingest(
    minutes: Annotated[
        float, typer.Option(parser=flags.number, metavar="M", help="length of the drawn clip")
    ] = 5.0,
    repeats: Annotated[
        int,
        typer.Option(
            parser=flags.whole, metavar="N", help="interleaved runs of each, the median counts"
        ),
    ] = 5,
    model: flags.ModelOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How fast a file is taken in, beside the model's bare forward."""
    from longtake.bench import ingest

    ingest.run(model or "embedded", minutes, repeats, as_json)


@app.command()
@shared
def ask(
    minutes: Annotated[
        float,
        typer.Option(parser=flags.number, metavar="M", help="length of the stream in memory"),
    ] = 60.0,
    repeats: Annotated[
        int, typer.Option(parser=flags.whole, metavar="N", help="questions, the median counts")
    ] = 20,
    model: flags.ModelOption = None,
    as_json: flags.JsonOption = False,
) -> None:
    """How fast an answer comes, beside encoding the video again."""
    from longtake.bench import ask

    ask.run(model or "embedded", minutes, repeats, as_json)
