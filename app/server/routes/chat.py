"""OpenAI's words for a question, and for its answer; pure.

A request's last message is the question, a system message stands before it as text, and earlier
ones are the dialogue.  What a take cannot do is refused by name rather than passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from longtake.answer import Answer
from longtake.models.decode import Decoding
from longtake.server.routes.errors import Problem
from longtake.server.routes.schemas import MOST_TEXT, Chat, ChatMessage, spoken
from longtake.server.routes.shown import answer_json

LENGTH, STOP = "length", "stop"

# Sent by clients, of no meaning to an answer.
_PASSED_OVER = frozenset(
    ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
     "prompt_cache_retention", "parallel_tool_calls", "extra_body")
)  # fmt: skip
_INSTEAD = {
    "tools": "this server calls no functions; ask for one of some words with choices at "
    "POST /v1/takes/{take}/ask",
    "functions": "this server calls no functions",
    "tool_choice": "this server calls no functions",
    "function_call": "this server calls no functions",
    "logprobs": "probabilities are told of choices: POST /v1/takes/{take}/ask",
    "top_logprobs": "probabilities are told of choices: POST /v1/takes/{take}/ask",
    "response_format": "answers are text; for one of some words use choices at "
    "POST /v1/takes/{take}/ask",
    "stop": "answers end by themselves, or at max_tokens",
    "frequency_penalty": "leave it out, or 0",
    "presence_penalty": "leave it out, or 0",
    "logit_bias": "leave it out",
    "modalities": "answers are text",
    "audio": "answers are text",
}
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "stop": ("", []),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is asked, and what was said before."""

    question: str
    turns: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """All words of it."""
        return "\n".join([*(word for turn in self.turns for word in turn), self.question])


def check(chat: Chat) -> None:
    """Raises Problem for what would be passed over otherwise."""
    if chat.n not in (None, 1):
        raise _unsupported("n", f"n={chat.n}: one answer at a time; ask again for another one")
    for name, value in chat.others.items():
        if value is None or name in _PASSED_OVER:
            continue
        harmless = _HARMLESS.get(name, ())
        if any(value == each and type(value) in (type(each), int, float) for each in harmless):
            continue
        instead = _INSTEAD.get(name, "this server does not know it; leave it out")
        raise _unsupported(name[:64], f"{name[:64]}: {instead}")


def dialogue(messages: Sequence[ChatMessage]) -> Dialogue:
    """Messages as earlier turns and a question.  Raises Problem for those that make none."""
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    asked: list[str] = []
    for place, message in enumerate(messages):
        text = _text(message, f"messages.{place}")
        if message.role in ("system", "developer"):
            system += [text] if text.strip() else []
        elif message.role == "user":
            asked.append(text)
        elif asked:
            turns.append(("\n".join(asked), text))
            asked = []
        elif turns:
            turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n{text}")
        else:
            raise Problem(
                400, "invalid_value",
                f"messages.{place}: an assistant's message stands before any of a user; begin with "
                "what the user said", "messages",
            )  # fmt: skip
    question = "\n".join(asked)
    if not question.strip():
        said = "messages: the last one must be a user's, with some words: the question"
        raise Problem(400, "invalid_value", said, "messages")
    question = "\n".join([*system, question])
    if len(question) > MOST_TEXT:
        said = f"messages: the question and system text have {len(question)} letters; at most "
        raise Problem(400, "too_long", f"{said}{MOST_TEXT}", "messages")
    return Dialogue(question, tuple(turns))


def decoding(chat: Chat, usual: Decoding) -> Decoding:
    """As the request says, else as the take speaks."""
    given = {
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "seed": chat.seed,
        "max_tokens": chat.max_completion_tokens or chat.max_tokens,
    }
    return spoken(usual, given)


def finish_reason(answer: Answer, spoken_by: Decoding) -> str:
    is_full = answer.partial and answer.timings.tokens >= spoken_by.max_tokens
    return LENGTH if is_full else STOP


def beside(take: str, answer: Answer) -> dict[str, Any]:
    """The field `longtake`: what OpenAI's format has no place for."""
    said = answer_json(take, answer)
    return {name: value for name, value in said.items() if name not in ("question", "text")}


def usage(prompt_tokens: int, answer: Answer) -> dict[str, int]:
    said_tokens = answer.timings.tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": said_tokens,
        "total_tokens": prompt_tokens + said_tokens,
    }


def _text(message: ChatMessage, where: str) -> str:
    if message.role in ("tool", "function"):
        raise _unsupported("messages", f"{where}: {_INSTEAD['functions']}")
    if message.content is None:
        return ""
    if isinstance(message.content, str):
        return message.content
    for number, part in enumerate(message.content):
        if part.type == "text" and part.text is None:
            said = f"{where}.content.{number}: text is missing; a part of type 'text' has it"
            raise Problem(400, "invalid_value", said, "messages")
        if part.type != "text":
            said = (
                f"{where}: a part of type {part.type!r}; words alone can be asked, and pictures "
                "are shown to a take with POST /v1/takes/{take}/frames"
            )
            raise _unsupported("messages", said)
    return "".join(part.text or "" for part in message.content)


def _unsupported(param: str, said: str) -> Problem:
    return Problem(400, "unsupported", said, param)
