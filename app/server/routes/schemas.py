"""What requests may hold: every number finite and bounded, every text and list too.

One class a body.  What of it a take can do is known to the take, which refuses the rest in words.
What answers hold is in `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from longtake.models.decode import Decoding

MOST_S = 1e8  # three years of stream
MOST_TEXT = 8000  # letters of a question or condition
MOST_TOKENS = 4096  # of an answer
LEAST_TOP_P = 0.001  # in place of 0, which is sent for the likeliest token alone

Seconds = Annotated[float, Field(ge=0, le=MOST_S, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TakeId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Name = Annotated[str, Field(max_length=64)]
Words = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]
TopK = Annotated[int, Field(ge=1, le=4096)]
Number = Annotated[int, Field(ge=0, le=(1 << 62))]
Span = Annotated[list[Seconds], Field(min_length=2, max_length=2)]


class Body(BaseModel):
    """A field that is not known is a mistake, and not passed over; so is one of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def spoken(usual: Decoding, given: Mapping[str, Any]) -> Decoding:
    """As a take speaks, with what is given and not None."""
    changes = {name: value for name, value in given.items() if value is not None}
    if "top_p" in changes:
        changes["top_p"] = max(LEAST_TOP_P, changes["top_p"])
    return replace(usual, **changes)


class Speaking(Body):
    """How an answer is spoken; what is not given is as the take speaks."""

    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None

    def decoding(self, usual: Decoding) -> Decoding | None:
        """None where nothing is asked for."""
        names = ("max_tokens", "temperature", "top_p", "repetition_penalty", "seed")
        given = {name: getattr(self, name) for name in names}
        return spoken(usual, given) if any(v is not None for v in given.values()) else None


class OpenTake(Body):
    """A new take.  What is not given is as the server's operator settled it."""

    id: TakeId | None = Field(default=None, description="Its name; none: made up.")
    model: Annotated[str, Field(max_length=500)] | None = Field(
        default=None, description="One of GET /v1/models."
    )
    fps: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False)] | None = None
    window_s: Annotated[float, Field(gt=0, le=36000, allow_inf_nan=False)] | None = None
    top_k: TopK | None = None
    mode: Annotated[str, Field(max_length=32)] | None = None
    recall: Annotated[str, Field(max_length=500)] | None = None
    evidence: Annotated[int, Field(ge=1, le=64)] | None = None
    dialogue_tokens: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    ram_bytes: Annotated[int, Field(ge=0, le=1 << 50)] | None = Field(
        default=None, description="At most as much as the operator gives a take."
    )
    disk_bytes: Annotated[int, Field(ge=1, le=1 << 60)] | None = Field(
        default=None, description="At most as much as the operator gives a take."
    )
    ladder: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="What becomes of old chunks, such as int8,kivi4,picture,gone."
    )
    decoding: Speaking | None = None

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"id": "kitchen", "fps": 1, "window_s": 8, "top_k": 4}]},
    )


class Ask(Speaking):
    """A question to a take."""

    question: Words
    conversation: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, description="Name of a dialogue that it continues."
    )
    between_s: Span | None = Field(
        default=None, description="Recall only from between these two times."
    )
    at_s: Seconds | None = Field(
        default=None, description="Answer as if nothing later had been seen."
    )
    choices: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=64)
    ] = Field(default=[], description="The answer is exactly one of these.")
    top_k: TopK | None = None
    deadline_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] | None = Field(
        default=None, description="From now; what there is then is the answer, marked partial."
    )
    stream: bool = Field(
        default=False, description="Server-sent events: piece, then answer or error."
    )

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"question": "What colour was the ring?"},
                {"question": "Is the door open?", "choices": ["yes", "no"], "deadline_s": 2},
            ]
        },
    )


class Stretch(Body):
    """A span of the stream, its ends included."""

    start_s: Seconds
    end_s: Seconds

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"start_s": 2, "end_s": 3.5}]}
    )


class Forget(Stretch):
    """A span that goes for good."""

    camera: Name | None = Field(default=None, description="Only what this one saw; none: all.")

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"start_s": 0, "end_s": 0.5}]}
    )


class AddSource(Body):
    """A camera or a stream that is to be watched."""

    address: Annotated[str, Field(min_length=1, max_length=2000)]
    camera: Name = ""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"address": "rtsp://cam.example/main", "camera": "door"}]},
    )


class Probe(Body):
    """An address that is to be looked at, and not watched."""

    address: Annotated[str, Field(min_length=1, max_length=2000)]

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"address": "rtsp://cam.example/main"}]},
    )


class Box(Body):
    """A rectangle that nobody may see, in shares of the picture, from its top left."""

    camera: Name = Field(default="", description="Empty: of all cameras.")
    x: Share
    y: Share
    width: Share
    height: Share


class Polygon(Body):
    """Corners in order around it, in shares of the picture, from its top left."""

    camera: Name = Field(default="", description="Empty: of all cameras.")
    points: Annotated[
        list[Annotated[list[Share], Field(min_length=2, max_length=2)]],
        Field(min_length=3, max_length=64),
    ]


class SetMasks(Body):
    """All masks of a take, from now on; an empty list takes them away."""

    masks: Annotated[list[Box | Polygon], Field(max_length=64)]

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"masks": [{"x": 0, "y": 0, "width": 0.2, "height": 0.1}]}]
        },
    )


class AddAlert(Body):
    """A standing question."""

    condition: Words
    every_s: Annotated[float, Field(ge=0.001, le=MOST_S, allow_inf_nan=False)] = 1.0
    cooldown_s: Seconds = 30.0
    confirm: Annotated[int, Field(ge=1, le=1000)] = 2
    threshold: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"condition": "Is there a red ring?", "every_s": 2}]},
    )


class ChangeAlert(Body):
    """What is to become of an alert."""

    paused: bool

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"paused": True}]}
    )


class Narrate(Speaking):
    """Lines about what is seen from now on."""

    request: Words | None = None
    every_s: Annotated[float, Field(ge=0.001, le=MOST_S, allow_inf_nan=False)] = 1.0
    rule: Literal["livestar", "silence", "always"] | None = None

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"every_s": 5, "rule": "always"}]},
    )


class Part(BaseModel):
    """Of a message; clients may send more."""

    model_config = ConfigDict(strict=True)


class TextPart(Part):
    """A piece of a message."""

    type: Annotated[str, Field(max_length=64)]
    text: Annotated[str, Field(max_length=MOST_TEXT)] | None = None


class ChatMessage(Part):
    """One message of a dialogue."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: (
        Annotated[str, Field(max_length=MOST_TEXT)]
        | Annotated[list[TextPart], Field(max_length=64)]
        | None
    ) = None


class StreamOptions(Part):
    """Of a streamed completion."""

    include_usage: bool = False


class Chat(BaseModel):
    """OpenAI's request; `take` and what follows it come through a client's ``extra_body``."""

    model: Annotated[str, Field(min_length=1, max_length=500)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=256)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    n: int | None = None
    take: TakeId | None = Field(
        default=None, description="The take to ask; none: the only one, or live."
    )
    between_s: Span | None = None
    at_s: Seconds | None = None
    top_k: TopK | None = None

    # OpenAI's clients send more than these; what would change an answer is refused by name.
    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "model": "embedded",
                    "messages": [{"role": "user", "content": "What colour was the ring?"}],
                    "take": "live",
                }
            ]
        },
    )

    @property
    def others(self) -> dict[str, Any]:
        """What came beside these fields."""
        return self.model_extra or {}
