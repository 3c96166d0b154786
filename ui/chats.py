"""What visitors asked and were answered, so that a page that is loaded again shows it again.

Bounded: of visitors that came last, and of each one's last turns.  A visitor is whoever knows the
name that his browser made up.  Lives on one event loop, but for `Chats.forget`; how a turn looks is
known to `messages`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from longtake.ui.needs import Answering, Reply

MOST_CHATS = 200
MOST_TURNS = 40


@dataclass(slots=True)
class Turn:
    """A question and what became of it."""

    question: str
    between_s: tuple[float, float] | None = None
    text: str = ""  # of the answer, as far as it has come
    reply: Reply | None = None  # None: not there yet, or never
    trouble: str = ""  # what went wrong, in words
    answering: Answering | None = None  # while it is spoken

    @property
    def is_over(self) -> bool:
        return self.reply is not None or bool(self.trouble)

    def stop(self) -> None:
        """End its answer, where one is on its way."""
        if self.answering is not None:
            self.answering.stop()


@dataclass(slots=True)
class Chat:
    """Of one visitor about one take."""

    take: str
    conversation: str | None  # name of the dialogue that the take remembers
    turns: list[Turn] = field(default_factory=list)

    def add(self, turn: Turn) -> None:
        """One more; the oldest goes, and what it still says is ended."""
        for gone in self.turns[: max(0, len(self.turns) + 1 - MOST_TURNS)]:
            gone.stop()
        self.turns.append(turn)
        del self.turns[:-MOST_TURNS]


class Chats:
    """All of them.  A visitor who does not name himself gets one that nobody finds again."""

    def __init__(self) -> None:
        self._chats: OrderedDict[tuple[str, str], Chat] = OrderedDict()
        self._cleared = 0
        self._lock = threading.Lock()

    def find(self, take: str, visitor: str | None) -> Chat:
        if visitor is None:
            return Chat(take, None)
        with self._lock:
            chat = self._chats.setdefault((take, visitor), Chat(take, f"page-{visitor}"))
            self._chats.move_to_end((take, visitor))
            while len(self._chats) > MOST_CHATS:
                self._chats.popitem(last=False)
        return chat

    def clear(self, take: str, visitor: str | None) -> None:
        """The next question begins a new dialogue."""
        chat = self.find(take, visitor)
        if visitor is not None:
            self._cleared += 1
            with self._lock:
                self._chats[take, visitor] = Chat(take, f"page-{visitor}-{self._cleared}")
        chat.turns.clear()

    def forget(self, take: str) -> None:
        """Nothing that was asked or answered about a take stays; answers on their way end.  From
        any thread."""
        with self._lock:
            chats = [chat for (of, _), chat in self._chats.items() if of == take]
        for chat in chats:
            turns, chat.turns = chat.turns, []
            for turn in turns:
                turn.stop()
