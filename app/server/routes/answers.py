"""What answers hold, as the OpenAPI description tells it.

Routes send plain dicts; these classes say what is in them.  Fields may be added.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """Of an answer."""

    model_config = ConfigDict(extra="allow")


def _with(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="allow", json_schema_extra={"examples": [example]})


class Wrong(Told):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(Told):
    """Of every answer that is an error; OpenAI's shape."""

    error: Wrong

    model_config = _with(
        {
            "error": {
                "message": "take kitchen: is not open; there is live",
                "type": "not_found_error",
                "param": None,
                "code": "no_such_take",
            }
        }
    )


class TakeSettings(Told):
    """Rates and bounds as they are in force."""

    fps: float
    window_s: float
    top_k: int
    mode: str
    ram_bytes: int
    disk_bytes: int | None
    ladder: str


class TakeInfo(Told):
    """One take."""

    id: str
    model: str
    opened_wall_s: float
    now_s: float
    frames: int
    settings: TakeSettings

    model_config = _with(
        {
            "id": "kitchen",
            "model": "embedded",
            "opened_wall_s": 1790000000.0,
            "now_s": 83.2,
            "frames": 83,
            "settings": {
                "fps": 1.0,
                "window_s": 8.0,
                "top_k": 4,
                "mode": "recall",
                "ram_bytes": 4294967296,
                "disk_bytes": None,
                "ladder": "int8,kivi4,kivi2,picture,gone",
            },
        }
    )


class TakeList(Told):
    takes: list[TakeInfo]


class PushedInfo(Told):
    """Whether a frame was taken in."""

    accepted: bool
    reason: str
    lag_s: float

    model_config = _with({"accepted": True, "reason": "", "lag_s": 0.4})


class PictureInfo(Told):
    """A chunk as people see it."""

    number: int
    start_s: float
    end_s: float
    camera: str
    caption: str | None
    picture: str | None = Field(description="Where its JPEG is; null where it has none.")


class PictureList(Told):
    frames: list[PictureInfo]


class SourceInfo(Told):
    """Something that is watched."""

    id: str
    camera: str
    kind: str
    address: str
    state: str
    error: str


class SourceList(Told):
    sources: list[SourceInfo]


class AlertInfo(Told):
    """A standing question, and how it stands."""

    id: str
    name: str
    condition: str
    paused: bool
    judged: int
    fired: int
    probability: float | None
    warning: str
    over: bool


class AlertList(Told):
    alerts: list[AlertInfo]


class EventInfo(Told):
    """Something that happened."""

    number: int
    kind: str
    name: str
    text: str
    start_s: float
    end_s: float
    camera: str
    wall_s: float | None
    score: float | None
    picture: str | None


class EventList(Told):
    events: list[EventInfo]


class MomentInfo(Told):
    """A span that an answer rests on."""

    start_s: float
    end_s: float
    score: float
    camera: str
    wall_s: float | None
    number: int | None
    picture: str | None


class FoundInfo(Told):
    """A span that fits what was looked for."""

    start_s: float
    end_s: float
    score: float
    camera: str
    matched: list[str]
    caption: str | None
    number: int | None
    picture: str | None


class FoundList(Told):
    moments: list[FoundInfo]


class GapInfo(Told):
    start_s: float
    end_s: float
    camera: str
    reason: str


class ChoiceInfo(Told):
    text: str
    probability: float


class TimingsInfo(Told):
    """Seconds from the moment at which the question's turn came."""

    recall_s: float
    first_token_s: float
    total_s: float
    tokens: int


class AnswerInfo(Told):
    """An answer with the moments that support it."""

    take: str
    question: str
    text: str
    evidence: list[MomentInfo]
    as_of_s: float
    staleness_s: float
    coverage: float
    partial: bool
    gaps: list[GapInfo]
    choices: list[ChoiceInfo]
    mass: float | None
    timings: TimingsInfo

    model_config = _with(
        {
            "take": "kitchen",
            "question": "What colour was the ring?",
            "text": "red",
            "evidence": [
                {
                    "start_s": 12.0,
                    "end_s": 13.0,
                    "score": 0.53,
                    "camera": "",
                    "wall_s": None,
                    "number": 6,
                    "picture": "/v1/takes/kitchen/frames/6.jpg",
                }
            ],
            "as_of_s": 83.0,
            "staleness_s": 0.2,
            "coverage": 1.0,
            "partial": False,
            "gaps": [],
            "choices": [],
            "mass": None,
            "timings": {"recall_s": 0.01, "first_token_s": 0.03, "total_s": 0.05, "tokens": 2},
        }
    )


class Cancelled(Told):
    cancelled: int


class Kept(Told):
    chunks: int = Field(description="How many there are of it now.")


class ForgottenInfo(Told):
    chunks: int
    bytes: int


class MaskInfo(Told):
    camera: str
    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    fixed: bool = Field(description="The operator's: it stays, whatever masks are set.")


class MaskList(Told):
    masks: list[MaskInfo]


class Narrating(Told):
    narrating: bool


class State(Told):
    """How a take stands; the view socket sends the same."""

    kind: Literal["state"]
    take: str
    model: str
    now_s: float
    frames: int
    received: int
    waiting: int
    dropped: dict[str, int]
    viewers: int
    sources: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    meters: dict[str, Any]


class Timeline(Told):
    """A take's whole length, as a page draws it."""

    take: str
    start_s: float
    end_s: float
    now_s: float
    held: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    captions: list[dict[str, Any]]
    scenes: list[float]
    events: list[dict[str, Any]]


class Look(Told):
    """What a look at a source found, as ``longtake probe --json`` has it."""

    address: str
    warnings: list[str] = Field(description="What a person should know, in words.")


class Model(Told):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Told):
    object: Literal["list"]
    data: list[Model]


class Completion(Told):
    """OpenAI's answer, with `longtake` beside it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    longtake: dict[str, Any]


class Health(Told):
    status: str
