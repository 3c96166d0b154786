"""What a chat holds, and its commands: the lines that begin with a slash.

How lines are read, and how questions are answered, is not known here.
"""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from longtake.cli.flags import seconds
from longtake.cli.live_line import in_words, name_of
from longtake.cli.show import Told, answer_json, print_evidence, write_pictures
from longtake.ui.view import bytes_text, clock, span

if TYPE_CHECKING:
    from longtake.live_watch import LiveWatch
    from longtake.take import Take

SCHEMA = "longtake.chat/1"
MAX_TOLD = 1000  # answers that /save can write; of all but the last without pictures


@dataclass(kw_only=True, slots=True)
class Chat:
    """One dialogue as it stands."""

    take: Take
    subject: str  # what is talked about: the videos, or the memory
    cameras: Sequence[LiveWatch] = ()  # that go on while one talks
    as_json: bool = False
    between_s: tuple[float, float] | None = None
    at_s: float | None = None
    told: deque[Told] = field(default_factory=lambda: deque(maxlen=MAX_TOLD))  # the newest
    answers: int = 0  # of this chat, whether still held or not
    saved: set[Path] = field(default_factory=set)  # files that may be written again
    has_ended: bool = False

    @property
    def is_live(self) -> bool:
        return bool(self.cameras)

    def tell(self, told: Told) -> None:
        """Keep an answer; the one before it gives its pictures back."""
        if self.told:
            before = self.told.pop()
            bare = tuple(replace(m, thumbnail=None) for m in before.answer.evidence)
            self.told.append(Told(replace(before.answer, evidence=bare), before.pictures))
        self.told.append(told)
        self.answers += 1


class Command(NamedTuple):
    """One command; its arguments are words."""

    do: Callable[[Chat, Sequence[str]], None]
    arguments: str
    most: int  # arguments
    about: str


def obey(chat: Chat, line: str) -> None:
    """Do what a line that begins with a slash says; what it prints is no answer to ``--json``.

    Raises:
        ValueError: if there is no such command, or its arguments make no sense.
        OSError: if a file cannot be written.
    """
    try:
        name, *words = shlex.split(line)
    except ValueError:
        raise ValueError(f"{line}: a quote is opened and not closed") from None
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "/help lists the commands"
        raise ValueError(f"{name}: no such command; {hint}")
    if len(words) > command.most:
        raise ValueError(f"{line}: too many words; it is {name} {command.arguments}".rstrip())
    with redirect_stdout(sys.stderr) if chat.as_json else nullcontext():
        command.do(chat, words)
        sys.stdout.flush()


def _help(chat: Chat, words: Sequence[str]) -> None:
    usages = {f"{name} {command.arguments}": command.about for name, command in COMMANDS.items()}
    width = max(map(len, usages))
    for usage, about in usages.items():
        print(f"  {usage:<{width}}  {about}")
    print("Any other line is a question.  Ctrl-C stops an answer, Ctrl-D ends the chat.")


def _evidence(chat: Chat, words: Sequence[str]) -> None:
    if not chat.told:
        raise ValueError("/evidence: there is no answer yet; ask something first")
    told, pictures = chat.told[-1], []
    if words:
        folder = Path(words[0]).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        pictures = write_pictures(folder, chat.answers - 1, told.answer.evidence)
    if not told.answer.evidence:
        print("   evidence  none")
    newest_s = chat.take.stats().newest_s
    print_evidence(Told(told.answer, pictures), newest_s, is_live=chat.is_live)


def _between(chat: Chat, words: Sequence[str]) -> None:
    if _is_off(words):
        chat.between_s = None
        print("recall from the whole take")
        return
    if len(words) != 2:
        raise ValueError(f"/between {words[0]}: needs two times, such as /between 1:30 2:00")
    first_s, last_s = (_time("/between", word) for word in words)
    newest_s = chat.take.stats().newest_s
    if last_s < first_s:
        raise ValueError(f"/between {' '.join(words)}: the second time must not be earlier")
    if first_s > newest_s:
        raise ValueError(f"/between {' '.join(words)}: the take ends at {clock(newest_s)}")
    chat.between_s = first_s, last_s
    print(f"recall from {clock(first_s)} to {clock(last_s)} only")


def _at(chat: Chat, words: Sequence[str]) -> None:
    chat.at_s = None if _is_off(words) else _time("/at", words[0])
    if chat.at_s is None:
        print("all that was seen is known")
    else:
        print(f"answers are as of {clock(chat.at_s)}")


def _is_off(words: Sequence[str]) -> bool:
    return not words or list(words) == ["off"]


def _time(name: str, word: str) -> float:
    read_s = seconds(name, word)
    assert read_s is not None
    return read_s


def _model(chat: Chat, words: Sequence[str]) -> None:
    adapter, pace = chat.take.adapter, chat.take.pace
    if words:
        raise ValueError(
            f"/model {words[0]}: what was seen belongs to the model that saw it "
            f"({adapter.name}); for another one: longtake chat --model {words[0]} VIDEO, with a "
            "--memory of its own"
        )
    dtype = str(adapter.dtype).removeprefix("torch.")
    print(f"model   {adapter.name} ({adapter.family}), {dtype} on {adapter.device}")
    print(f"sees    {pace.fps:g} frames/s")
    print(f"window  {pace.window_s:g} s ({pace.window_tokens} tokens)")
    print(f"top-k   {pace.top_k} chunks recalled a layer")
    turns = f"at most {pace.dialogue_tokens} tokens" if pace.dialogue_tokens else "none"
    print(f"turns   {turns} of what was said before")
    if adapter.recipe.note:
        print(f"limits  {adapter.recipe.note}")


def _stats(chat: Chat, words: Sequence[str]) -> None:
    stats = chat.take.stats()
    print(f"seen    {stats.frames} frames by this run; {stats.chunks} chunks in the take")
    print(f"length  {clock(stats.newest_s)}")
    print(f"window  {stats.window_tokens} tokens, {bytes_text(stats.device_bytes)} on the device")
    held = (
        bytes_text(stats.ram_bytes),
        bytes_text(stats.index_bytes),
        bytes_text(stats.disk_bytes),
    )
    print("memory  {} of chunks and {} of index in RAM, {} on disk".format(*held))
    dropped = ", ".join(f"{count} {reason}" for reason, count in stats.dropped.items() if count)
    if dropped:
        print(f"dropped {dropped}")
    print(f"answers {chat.answers}")


def _status(chat: Chat, words: Sequence[str]) -> None:
    if not chat.cameras:
        print("no camera is watched")
    for camera in chat.cameras:
        stats = camera.stats()
        print(f"{name_of(stats)}  {in_words(stats)}")


def _save(chat: Chat, words: Sequence[str]) -> None:
    if not words:
        raise ValueError("/save: needs a name, such as /save talk.md or /save talk.jsonl")
    path = Path(words[0]).expanduser()
    is_ours = path.resolve() in chat.saved
    text = _as_lines(chat) if path.suffix == ".jsonl" else _as_markdown(chat)
    try:
        with path.open("w" if is_ours else "x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"/save {path}: it exists and is not of this chat; name another") from None
    chat.saved.add(path.resolve())
    print(f"{path}: {len(chat.told)} answers")


def _as_lines(chat: Chat) -> str:
    objects = ({"schema": SCHEMA, **answer_json(told)} for told in chat.told)
    return "".join(f"{json.dumps(one)}\n" for one in objects)


def _as_markdown(chat: Chat) -> str:
    """Answers are quoted, so that no sign in them counts as a heading."""
    parts = [f"# About {chat.subject}", f"Answered by {chat.take.adapter.name}."]
    for told in chat.told:
        answer = told.answer
        parts.append(f"## {answer.question}")
        parts.append("\n".join(f"> {line}".rstrip() for line in answer.text.splitlines() or [""]))
        said = ", ".join(f"{span(m.start_s, m.end_s)} ({m.score:.0%})" for m in answer.evidence)
        cut = " Cut short." if answer.partial else ""
        parts.append(f"Evidence: {said or 'none'}; as of {clock(answer.as_of_s)}.{cut}")
    return "\n\n".join(parts) + "\n"


def _quit(chat: Chat, words: Sequence[str]) -> None:
    chat.has_ended = True


COMMANDS: Mapping[str, Command] = {
    "/help": Command(_help, "", 0, "this list"),
    "/evidence": Command(
        _evidence, "[DIR]", 1, "all evidence of the last answer; its pictures into DIR"
    ),
    "/between": Command(
        _between, "[A B]", 2, "recall only from between two times; alone or off: from all"
    ),
    "/at": Command(_at, "[T]", 1, "answer as if nothing later had been seen; alone or off: all"),
    "/model": Command(_model, "", 1, "the model, its window and its limits"),
    "/status": Command(_status, "", 0, "how each camera stands"),
    "/stats": Command(_stats, "", 0, "what was seen, and what it takes"),
    "/save": Command(_save, "FILE", 1, "the dialogue as Markdown, or JSON lines (.jsonl)"),
    "/quit": Command(_quit, "", 0, "end; so does Ctrl-D"),
}
