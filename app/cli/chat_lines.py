"""Where the lines of a chat come from: a terminal, with editing and history, or a pipe.

What a line means is not known here; of the commands their names alone, for Tab.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from longtake.cli.chat_commands import COMMANDS

PROMPT = "> "
MAX_HISTORY_LINES = 1000

_log = logging.getLogger(__name__)


class Lines(Protocol):
    """Line after line."""

    @property
    def is_terminal(self) -> bool: ...

    def read(self) -> str | None:
        """The next line; None at the end.

        Raises:
            KeyboardInterrupt: for Ctrl-C where nothing was typed.
        """
        ...


@contextmanager
def open_lines() -> Iterator[Lines]:
    """Of standard input; what was typed at a terminal is added to the history at the end."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # an odd byte is no reason to end
    if not sys.stdin.isatty():
        yield _Piped()
        return
    terminal = _Terminal(_editing() if sys.stdout.isatty() else None)
    path = history_file(os.environ)
    for line in _history(path):
        terminal.recall(line)
    try:
        yield terminal
    finally:
        _add_history(path, terminal.typed)


class _Piped:
    is_terminal = False

    def read(self) -> str | None:
        return sys.stdin.readline() or None


class _Terminal:
    """``input``, edited by readline where there is one."""

    is_terminal = True

    def __init__(self, readline: Any) -> None:
        self._readline = readline
        self.typed: list[str] = []

    def recall(self, line: str) -> None:
        """An earlier line, for the arrow keys."""
        if self._readline is not None:
            self._readline.add_history(line)

    def read(self) -> str | None:
        try:
            line = self._input()
        except EOFError:
            print(file=sys.stderr)  # the shell's prompt begins a line
            return None
        except KeyboardInterrupt:
            if self._readline is None or not self._readline.get_line_buffer():
                raise
            print(file=sys.stderr)  # as in a shell: what was typed is dropped
            return ""
        if line.strip():
            self.typed.append(line)
        return line

    def _input(self) -> str:
        if sys.stdout.isatty():
            return input(PROMPT)
        print(PROMPT, end="", file=sys.stderr, flush=True)  # answers alone go to stdout
        return input()


def _editing() -> Any:
    """The readline module with Tab set up; None where Python has none."""
    try:
        import readline
    except ImportError:
        _log.info("this Python has no readline: lines are read without editing and history")
        return None
    readline.set_completer_delims(" ")
    readline.set_completer(completer(readline.get_begidx))
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    return readline


def completer(begins: Callable[[], int]) -> Callable[[str, int], str | None]:
    """For readline: names of commands, at the head of a line alone.

    Args:
        begins: where in the line the word stands that is to be completed.
    """

    def complete(word: str, number: int) -> str | None:
        found = [name for name in COMMANDS if name.startswith(word)] if begins() == 0 else []
        return found[number] + " " if number < len(found) else None

    return complete


# -------------------------------------------------------------------- history


def history_file(environment: Mapping[str, str]) -> Path | None:
    """``$XDG_STATE_HOME/longtake/chat_history``; None where no home is known."""
    base = Path(environment.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # unset, or relative: the XDG rules say that it does not count
        if not environment.get("HOME"):
            return None
        base = Path(environment["HOME"]) / ".local" / "state"
    return base / "longtake" / "chat_history"


def _history(path: Path | None) -> list[str]:
    try:
        text = path.read_text("utf-8", errors="replace") if path is not None else ""
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.info("the history of earlier chats cannot be read: %s", error)
        return []
    return [line for line in text.split("\n") if line][-MAX_HISTORY_LINES:]


def _add_history(path: Path | None, typed: list[str]) -> None:
    """Behind what the file holds by now: another chat may have ended meanwhile."""
    if path is None or not typed:
        return
    lines = [*_history(path), *typed][-MAX_HISTORY_LINES:]
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.replace(new, path)
    except OSError as error:
        _log.info("the history of this chat is not kept: %s", error)
        with suppress(OSError):  # it may not even have been made
            new.unlink()
