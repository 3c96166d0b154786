"""``longtake chat``: watch what must be watched, then answer line after line.

A line is a question or a command (`longtake.cli.chat_commands`); where lines come from is known to
`longtake.cli.chat_lines`.  What goes wrong with one line is told, and the next one is read.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from longtake.cli.chat_commands import SCHEMA, Chat, obey
from longtake.cli.chat_lines import Lines, open_lines
from longtake.cli.common import common, say
from longtake.cli.endings import INTERRUPTED
from longtake.cli.groups import Watched
from longtake.cli.live_line import Changes
from longtake.cli.show import Told, answer_json, print_times
from longtake.cli.signals import Terminated
from longtake.cli.sources import Sources
from longtake.cli.watching import LEAST_S, opened, watch_all
from longtake.live_watch import LiveWatch
from longtake.ui.view import clock, span
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.answer import Answer
    from longtake.config import Settings

CONVERSATION = "chat"  # its name in the take


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was typed."""

    videos: tuple[str, ...]
    settings: Settings
    memory: Path | None = None
    names: tuple[str, ...] = ()  # of cameras
    start_s: float | None = None
    stop_s: float | None = None
    as_json: bool = False

    def __post_init__(self) -> None:
        if "-" in self.videos:
            raise ValueError(
                "-: chat reads its questions from standard input; name the video's file, or "
                "watch it with longtake ask --memory first"
            )
        _ = self.sources  # refuses what cannot work

    @cached_property
    def sources(self) -> Sources:
        return Sources(
            addresses=self.videos,
            capture=self.settings.take.capture,
            names=self.names,
            memory=self.memory,
            start_s=self.start_s,
            stop_s=self.stop_s,
        )


def run(request: Request) -> int:
    """Do it; returns the exit code.  Errors are raised; `longtake.cli` says them in one line."""
    only_reads = not request.videos
    with opened(request.settings, request.memory, may_only_read=only_reads) as take:
        watched = watch_all(take, request.sources, LEAST_S)
        chat = Chat(
            take=take,
            subject=_subject(watched, request.memory),
            cameras=[w.watch for w in watched if isinstance(w.watch, LiveWatch)],
            as_json=request.as_json,
        )
        with open_lines() as lines:
            if lines.is_terminal:
                seen = clock(take.stats().newest_s)
                say(f"seen to {seen}; ask about it. /help lists commands, Ctrl-D ends")
            if not take.pace.dialogue_tokens:
                say("no dialogue with this model and mode: each question stands alone")
            return _converse(chat, lines)


def _subject(watched: Sequence[Watched], memory: Path | None) -> str:
    return ", ".join([w.watch.address for w in watched] or [str(memory)])


def _converse(chat: Chat, lines: Lines) -> int:
    """Line by line to the end; returns the exit code.

    Two Ctrl-C in a row leave; at a terminal those that stopped an answer are not counted.
    """
    was_interrupted, changes = False, Changes()
    changes.look([camera.stats() for camera in chat.cameras])  # told while they were waited for
    while not chat.has_ended:
        try:
            line = lines.read()
            if line is None:
                break
            for change in changes.look([camera.stats() for camera in chat.cameras]):
                say(change)  # only now: a prompt is left alone
            is_stopped = _respond(chat, line)
            if is_stopped and was_interrupted and not lines.is_terminal:
                return INTERRUPTED
            was_interrupted = is_stopped and not lines.is_terminal
        except Terminated:
            raise
        except KeyboardInterrupt:
            if was_interrupted or not lines.is_terminal:
                return INTERRUPTED
            was_interrupted = True
            print(file=sys.stderr)
            say("Ctrl-D or /quit ends the chat, and so does a second Ctrl-C")
    return 0


def _respond(chat: Chat, line: str) -> bool:
    """Answer or obey, and tell what goes wrong; whether an answer was stopped."""
    text = line.strip()
    if not text:
        return False
    try:
        if text.startswith("/"):
            obey(chat, text)
            return False
        return _ask(chat, text)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        if common().debug:
            traceback.print_exc()
        message = one_line(error)
        print(f"longtake: {message}", file=sys.stderr)
        if chat.as_json and not text.startswith("/"):  # whoever waits for a line gets one
            failed = {"schema": SCHEMA, "question": text, "error": message}
            print(json.dumps(failed), flush=True)
    return False


def _ask(chat: Chat, question: str) -> bool:
    """Ask, and show the answer as it comes; whether Ctrl-C stopped it."""
    answer, is_stopped = _streamed(chat, question)
    told = Told(answer, [])
    if answer.text or not is_stopped:  # as the take remembers it
        chat.tell(told)
    if chat.as_json:
        print(json.dumps({"schema": SCHEMA, **answer_json(told)}), flush=True)
    else:
        print(" (stopped)" if is_stopped else "")
        _print_best(answer)
        print_times(answer, chat.is_live)
        sys.stdout.flush()
    return is_stopped


def _streamed(chat: Chat, question: str) -> tuple[Answer, bool]:
    """The whole answer, its text on stdout without the line's end; whether it was stopped."""
    asking = chat.take.stream(
        question, conversation=CONVERSATION, at_s=chat.at_s, between_s=chat.between_s
    )
    shown, is_stopped = "", False
    try:
        try:
            for piece in asking:
                _show(chat, piece)
                shown += piece
        except Terminated:
            raise
        except KeyboardInterrupt:
            asking.cancel()
            is_stopped = True
        answer = asking.result()
    except BaseException:
        asking.cancel()
        if shown:
            _show(chat, "\n")
        raise
    if answer.text.startswith(shown):  # the pieces that came after Ctrl-C
        _show(chat, answer.text[len(shown) :])
    return answer, is_stopped


def _show(chat: Chat, piece: str) -> None:
    if not chat.as_json:
        print(piece, end="", flush=True)


def _print_best(answer: Answer) -> None:
    """One line: the best moment, and how many more there are."""
    if answer.evidence:
        best, more = answer.evidence[0], len(answer.evidence) - 1
        rest = f", {more} more" if more else ""
        print(f"   evidence  {span(best.start_s, best.end_s)} ({best.score:.0%}){rest}")
