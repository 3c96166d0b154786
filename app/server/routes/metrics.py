"""What Prometheus is told: how takes stand when it asks, and how long answers took.

Names are ``longtake_*`` with units.  Labels are takes, cameras, reasons and tiers: bounded, and
never an address or a word that somebody typed as a question.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from longtake.answer import Answer
from longtake.server.routes.errors import problem_of
from longtake.wording import one_line

if TYPE_CHECKING:
    from longtake.server.takes.hall import Hall
    from longtake.server.takes.hosted import Hosted

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_log = logging.getLogger(__name__)


class Spent:
    """How long answers took, and what is under way; its registry has nobody else's numbers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._first = Histogram(
            "longtake_answer_first_token_seconds",
            "From a question's turn to its answer's first token.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._total = Histogram(
            "longtake_answer_seconds",
            "From a question's turn to its whole answer.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "longtake_answer_tokens", "Tokens of all answers.", registry=self.registry
        )
        self._partial = Counter(
            "longtake_answers_partial", "Answers that were cut short.", registry=self.registry
        )
        self._failed = Counter(
            "longtake_questions_failed",
            "Questions that were refused or failed, by the error's code.",
            ["code"],
            registry=self.registry,
        )
        self.streams = Gauge(
            "longtake_event_streams", "Readers of event streams.", registry=self.registry
        )
        ProcessCollector(namespace="longtake", registry=self.registry)
        self._lock = threading.Lock()
        self._heard: WeakSet[Hosted] = WeakSet()

    def listen(self, hosted: Hosted) -> None:
        """Count all questions of a take, whoever asks.  May be called again."""
        with self._lock:
            if hosted in self._heard:
                return
            self._heard.add(hosted)
        hosted.on_answer.add(self._add)
        hosted.on_failure.add(self._fail)

    def _add(self, answer: Answer) -> None:
        self._first.observe(answer.timings.first_token_s)
        self._total.observe(answer.timings.total_s)
        self._tokens.inc(answer.timings.tokens)
        if answer.partial:
            self._partial.inc()

    def _fail(self, error: Exception) -> None:
        self._failed.labels(problem_of(error).code).inc()


class Takes(Collector):
    """How the takes stand at this moment."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def describe(self) -> Iterable[Metric]:
        """Nothing is computed when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        hosted = self._hall.all()
        asking = GaugeMetricFamily(
            "longtake_questions_open", "Questions that wait or are being answered."
        )
        asking.add_metric([], sum(each.questions_open for each in hosted))
        yield asking
        sockets = GaugeMetricFamily("longtake_sockets", "WebSockets that are open.")
        sockets.add_metric([], self._hall.sockets)
        yield sockets
        open_takes = GaugeMetricFamily("longtake_takes", "Takes that are open.")
        open_takes.add_metric([], len(hosted))
        yield open_takes
        told = [(each.id, _state(each)) for each in hosted]
        states = [(take, state) for take, state in told if state is not None]
        for name, kind, text, labels, read in _ROWS:
            family = kind(name, text, labels=["take", *labels])
            for take, state in states:
                for values, number in read(state):
                    family.add_metric([take, *values], number)
            yield family
        yield from _counted(hosted)


def _counted(hosted: Sequence[Hosted]) -> Iterator[Metric]:
    """What goes on counting when a source, or an alert, is taken away."""
    seen = CounterMetricFamily(
        "longtake_camera_frames_seen", "Frames of a camera.", labels=["take", "camera"]
    )
    dropped = CounterMetricFamily(
        "longtake_camera_frames_dropped",
        "Frames of a camera that were not kept.",
        labels=["take", "camera"],
    )
    judged = CounterMetricFamily("longtake_alerts_judged", "Judgements of alerts.", labels=["take"])
    fired = CounterMetricFamily("longtake_alerts_fired", "Events of alerts.", labels=["take"])
    for each in hosted:
        for camera, (came, lost) in each.counts().items():
            seen.add_metric([each.id, camera], came)
            dropped.add_metric([each.id, camera], lost)
        judgements, events = each.alert_counts()
        judged.add_metric([each.id], judgements)
        fired.add_metric([each.id], events)
    yield from (seen, dropped, judged, fired)


def _state(hosted: Hosted) -> Mapping[str, Any] | None:
    """None where the take was closed a moment ago."""
    try:
        return hosted.state()
    except Exception as error:
        _log.info("no numbers of take %s: %s", hosted.id, one_line(error))
        return None


_Read = Callable[[Mapping[str, Any]], Iterable[tuple[tuple[str, ...], float]]]


def _one(*path: str) -> _Read:
    def read(state: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
        value: Any = state
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return [] if value is None else [((), float(value))]

    return read


def _each(*path: str) -> _Read:
    """Of a dict of name to number."""

    def read(state: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
        value: Any = state
        for key in path:
            value = value.get(key, {})
        return [((str(name),), float(number)) for name, number in value.items()]

    return read


def _sources(key: str) -> _Read:
    """Of every camera that has this number; a camera that comes twice is counted together."""

    def read(state: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
        sums: dict[str, float] = {}
        for source in state.get("sources", ()):
            value = source.get(key)
            if isinstance(value, int | float):
                camera = str(source.get("camera", ""))
                sums[camera] = sums.get(camera, 0.0) + float(value)
        return [((camera,), value) for camera, value in sums.items()]

    return read


def _live(state: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], float]]:
    by_state: dict[str, int] = {}
    for source in state.get("sources", ()):
        by_state[str(source.get("state"))] = by_state.get(str(source.get("state")), 0) + 1
    return [((name,), float(count)) for name, count in by_state.items()]


_G, _C = GaugeMetricFamily, CounterMetricFamily
_ROWS: tuple[tuple[str, Any, str, list[str], _Read], ...] = (
    ("longtake_session_seconds", _G, "Session time.", [], _one("now_s")),
    ("longtake_frames_received", _C, "Frames that came.", [], _one("received")),
    ("longtake_frames_seen", _C, "Frames that the model saw.", [], _one("frames")),
    ("longtake_frames_dropped", _C, "Frames not seen, by reason.", ["reason"], _each("dropped")),
    ("longtake_frames_waiting", _G, "Frames on their way to the model.", [], _one("waiting")),
    ("longtake_questions_waiting", _G, "Questions that wait.", [], _one("questions_waiting")),
    ("longtake_viewers", _G, "Sockets that look at the take.", [], _one("viewers")),
    ("longtake_previews_missed", _C, "Previews that slow viewers did not get.", [],
     _one("missed")),
    ("longtake_sources", _G, "Sources, by state.", ["state"], _live),
    ("longtake_camera_frames_per_second", _G, "Frames that a camera sends.", ["camera"],
     _sources("fps")),
    ("longtake_camera_lag_seconds", _G, "Age of a camera's newest frame.", ["camera"],
     _sources("lag_s")),
    ("longtake_device_bytes", _G, "Sink and window.", [], _one("meters", "device_bytes")),
    ("longtake_index_bytes", _G, "Search vectors.", [], _one("meters", "index_bytes")),
    ("longtake_ram_bytes", _G, "Chunks in RAM.", [], _one("meters", "ram_bytes")),
    ("longtake_ram_budget_bytes", _G, "Of chunks in RAM.", [], _one("meters", "ram_budget_bytes")),
    ("longtake_disk_bytes", _G, "The memory on disk.", [], _one("meters", "disk_bytes")),
    ("longtake_disk_budget_bytes", _G, "Of the memory on disk.", [],
     _one("meters", "disk_budget_bytes")),
    ("longtake_chunks", _G, "Chunks, by where and how they are kept.", ["tier"],
     _each("meters", "tiers")),
)  # fmt: skip
