"""Standing questions: when they fire, who is told, and what they leave alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake.alerts import judge as judge_room
from longtake.alerts.alert import Alert
from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.alerts import MOST_ALERTS, Alerts
from longtake.alerts.dispatch import CAPACITY, Dispatch
from longtake.alerts.event import AlertEvent
from longtake.alerts.trigger import Trigger
from longtake.answer import Answer, Moment
from longtake.memory.events import Event
from longtake.models.embedded.world import Background, Scene, Thing
from longtake.models.loader import load
from longtake.settings import MODES
from longtake.streaming.frame import Frame
from tests import streams

SOON_S = 10.0  # whatever is awaited comes within
RING = "is there a red ring?"
CONFIG = AlertConfig(condition=RING, cooldown_s=10.0)


def event(number: int, at_s: float | None = None, name: str = "ring") -> AlertEvent:
    at_s = float(number) if at_s is None else at_s
    shown = (Moment(at_s, at_s + 1, 0.5, "door", b"jpeg"),)
    return AlertEvent(number, name, RING, at_s, at_s + 1, 1e9 + at_s, 0.75, "door", shown)


class Told:
    """A receiver that keeps what it is told, and says when it has so much."""

    def __init__(self, most: int = 1) -> None:
        self.events: list[AlertEvent] = []
        self._most, self.has_all = most, threading.Event()

    def __call__(self, told: AlertEvent) -> None:
        self.events.append(told)
        if len(self.events) >= self._most:
            self.has_all.set()


# ------------------------------------------------------------------ when it fires


def naive_events(
    judged: Sequence[tuple[float, bool]], confirm: int, cooldown_s: float
) -> list[tuple[float, float]]:
    """(at_s, fired_s), each judgement decided from all before it."""
    events: list[tuple[float, float]] = []
    last = -1
    for i, (now_s, _) in enumerate(judged):
        row = [holds for _, holds in judged[max(0, i - confirm + 1) : i + 1]]
        if len(row) < confirm or not all(row):
            continue
        between = [holds for _, holds in judged[last + 1 : i]]
        falls = [between[j : j + confirm] for j in range(len(between) - confirm + 1)]
        if last >= 0 and (
            not any(not any(fall) for fall in falls) or now_s - judged[last][0] < cooldown_s
        ):
            continue
        first = max((j + 1 for j in range(i) if not judged[j][1]), default=0)
        events.append((judged[first][0], now_s))
        last = i
    return events


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.1, 0.5, 0.9])), max_size=60),
    st.integers(1, 3),
    st.sampled_from([0.0, 3.0, 10.0]),
)
def test_it_fires_as_the_rule_says(
    steps: list[tuple[int, float]], confirm: int, cooldown_s: float
) -> None:
    threshold = 0.5
    trigger, now_s = Trigger(confirm, threshold, cooldown_s), 0.0
    judged, found = [], []
    for step_s, probability in steps:
        now_s += step_s
        judged.append((now_s, probability >= threshold))
        if (at_s := trigger.judge(now_s, probability)) is not None:
            found.append((at_s, now_s))
    assert found == naive_events(judged, confirm, cooldown_s)


def test_one_event_while_it_stays_true_and_the_next_after_it_was_false() -> None:
    trigger = Trigger(2, 0.5, 0.0)
    judged = "01100111101100110"  # a single 1 does not begin an event, a single 0 ends none
    fired = [(trigger.judge(float(t), float(p)), t) for t, p in enumerate(judged)]
    assert [pair for pair in fired if pair[0] is not None] == [(1.0, 2), (5.0, 6), (14.0, 15)]


def test_what_is_still_true_when_the_cooldown_ends_fires_then() -> None:
    trigger = Trigger(1, 0.5, 10.0)
    judged = [(0, 1), (1, 0), (4, 1), (6, 1), (9, 1), (10, 1), (11, 1)]
    assert [trigger.judge(float(t), p) for t, p in judged] == [0.0, *[None] * 4, 4.0, None]


def test_a_trigger_that_is_reset_knows_nothing() -> None:
    trigger = Trigger(2, 0.5, 100.0)
    assert [trigger.judge(t, 1.0) for t in (0.0, 1.0, 2.0)] == [None, 0.0, None]
    trigger.reset()
    assert [trigger.judge(t, 1.0) for t in (3.0, 4.0)] == [None, 3.0]


def test_a_trigger_that_is_interrupted_begins_a_new_row_and_cools_down_on() -> None:
    trigger = Trigger(2, 0.5, 10.0)
    assert trigger.judge(0.0, 1.0) is None
    trigger.interrupt()
    assert [trigger.judge(t, 1.0) for t in (1.0, 2.0)] == [None, 1.0]
    trigger.interrupt()  # it was true all the time: told again when the cooldown is over
    assert [trigger.judge(t, 1.0) for t in (3.0, 11.0, 12.0, 13.0)] == [None, None, 3.0, None]


# ------------------------------------------------------------------ what is wanted


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"condition": " ?"}, "the condition is empty"),
        ({"condition": "a\udc80"}, "no UTF-8"),
        ({"every_s": 0.0}, "every_s=0.0"),
        ({"every_s": float("nan")}, "every_s=nan"),
        ({"cooldown_s": -1.0}, "cooldown_s=-1.0"),
        ({"confirm": 0}, "confirm=0"),
        ({"threshold": 0.0}, "threshold=0.0"),
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"name": ""}, "name=''"),
        ({"name": "a\nb"}, "can be shown"),
        ({"name": "x" * 65}, "1 to 64 letters"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_once(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AlertConfig(**{"condition": RING, **wrong})


@pytest.mark.parametrize(
    ("condition", "question"),
    [
        ("is there\n a red ring? ", "is there a red ring?"),
        (
            "somebody is at the door.",
            "Is this true of what is seen now: somebody is at the door? Answer yes or no.",
        ),
    ],
)
def test_a_question_is_asked_as_it_is_and_a_claim_is_wrapped(condition: str, question: str) -> None:
    assert AlertConfig(condition=condition).question == question


def test_an_event_as_json_has_everything_but_pictures() -> None:
    assert event(3).as_json() == {
        "schema": "longtake.event/1",
        "number": 3,
        "name": "ring",
        "condition": RING,
        "at_s": 3.0,
        "fired_s": 4.0,
        "wall_s": 1e9 + 3,
        "probability": 0.75,
        "camera": "door",
        "evidence": [
            {
                "start_s": 3.0,
                "end_s": 4.0,
                "wall_s": None,
                "score": 0.5,
                "camera": "door",
                "number": None,
            }
        ],
    }


# ------------------------------------------------------------------ who is told


class Blocking:
    """A receiver that holds on to each event until it is let go."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.told: list[int] = []

    def __call__(self, told: AlertEvent) -> None:
        self.has_begun.set()
        assert self.may_end.wait(SOON_S)
        self.told.append(told.number)


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    receiver = Blocking()
    yield receiver
    receiver.may_end.set()


def test_receivers_are_told_in_order_and_one_that_raises_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[str, int]] = []

    def fails(each: AlertEvent) -> None:
        told.append(("first", each.number))
        if each.number == 2:
            raise SystemExit("no")

    dispatch = Dispatch("ring", [fails, lambda each: told.append(("second", each.number))])
    for number in (1, 2, 3):
        dispatch.put(event(number))
    assert dispatch.drain(time.monotonic() + SOON_S)
    assert told == [(who, number) for number in (1, 2, 3) for who in ("first", "second")]
    assert (dispatch.delivered, dispatch.failed, dispatch.dropped) == (2, 1, 0)
    assert "alert ring: fails failed on event 2: SystemExit: no" in caplog.text
    dispatch.finish()


def test_behind_one_that_blocks_the_oldest_are_let_go(blocking: Blocking) -> None:
    dispatch = Dispatch("ring", [blocking])
    dispatch.put(event(0))
    assert blocking.has_begun.wait(SOON_S)
    for number in range(1, CAPACITY + 6):
        dispatch.put(event(number))
    assert dispatch.dropped == 5 and not dispatch.drain(time.monotonic())
    blocking.may_end.set()
    assert dispatch.drain(time.monotonic() + SOON_S)
    assert blocking.told == [0, *range(6, CAPACITY + 6)]
    assert dispatch.delivered + dispatch.failed + dispatch.dropped == CAPACITY + 6
    dispatch.finish()


def threads_of(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == f"longtake-alert-{name}"]


@pytest.mark.parametrize("how", ["finish", "drop_all"])
def test_its_thread_ends_when_told_to(how: str) -> None:
    dispatch = Dispatch(f"ends-{how}", [lambda each: None])
    dispatch.put(event(1))
    (thread,) = threads_of(f"ends-{how}")
    assert thread.daemon
    getattr(dispatch, how)()
    thread.join(SOON_S)
    assert not thread.is_alive()
    dispatch.put(event(2))
    assert not threads_of(f"ends-{how}")
    assert dispatch.delivered + dispatch.dropped == 2


def test_without_receivers_there_is_no_thread() -> None:
    alert = Alert(CONFIG, "silent")
    alert.tell(event(1))
    assert not threads_of("silent") and alert.stats().dropped == 0
    assert alert.poll() == event(1)


def test_an_alert_can_be_cancelled_from_its_own_callback() -> None:
    told: list[int] = []

    def once(each: AlertEvent) -> None:
        told.append(each.number)
        alert.cancel()

    alert = Alert(CONFIG, "once", [once])
    for number in (1, 2, 3):
        alert.tell(event(number))
    for thread in threads_of("once"):
        thread.join(SOON_S)
    assert told == [1] and alert.is_over and not threads_of("once")
    stats = alert.stats()
    assert stats.delivered == 1 and stats.delivered + stats.dropped == stats.fired
    assert next(alert).number == 1, "what was told can still be taken"


def test_events_are_iterated_until_it_ends_and_then_what_went_wrong_is_raised() -> None:
    alert = Alert(CONFIG, "ring")
    alert.tell(event(1))
    alert.tell(event(2))
    alert.fail(OSError("the disk is gone"))
    alert.end()
    alert.tell(event(3))
    taken = []
    with pytest.raises(OSError, match="the disk is gone"):
        for each in alert:
            taken.append(each.number)
    assert taken == [1, 2] and isinstance(alert.error, OSError)


def test_whoever_waits_for_an_event_is_woken_by_the_end() -> None:
    alert, taken = Alert(CONFIG, "ring"), list[AlertEvent]()
    waiting = threading.Thread(target=lambda: taken.extend(alert), daemon=True)
    waiting.start()
    alert.tell(event(1))
    alert.cancel()
    waiting.join(SOON_S)
    assert not waiting.is_alive() and taken == [event(1)]


def test_events_that_nobody_takes_are_counted_and_the_newest_stay() -> None:
    alert = Alert(CONFIG, "ring", capacity=2)
    for number in (1, 2, 3):
        alert.tell(event(number))
    alert.end()
    assert [each.number for each in alert] == [2, 3] and alert.stats().unread == 1


def test_what_is_forgotten_is_neither_told_nor_given_out(blocking: Blocking) -> None:
    alert = Alert(CONFIG, "ring", [blocking])
    for number in (1, 10, 20):
        alert.tell(event(number))
    assert blocking.has_begun.wait(SOON_S)
    alert.forget(11.0, 15.0)  # the second one's last moment
    blocking.may_end.set()
    alert.close(time.monotonic() + SOON_S)
    assert blocking.told == [1, 20] and [each.number for each in alert] == [1, 20]
    assert alert.stats().dropped == 1 and alert.forgotten == 1


HOOK = "https://anna:hunter2@hooks.example/x?token=abc"


def test_no_credentials_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fails(each: AlertEvent) -> None:
        raise RuntimeError(f"HTTPConnectionPool: {HOOK} refused")

    alert = Alert(CONFIG, "ring", [fails])
    alert.tell(event(1))
    alert.close(time.monotonic() + SOON_S)
    Alert(CONFIG, "bell").fail(OSError(f"{HOOK} is gone"))
    assert caplog.text.count("https://***@hooks.example/x?token=***") == 2
    assert "hunter2" not in caplog.text and "abc" not in caplog.text


def test_an_event_is_logged_with_all_that_it_rests_on() -> None:
    """Forgetting any of it, by time or by camera, reaches the entry."""
    door = event(5)
    early = replace(door.evidence[0], start_s=2.0, end_s=3.0)
    entry = judge_room._entry(replace(door, evidence=(*door.evidence, early)))
    assert (entry.start_s, entry.end_s, entry.camera) == (2.0, 6.0, "door")
    assert entry.wall_s == 1e9 + 2
    yard = replace(early, start_s=4.5, camera="yard")
    entry = judge_room._entry(replace(door, evidence=(*door.evidence, yard)))
    assert (entry.start_s, entry.camera) == (4.5, "")
    bare = judge_room._entry(replace(door, evidence=(), wall_s=None))
    assert (bare.start_s, bare.camera, bare.wall_s) == (5.0, "door", None)


def test_closing_waits_for_what_is_told_and_not_for_one_that_blocks(blocking: Blocking) -> None:
    quick = Told(2)
    alerts = Alerts(FakeSession(), keep)
    slow = alerts.begin(replace(CONFIG, name="slow"), blocking)
    fast = alerts.begin(replace(CONFIG, name="fast"), quick)
    for number in (1, 2):
        slow.tell(event(number))
        fast.tell(event(number))
    assert blocking.has_begun.wait(SOON_S) and quick.has_all.wait(SOON_S)
    begun = time.monotonic()
    alerts.close(wait_s=0.05)
    assert time.monotonic() - begun < SOON_S / 2
    assert slow.stats().dropped == 1 and [each.number for each in quick.events] == [1, 2]
    assert slow.is_over and fast.is_over
    with pytest.raises(RuntimeError, match="closed"):
        alerts.begin(CONFIG)


def test_a_callback_may_close_the_alerts_of_its_take() -> None:
    closed = threading.Event()
    alerts = Alerts(FakeSession(), keep)

    def close(_each: AlertEvent) -> None:
        alerts.close(wait_s=SOON_S)
        closed.set()

    alert = alerts.begin(replace(CONFIG, name="closing"), close)
    begun = time.monotonic()
    alert.tell(event(1))
    assert closed.wait(SOON_S / 2) and time.monotonic() - begun < SOON_S / 2
    alerts.close(wait_s=SOON_S)
    assert alert.stats().delivered == 1


# ------------------------------------------------------------------ the alerts of a take


class FakeAdapter:
    def prompt(self, question: str, dialogue: Any = ()) -> Any:
        return None


class FakeSession:
    """What an alert needs before a chunk comes."""

    def __init__(self) -> None:
        self.adapter, self.listeners = FakeAdapter(), list[Any]()


@pytest.fixture(autouse=True)
def any_words_for_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    real = judge_room.spell
    monkeypatch.setattr(
        judge_room, "spell", lambda a, words: [] if isinstance(a, FakeAdapter) else real(a, words)
    )


def keep(entry: Event) -> Event:
    return replace(entry, number=1)


def test_a_take_has_so_many_alerts_and_no_more(blocking: Blocking) -> None:
    alerts = Alerts(FakeSession(), keep)
    all_of_them = [alerts.begin(CONFIG, blocking) for _ in range(MOST_ALERTS)]
    assert len({alert.name for alert in all_of_them}) == MOST_ALERTS
    with pytest.raises(ValueError, match="32 alerts are on already"):
        alerts.begin(CONFIG)
    all_of_them[3].tell(event(1))
    assert blocking.has_begun.wait(SOON_S)
    all_of_them[3].cancel()  # it is being told still, and its thread with it
    with pytest.raises(ValueError, match="32 alerts"):
        alerts.begin(CONFIG)
    all_of_them[4].cancel()
    assert alerts.begin(CONFIG).name == all_of_them[4].name
    alerts.close(0.0)


def test_those_that_are_not_over_are_known_in_their_order() -> None:
    alerts = Alerts(FakeSession(), keep)
    first, second, third = (alerts.begin(CONFIG) for _ in range(3))
    second.cancel()
    third.pause()
    assert alerts.going_on == (first, third)
    alerts.close()
    assert alerts.going_on == ()


def test_one_that_stays_outlives_the_sources_and_not_the_take() -> None:
    alerts = Alerts(FakeSession(), keep)
    goes, stays = alerts.begin(CONFIG), alerts.begin(replace(CONFIG, stays=True))
    alerts.end()
    assert goes.is_over and not stays.is_over
    alerts.finish()
    assert stays.is_over
    alerts.close()


def test_a_name_that_is_taken_is_refused() -> None:
    alerts = Alerts(FakeSession(), keep)
    alerts.begin(replace(CONFIG, name="door"))
    with pytest.raises(ValueError, match="name='door': another alert"):
        alerts.begin(replace(CONFIG, name="door"))
    assert alerts.begin(CONFIG).name == "is-there-a-red-ring"
    assert alerts.begin(replace(CONFIG, condition="???a?")).name == "a"
    alerts.close()


def test_alerts_that_are_begun_and_cancelled_leave_nobody_who_listens() -> None:
    session = FakeSession()
    session.listeners = [another := object()]
    alerts = Alerts(session, keep)
    for _ in range(50):
        alerts.begin(CONFIG).cancel()
    last = alerts.begin(CONFIG)
    assert session.listeners[0] is another and len(session.listeners) == 2
    assert session.listeners[1]._alert is last
    alerts.close()


def test_what_an_alert_of_before_still_holds_can_be_forgotten() -> None:
    alerts = Alerts(FakeSession(), keep)
    alert = alerts.begin(CONFIG)
    alert.tell(event(1))
    alert.cancel()
    alerts.begin(CONFIG)
    alerts.forget(0.0, 5.0)
    assert alert.poll() is None
    alerts.close()


# ------------------------------------------------------------------ judged over a drawn film


def scene(begin_s: float, end_s: float, *things: tuple[str, str, float]) -> Scene:
    wall = Background((120.0, 118.0, 125.0), "plain", 8.0, 0.3, 0.0, (0.0, 0.0))
    shown = [
        Thing(shape, color, 12.0, "still", begin_s, end_s, x, 48.0) for shape, color, x in things
    ]
    return Scene(begin_s, end_s, wall, 2.0, shown)


FILM = (
    scene(0, 10, ("square", "blue", 30.0)),
    scene(10, 18, ("ring", "red", 40.0), ("star", "green", 75.0)),
    scene(18, 32, ("heart", "yellow", 30.0)),
)
APPEARS_S, END_S = 10.0, 32.0
SEEN_S = 14.0  # by then it was found
FOUND_S = 11.0, 13.0  # steps of two frames; confirmed by two
LOGGED_S = 10.0, 13.0  # from the beginning of the evidence on


def frames(until_s: float = END_S, since_s: float = 0.0) -> list[Frame]:
    return [
        Frame(t, shot.draw(t), "door", 1e9 + t)
        for shot in FILM
        for t in map(float, range(int(shot.start_s), int(shot.end_s)))
        if since_s <= t < until_s
    ]


class Kept:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, entry: Event) -> Event:
        self.events.append(replace(entry, number=len(self.events) + 1))
        return self.events[-1]


@pytest.fixture(scope="module")
def embedded() -> Any:
    return load("embedded", device="cpu")


@contextmanager
def watching(adapter: Any, **changes: Any) -> Iterator[tuple[Any, Alerts, Kept]]:
    kept = Kept()
    with streams.session(adapter, **{"window_s": 8.0, **changes}) as one:
        alerts = Alerts(one, kept)
        yield one, alerts, kept
        alerts.close()


def test_a_ring_fires_once_when_it_appears_and_not_before(embedded: Any) -> None:
    told: list[AlertEvent] = []
    with watching(embedded) as (one, alerts, kept):
        alert = alerts.begin(CONFIG, told.append)
        one.see(frames(APPEARS_S))
        assert alert.poll() is None and alert.stats().judged == 5
        one.see(frames(since_s=APPEARS_S))
        first = alert.poll()
        assert first is not None and alert.poll() is None
        last = alert.stats().last_probability
    assert (first.at_s, first.fired_s) == FOUND_S
    assert first.wall_s == 1e9 + 11 and first.camera == "door" and first.number == 1
    assert first.probability > 0.9 and last is not None and last < 0.1
    assert first.evidence and APPEARS_S <= first.evidence[0].start_s <= 13.0
    assert first.evidence[0].thumbnail
    assert told == [first]
    (entry,) = kept.events
    assert (entry.kind, entry.name, entry.text) == ("alert", "is-there-a-red-ring", RING)
    assert (entry.start_s, entry.end_s, entry.camera) == (*LOGGED_S, "door")
    assert entry.wall_s == 1e9 + LOGGED_S[0]
    assert entry.score == first.probability and alert.warning == ""


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "streamingvlm"])
def test_every_mode_that_asks_in_the_templates_form_sees_it(embedded: Any, mode: str) -> None:
    """The embedded model was not trained for rounds."""
    changes = {"window_s": None} if mode == "full" else {}
    with watching(embedded, mode=mode, **changes) as (one, alerts, kept):
        alerts.begin(CONFIG)
        one.see(frames(SEEN_S))
    assert [(entry.start_s, entry.end_s) for entry in kept.events] == [LOGGED_S]


def test_what_left_the_window_is_not_seen_any_more(embedded: Any) -> None:
    """Mode recall would remember it; an alert looks at what is seen now."""
    with watching(embedded) as (one, alerts, _):
        one.see(frames())
        assert streams.answer(one, RING).text == "yes"
        alert = alerts.begin(CONFIG)
        one.see([replace(frame, pts_s=frame.pts_s + END_S) for frame in frames(8.0)])
        assert alert.stats().judged == 4 and alert.stats().fired == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_stream_is_as_if_nobody_had_judged(tiny_model: Path, mode: str) -> None:
    adapter, states = load(str(tiny_model), device="cpu"), []
    for is_judged in (False, True):
        changes = {"window_s": None} if mode == "full" else {"window_s": 4.0}
        with watching(adapter, mode=mode, **changes) as (one, alerts, _):
            if is_judged:
                alert = alerts.begin(replace(CONFIG, threshold=0.01))
            one.see(streams.frames(6))
            states.append(streams.state(one))
    assert alert.stats().judged == 6 and alert.error is None
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_it_is_judged_every_so_many_seconds_of_stream(tiny_model: Path) -> None:
    with watching(load(str(tiny_model), device="cpu")) as (one, alerts, _):
        alert = alerts.begin(replace(CONFIG, every_s=3.0))
        one.see(streams.frames(10))  # at 0, 3, 6 and 9
        assert alert.stats().judged == 4


def test_a_model_that_says_something_else_is_told_of_once(
    embedded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with watching(embedded) as (one, alerts, _):
        alert = alerts.begin(replace(CONFIG, condition="a red ring"))
        one.see(frames(8.0))
    assert "rather say 'I do not know that kind of question'" in alert.warning
    assert caplog.text.count(alert.warning) == 1 and not alert.stats().fired


def test_the_spelling_that_a_model_would_use_is_used(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are tried once; the tiny model knows them apart."""
    told: list[Answer] = []
    ask = judge_room.Judge._ask

    def listen(self: Any, *given: Any) -> Answer:
        told.append(ask(self, *given))
        return told[-1]

    monkeypatch.setattr(judge_room.Judge, "_ask", listen)
    with watching(load(str(tiny_model), device="cpu")) as (one, alerts, _):
        alerts.begin(CONFIG)
        one.see(streams.frames(3))
    first, *later = [{c.text: c.probability for c in each.choices} for each in told if each.choices]
    assert set(first) == {word for pair in judge_room.SPELLINGS for word in pair}
    best = max(judge_room.SPELLINGS, key=lambda pair: first[pair[0]] + first[pair[1]])
    assert [set(shares) for shares in later] == [set(best)] * 2


def test_a_cancelled_alert_listens_no_more(embedded: Any) -> None:
    with watching(embedded) as (one, alerts, kept):
        alert = alerts.begin(CONFIG)
        one.see(frames(4.0))
        alert.cancel()
        one.see(frames(SEEN_S, since_s=4.0))
        assert one.listeners == [] and alert.stats().judged == 2 and not kept.events


def test_a_paused_alert_is_not_judged_and_begins_a_new_row_when_resumed(embedded: Any) -> None:
    with watching(embedded) as (one, alerts, kept):
        alert = alerts.begin(CONFIG)
        alert.pause()
        one.see(frames(APPEARS_S))
        assert alert.is_paused and not alert.is_over and alert.stats().judged == 0
        alert.resume()
        one.see(frames(12.0, since_s=APPEARS_S))
        assert alert.stats().judged == 1 and alert.stats().last_probability > 0.5
        for _ in range(2):
            alert.pause()
            alert.resume()
            assert not alert.is_paused
        one.see(frames(14.0, since_s=12.0))
        assert alert.stats().judged == 2 and not kept.events, "two in a row, with a pause between"
        one.see(frames(16.0, since_s=14.0))
        told = alert.poll()
    assert told is not None and (told.at_s, told.fired_s) == (13.0, 15.0)


def test_an_alert_that_is_paused_while_it_is_judged_tells_nothing(
    embedded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(embedded) as (one, alerts, kept):
        alert = alerts.begin(replace(CONFIG, confirm=1))
        ask = judge_room.Judge._ask

        def pause(self: Any, *given: Any) -> Any:
            told = ask(self, *given)
            alert.pause()
            return told

        one.see(frames(APPEARS_S))
        monkeypatch.setattr(judge_room.Judge, "_ask", pause)
        one.see(frames(SEEN_S, since_s=APPEARS_S))
        assert alert.poll() is None and not kept.events and alert.stats().judged == 5
        monkeypatch.undo()
        alert.resume()
        one.see(frames(16.0, since_s=SEEN_S))
        assert alert.stats().fired == 1


def test_one_that_cannot_be_judged_ends_and_the_stream_and_others_go_on(
    embedded: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with watching(embedded) as (one, alerts, _):
        broken, whole = alerts.begin(replace(CONFIG, name="broken")), alerts.begin(CONFIG)
        ask = judge_room.Judge._ask

        def fail(self: Any, *given: Any) -> Any:
            if self._alert is broken:
                raise MemoryError("no room")
            return ask(self, *given)

        monkeypatch.setattr(judge_room.Judge, "_ask", fail)
        one.see(frames(SEEN_S))
        assert one.chunks == 7 and whole.stats().fired == 1
    assert isinstance(broken.error, MemoryError) and "MemoryError: no room" in caplog.text
    with pytest.raises(MemoryError):
        broken.poll()


def test_an_event_that_cannot_be_logged_is_told_all_the_same(
    embedded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def full(entry: Event) -> Event:
        raise OSError(f"no space left {HOOK}")

    with streams.session(embedded, window_s=8.0) as one:
        alerts = Alerts(one, full)
        alert = alerts.begin(CONFIG)
        one.see(frames(SEEN_S))
        told = alert.poll()
        alerts.close()
    assert told is not None and told.number == 0 and "no space left" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_callback_that_blocks_stops_neither_the_stream_nor_other_alerts(
    embedded: Any, blocking: Blocking
) -> None:
    told = Told()
    with watching(embedded) as (one, alerts, _):
        alerts.begin(replace(CONFIG, name="blocked"), blocking)
        alerts.begin(replace(CONFIG, name="free"), told)
        one.see(frames(SEEN_S))
        assert blocking.has_begun.wait(SOON_S) and one.chunks == 7
        assert told.has_all.wait(SOON_S) and not blocking.told
        blocking.may_end.set()


def test_after_a_span_was_forgotten_it_is_judged_anew(embedded: Any) -> None:
    with watching(embedded) as (one, alerts, _):
        alert = alerts.begin(replace(CONFIG, cooldown_s=1000.0))
        one.see(frames(SEEN_S))
        alerts.forget(10.0, 12.0)
        assert alert.poll() is None and alert.stats().fired == 1
        one.see(frames(18.0, since_s=SEEN_S))
        again = alert.poll()
        assert again is not None and (again.at_s, again.fired_s) == (15.0, 17.0)


def test_words_that_the_model_cannot_read_are_told_when_it_begins(embedded: Any) -> None:
    with watching(embedded) as (one, alerts, _):
        with pytest.raises(ValueError, match="at least one word"):
            alerts.begin(replace(CONFIG, condition="<|im_end|>?"))
        assert one.listeners == []
