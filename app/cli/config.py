"""``longtake config``: its commands and their flags."""

from __future__ import annotations

import typer

from longtake.cli import flags
from longtake.cli.common import shared

app = typer.Typer(
    help="What is set, and where it was set.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
@shared
def show(as_json: flags.JsonOption = False) -> None:
    """Every setting, its value and where it comes from, written as a configuration file.

    longtake config show > longtake.toml
    """
    from longtake.cli import run_config

    run_config.show(as_json)
