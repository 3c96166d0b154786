"""The newest frame of a camera: one at a time, converted once, nobody left waiting."""

import gc
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from longtake.streaming.newest import MOST_STRETCHES, Forgotten, Newest, Still

WAIT_S = 10.0  # a deadline for what should happen at once; never slept


def picture() -> NDArray[np.uint8]:
    return np.zeros((2, 3, 3), np.uint8)


def still(number: int, convert: Callable[[], NDArray[np.uint8]] = picture) -> Still:
    return Still(number, number / 10, 100 + number / 10, convert, camera="door", wall_s=5.0)


def in_threads(count: int, work: Callable[[], object]) -> list[object]:
    done: list[object] = []
    threads = [
        threading.Thread(target=lambda: done.append(work()), daemon=True) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    return done


def test_a_frame_that_nobody_asks_for_is_never_converted() -> None:
    def never() -> NDArray[np.uint8]:
        raise AssertionError("was converted")

    newest = Newest()
    for number in range(1, 5):
        newest.put(still(number, never))
    assert newest.latest is not None and newest.latest.number == 4


def test_two_that_ask_at_once_convert_once_and_get_the_same_frame() -> None:
    converted = []
    both_are_there = threading.Barrier(2)

    def convert() -> NDArray[np.uint8]:
        converted.append(1)
        return picture()

    one = still(1, convert)

    def ask() -> object:
        both_are_there.wait(WAIT_S)
        return one.frame()

    first, second = in_threads(2, ask)
    assert first is second and len(converted) == 1
    frame = one.frame()
    assert (frame.pts_s, frame.camera, frame.wall_s) == (0.1, "door", 5.0)


def test_what_the_conversion_held_is_let_go_with_it() -> None:
    class Decoded:
        pass

    decoded = Decoded()
    gone = weakref.ref(decoded)

    def convert(held: object = decoded) -> NDArray[np.uint8]:
        return picture()

    one = still(1, convert)
    del decoded, convert
    gc.collect()
    assert gone() is not None
    one.frame()
    gc.collect()
    assert gone() is None


def test_a_conversion_that_fails_raises_and_can_be_tried_again() -> None:
    answers: list[object] = [ValueError("odd pixels"), picture()]

    def convert() -> NDArray[np.uint8]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    one = still(1, convert)
    with pytest.raises(ValueError, match="odd pixels"):
        one.frame()
    assert one.frame().image.shape == (2, 3, 3)


def test_the_old_still_is_let_go_at_once() -> None:
    class Decoded:
        pass

    decoded = Decoded()
    gone = weakref.ref(decoded)
    newest = Newest()
    newest.put(still(1, lambda held=decoded: picture()))  # type: ignore[misc]
    del decoded
    newest.put(still(2))
    gc.collect()
    assert gone() is None


def test_waiting_ends_with_the_first_one_that_is_newer() -> None:
    newest = Newest()
    newest.put(still(1))
    assert newest.wait(0, 0) is newest.latest
    assert newest.wait(1, 0) is None
    is_asking = threading.Event()

    def ask() -> object:
        is_asking.set()
        return newest.wait(1, WAIT_S)

    threading.Thread(target=lambda: (is_asking.wait(WAIT_S), newest.put(still(2)))).start()
    assert in_threads(3, ask) == [newest.latest] * 3
    assert newest.latest is not None and newest.latest.number == 2


def test_closing_wakes_everybody_and_nothing_comes_after_it() -> None:
    newest = Newest()
    newest.put(still(1))
    is_asking = threading.Event()

    def ask() -> object:
        is_asking.set()
        return newest.wait(1, None)

    threading.Thread(target=lambda: (is_asking.wait(WAIT_S), newest.close())).start()
    assert in_threads(4, ask) == [None] * 4
    newest.put(still(2))
    assert newest.is_closed and newest.latest is not None and newest.latest.number == 1
    assert newest.wait(1, None) is None


def test_what_is_forgotten_is_shown_no_more_and_what_follows_is() -> None:
    newest = Newest()
    newest.put(still(5))  # at 0.5 s
    newest.forget(0.51, 0.59)
    assert newest.latest is not None
    newest.forget(0.0, 0.5)
    assert newest.latest is None and newest.wait(0, 0) is None
    with pytest.raises(ValueError, match="after 5"):
        newest.put(still(5))
    newest.put(still(6))
    assert newest.wait(5, 0) is newest.latest is not None


def test_what_was_forgotten_while_it_was_on_its_way_is_not_shown() -> None:
    newest = Newest()
    newest.put(still(4))  # at 0.4 s
    newest.forget(0.45, 0.6)
    newest.put(still(5))
    assert newest.latest is not None and newest.latest.number == 4
    assert newest.wait(4, 0) is None
    newest.put(still(7))
    assert newest.wait(4, 0) is newest.latest and newest.latest.number == 7


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=30))
def test_nothing_forgotten_gets_through_and_what_is_remembered_is_bounded(
    stretches: list[tuple[int, int]],
) -> None:
    forgotten = Forgotten()
    for start_s, long_s in stretches:
        forgotten.add(start_s, start_s + long_s)
    assert len(forgotten._stretches) <= MOST_STRETCHES
    is_bounded = len({start_s for start_s, _ in stretches}) > MOST_STRETCHES
    for tenth_s in range(0, 700, 5):
        is_meant = any(start <= tenth_s / 10 <= start + long for start, long in stretches)
        is_taken = forgotten.takes(tenth_s / 10)
        assert is_taken or not is_meant
        assert is_meant or not is_taken or is_bounded
    assert not forgotten._stretches


def test_a_stretch_that_ends_before_it_begins_forgets_nothing() -> None:
    forgotten = Forgotten()
    forgotten.add(5.0, 4.0)
    assert not any(forgotten.takes(s) for s in (3.9, 4.0, 4.5, 5.0, 5.1))


def test_numbers_that_do_not_rise_are_refused() -> None:
    newest = Newest()
    newest.put(still(3))
    for number in (3, 2):
        with pytest.raises(ValueError, match="must rise"):
            newest.put(still(number))


def test_every_look_sees_the_newest_and_never_an_older_one() -> None:
    newest = Newest()
    seen: list[int] = []

    def look() -> None:
        while (one := newest.wait(seen[-1] if seen else 0, WAIT_S)) is not None:
            seen.append(one.number)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    for number in range(1, 1001):
        newest.put(still(number))
    assert newest.wait(999, WAIT_S) is not None
    newest.close()
    looking.join(WAIT_S)
    assert not looking.is_alive()
    assert seen == sorted(set(seen)) and (not seen or seen[-1] <= 1000)
