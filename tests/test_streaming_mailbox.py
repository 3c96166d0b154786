"""The hand-over between threads: bounded, in order, every frame accounted for."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.streaming.frame import Frame
from longtake.streaming.mailbox import Mailbox

WAIT_S = 10.0  # a deadline for what should happen at once; never slept
PICTURE = np.zeros((1, 1, 3), np.uint8)


def frame(number: float) -> Frame:
    return Frame(float(number), PICTURE)


def numbers(frames: list[Frame]) -> list[int]:
    return [int(frame.pts_s) for frame in frames]


@given(st.integers(1, 4), st.lists(st.integers(0, 3), max_size=40))
def test_every_frame_is_taken_dropped_or_waiting_and_the_newest_stay(
    capacity: int, takes: list[int]
) -> None:
    mailbox = Mailbox(capacity, "newest")
    taken: list[int] = []
    for number, count in enumerate(takes):
        assert mailbox.put(frame(number))
        assert len(mailbox) <= capacity
        if count:
            taken += numbers(mailbox.take(count))
        assert mailbox.received == mailbox.taken + sum(mailbox.dropped.values()) + len(mailbox)
    waiting = len(mailbox)
    rest = numbers(mailbox.take(capacity))
    assert rest == list(range(len(takes)))[len(takes) - waiting :]
    assert taken + rest == sorted(set(taken + rest))


def test_wait_loses_nothing_between_two_threads() -> None:
    mailbox = Mailbox(2, "wait")
    taken: list[int] = []

    def read() -> None:
        for number in range(200):
            mailbox.put(frame(number))
        mailbox.close()

    reader = threading.Thread(target=read)
    reader.start()
    while frames := mailbox.take(3, wait_s=WAIT_S):
        taken += numbers(frames)
    reader.join(WAIT_S)
    assert taken == list(range(200))
    assert mailbox.dropped == {}


def test_closing_lets_a_waiting_put_go_and_keeps_what_lies_there() -> None:
    mailbox = Mailbox(1, "wait")
    assert mailbox.put(frame(0))
    answers: list[bool] = []
    putter = threading.Thread(target=lambda: answers.append(mailbox.put(frame(1))))
    putter.start()
    mailbox.close()
    putter.join(WAIT_S)
    assert answers == [False]
    assert numbers(mailbox.take(5)) == [0]
    assert mailbox.take(5, wait_s=None) == []
    assert not mailbox.put(frame(2))


def test_a_stop_event_lets_a_waiting_put_go() -> None:
    mailbox, stop = Mailbox(1, "wait"), threading.Event()
    assert mailbox.put(frame(0), stop)
    answers: list[bool] = []
    putter = threading.Thread(target=lambda: answers.append(mailbox.put(frame(1), stop)))
    putter.start()
    stop.set()
    putter.join(WAIT_S)
    assert answers == [False]
    assert mailbox.received == 1


def test_the_callback_may_take_what_was_just_put() -> None:
    seen: list[int] = []
    mailbox = Mailbox(1, "wait", on_item=lambda: seen.extend(numbers(mailbox.take(1))))
    for number in range(3):
        assert mailbox.put(frame(number))
    assert seen == [0, 1, 2]


def test_what_is_emptied_on_purpose_counts_by_its_reason() -> None:
    mailbox = Mailbox(3, "newest")
    for number in range(5):
        mailbox.put(frame(number))
    assert mailbox.drop_all("forgotten") == 3
    assert mailbox.dropped == {"full": 2, "forgotten": 3}
    assert mailbox.take(1) == []


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="capacity=0"):
        Mailbox(0)
    with pytest.raises(ValueError, match="policy='oldest'"):
        Mailbox(1, "oldest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_items=0"):
        Mailbox(1).take(0)
