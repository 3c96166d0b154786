"""What every command understands: ``--config``, ``-v``, ``-q``, ``--debug``; before it or after.

They belong to the `Common` of the run, not to a command's own arguments.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from longtake.cli.names import shown

CONFIG_VARIABLE = "LONGTAKE_CONFIG"


@dataclass(slots=True)
class Common:
    """Of one run of the command line."""

    config: Path | None = None  # the file that was named
    verbose: int = 0
    quiet: bool = False
    debug: bool = False

    def take(self, config: str | None, verbose: int, quiet: bool, debug: bool) -> None:
        """Add what was given; flags count before the command and after it."""
        self.config = self.config if config is None else Path(config)
        self.verbose += verbose
        self.quiet, self.debug = self.quiet or quiet, self.debug or debug
        listen(self)


_RUNNING: ContextVar[Common | None] = ContextVar("longtake-command-line", default=None)


def begin() -> Common:
    """For `main`: what follows belongs to a new run."""
    begun = Common()
    _RUNNING.set(begun)
    return begun


def common() -> Common:
    """Of the run that this is part of; outside of one everything is as by default."""
    return _RUNNING.get() or Common()


def say(text: str) -> None:
    """A note beside the answers, on stderr; ``-q`` silences it."""
    if not common().quiet:
        print(f"longtake: {shown(text)}", file=sys.stderr)


def shared(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Let a command understand the shared flags beside its own."""

    @functools.wraps(command)
    def run(
        *words: Any, config: str | None, verbose: int, quiet: bool, debug: bool, **given: Any
    ) -> int | None:
        common().take(config, verbose, quiet, debug)
        return command(*words, **given)

    hints = get_type_hints(command, include_extras=True)
    own = [
        given.replace(annotation=hints[name])
        for name, given in inspect.signature(command).parameters.items()
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in _SHARED.items()
    ]
    run.__annotations__ = hints | {name: hint for name, (hint, _) in _SHARED.items()}
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    return run


_SHARED: dict[str, tuple[Any, Any]] = {
    "config": (
        Annotated[
            str | None,
            typer.Option(metavar="FILE", help=f"settings, as TOML [env var: {CONFIG_VARIABLE}]"),
        ],
        None,
    ),
    "verbose": (
        Annotated[
            int,
            typer.Option(
                "--verbose",
                "-v",
                count=True,
                show_default=False,
                help="say more on stderr; -vv: everything",
            ),
        ],
        0,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="no notes and no progress on stderr")],
        False,
    ),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="let the traceback of an error through")],
        False,
    ),
}


def config_file() -> Path | None:
    """What ``--config`` or the environment names; None: wherever `longtake.config` looks."""
    named = os.environ.get(CONFIG_VARIABLE)
    return common().config or (Path(named) if named else None)


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        from longtake.streaming.errors import redact

        return redact(super().format(record))


def listen(asked: Common) -> None:
    """Show our log on stderr as far as it was asked for: warnings, or more, or errors alone."""
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    level = logging.ERROR if asked.quiet else levels[min(asked.verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("longtake: %(message)s"))
    logger = logging.getLogger("longtake")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
