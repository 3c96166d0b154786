"""The commands, and `main`: parse, run, end well.

Only words and numbers are read in the files that define commands; what a command does is imported
when it runs, so that ``--help`` needs neither torch nor a model.  Answers go to stdout, everything
else to stderr.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer

from longtake import __version__
from longtake.cli import (
    ask,
    bench,
    chat,
    config,
    doctor,
    memory,
    models,
    narrate,
    probe,
    serve,
    ui,
    user,
    watch,
)
from longtake.cli.common import begin, shared
from longtake.cli.endings import INTERRUPTED, USAGE, exit_code
from longtake.cli.signals import Told, in_order
from longtake.wording import one_line

_KEPT = "what was seen is kept where --memory names a folder"

app = typer.Typer(
    name="longtake",
    help="Watch a video for hours, forget nothing, and ask about any moment of it.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(shared(ask.ask))
app.command()(shared(chat.chat))
app.command()(shared(narrate.narrate))
app.command()(shared(watch.watch))
app.command()(shared(ui.ui))
app.command()(shared(serve.serve))
app.command()(shared(doctor.doctor))
app.command()(shared(models.models))
app.command()(shared(probe.probe))
app.command()(shared(user.user))
app.add_typer(bench.app, name="bench")
app.add_typer(config.app, name="config")
app.add_typer(memory.app, name="memory")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"longtake {__version__}")
        raise typer.Exit


@app.callback()
@shared
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show and leave")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code and prints one line for an error."""
    common = begin()
    sys.stdin = sys.stdin or open(os.devnull)  # who started us may have closed them
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):  # not every terminal can show every character
        sys.stdout.reconfigure(errors="backslashreplace")
    told = Told()
    try:
        with in_order() as told:
            code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit:  # typer's way with a closed pipe
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if common.debug:
            raise
        return _end(one_line(error), exit_code(error))
    if told.signal is not None:
        return _end(f"ended by {told.signal.name}; {_KEPT}", told.exit_code)
    if code == INTERRUPTED:
        _end(f"interrupted; {_KEPT}", code)
    return code


def _run(arguments: list[str] | None) -> int:
    """Parse and run; what typer complains about while parsing ends with `USAGE`."""
    try:
        result: Any = app(args=arguments, prog_name="longtake", standalone_mode=False)
    except Exception as error:
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # typer does not name it in public
            print(describe(), file=sys.stderr)
            return USAGE
        context = getattr(error, "ctx", None)
        path = "longtake" if context is None else context.command_path
        said = describe().replace("Value error, ", "")  # pydantic's, which typer passes on
        return _end(f"{said} (see {path} --help)", USAGE)
    return result if isinstance(result, int) else 0


def _end(message: str, code: int) -> int:
    print(f"longtake: {message}", file=sys.stderr)
    return code
