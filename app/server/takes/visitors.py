"""What visitors may name: network cameras as sources, and what the operator allows beside them;
text-image models that the operator chose.

Sorted by the text alone: nothing is opened or looked up, so that nobody learns here which paths
exist.  Which hosts of the network may be reached is known to `streaming.passage`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from longtake.strategies.parse import plan
from longtake.streaming.addresses import has_scheme
from longtake.streaming.capture_config import CaptureConfig
from longtake.streaming.errors import SourceForbidden, redact

SCHEMES = ("rtsp", "rtsps", "http", "https")
DEVICES, FILES = "devices", "files"  # words of `ServeConfig.allow_sources`
MOST_LETTERS = 2000  # of an address


def network_rules(allow: Sequence[str]) -> tuple[str, ...]:
    """Of what an operator allows: hosts and networks, without our own words."""
    return tuple(word for word in allow if word not in (DEVICES, FILES))


def is_network(address: str) -> bool:
    """Whether it is a network camera's address, of a kind that visitors may name."""
    return has_scheme(address) and address.partition(":")[0].lower() in SCHEMES


def check_address(address: str, allow: Collection[str]) -> None:
    """Whether a visitor may name this.

    Raises:
        ValueError: if it is empty, or no text that an address can be.
        SourceForbidden: if it is of a kind that he may not name; says who can allow it.
    """
    text = address.strip()
    if not text:
        raise ValueError("the address is empty: write one such as rtsp://camera.example/main")
    if len(text) > MOST_LETTERS:
        raise ValueError(f"an address of {len(text)} letters: at most {MOST_LETTERS}")
    for place, letter in enumerate(text, start=1):
        if not letter.isprintable():
            raise ValueError(
                f"the address holds U+{ord(letter):04X} as its letter {place}, which cannot be "
                "printed: write it without"
            )
    if is_network(text):
        return
    if text.lower().startswith(("webcam:", "/dev/")):
        if DEVICES not in allow:
            raise SourceForbidden(_refusal(text, "cameras of the server's machine", DEVICES))
        return
    if has_scheme(text) or text == "-":
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise SourceForbidden(f"{redact(text)}: is of no kind that visitors may name: {known}")
    if FILES not in allow:
        raise SourceForbidden(_refusal(text, "files of the server's machine", FILES))


def check_recall(wished: str, usual: str) -> None:
    """Whether a visitor may have a take recall so: a text-image model is loaded from this machine's
    disk or from the hub, and only the operator chooses which.

    Raises:
        ValueError: if it is not understood, or names such a model that `usual` does not.
    """
    known = plan(usual).models
    for model in plan(wished).models:
        if model not in known:
            may = f"this server has {', '.join(known)}" if known else "this server has none"
            raise ValueError(
                f"recall {redact(wished)!r}: visitors may name only text-image models that the "
                f"operator chose, and {may}; leave it out, or choose among model, recent:N, "
                "uniform:N and times"
            )


def as_visitor(capture: CaptureConfig) -> CaptureConfig:
    """Settings for a source that a visitor names: no option and no kind of address of his own."""
    return replace(capture, av_options={}, allow=frozenset())


def _refusal(text: str, what: str, word: str) -> str:
    return (
        f"{redact(text)}: {what} are not for visitors; the operator of this server can allow "
        f"them: --allow-source {word}. Upload the video, or name one of {', '.join(SCHEMES)}"
    )
