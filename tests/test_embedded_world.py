"""The drawn world: a seed makes a film, exactly; a film makes a file, almost exactly."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from longtake.models.embedded.filming import KEY_FRAME_S, write_film
from longtake.models.embedded.world import COLORS, SHAPES, SIZE, Film, Thing, long_film

GRAIN_LIMIT = 30  # grey levels; the picture's noise has a deviation of at most 7
MEAN_CODEC_ERROR = 6.0  # grey levels, at the model's size; measured: up to 4.3


def a_film(seed: int = 5, seconds: int = 40) -> Film:
    return Film(random.Random(seed), seconds)


def test_a_seed_makes_the_same_film_bit_for_bit() -> None:
    first, again, other = a_film(5), a_film(5), a_film(6)
    for t in (0.0, 0.5, 13.25, 39.0):
        np.testing.assert_array_equal(first.draw(t, 2), again.draw(t, 2))
    assert any((first.draw(t) != other.draw(t)).any() for t in (0.0, 13.25))


def test_a_picture_does_not_depend_on_what_was_drawn_before() -> None:
    film = a_film()
    alone = film.draw(17.5)
    list(film.frames(2, scale=3))
    np.testing.assert_array_equal(film.draw(17.5), alone)


@pytest.mark.parametrize("seed", range(5))
def test_things_are_inside_the_picture_and_apart(seed: int) -> None:
    film = a_film(seed, 200)
    for t in range(film.seconds):
        shown = [thing for thing in film.things if thing.is_seen(t)]
        for i, thing in enumerate(shown):
            x, y = thing.at(t)
            assert thing.radius <= x <= SIZE - thing.radius, f"{thing} at {t} s"
            assert thing.radius <= y <= SIZE - thing.radius, f"{thing} at {t} s"
            for other in shown[:i]:
                ox, oy = other.at(t)
                assert np.hypot(x - ox, y - oy) >= thing.radius + other.radius


def test_a_thing_has_its_color_where_it_is() -> None:
    film, looked = a_film(3, 100), 0
    for thing in film.things:
        if thing.shape == "ring":  # empty in its middle
            continue
        t = thing.start_s + 1
        error = np.abs(_center_color(film.draw(t, 4), thing, t) - COLORS[thing.color])
        assert error.max() < GRAIN_LIMIT
        looked += 1
    assert looked > 10


def test_something_is_shown_at_every_moment_and_nothing_after_the_end() -> None:
    film = a_film(8, 60)
    assert all(any(thing.is_seen(t) for thing in film.things) for t in range(60))
    assert max(thing.end_s for thing in film.things) == 60
    assert all(thing.start_s < thing.end_s for thing in film.things)


@pytest.mark.parametrize("seed", range(20))
def test_the_first_things_of_a_long_film_never_come_back(seed: int) -> None:
    film = long_film(random.Random(seed), 300)
    for attributes in ([t.shape for t in film.things], [t.color for t in film.things]):
        once = [name for name, count in Counter(attributes).items() if count == 1]
        assert len(once) >= 2
        assert all(film.things[attributes.index(name)].end_s <= 100 for name in once)


def test_frames_come_at_their_rate() -> None:
    film = a_film(1, 10)
    times = [t for t, _ in film.frames(2.5)]
    assert times == [i / 2.5 for i in range(25)]


def test_what_is_not_in_the_film_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="lasts from 0 to 40 s"):
        a_film().draw(50)
    with pytest.raises(ValueError, match="at least one"):
        a_film(seconds=0)


@pytest.mark.parametrize(("fps", "scale"), [(1, 4), (8, 2), (29.97, 1)])
def test_a_film_written_is_the_film_read(tmp_path: Path, fps: float, scale: int) -> None:
    film = a_film(2, 12)
    write_film(film, tmp_path / "film.mp4", fps=fps, scale=scale)
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = list(container.decode(stream))
    rate = Fraction(fps).limit_denominator(1001)
    assert [f.pts * f.time_base for f in frames] == [i / rate for i in range(len(frames))]
    assert len(frames) == round(12 * rate)
    for frame in frames[:: max(1, len(frames) // 6)]:
        t = float(frame.time)
        seen = frame.to_ndarray(format="rgb24")
        assert seen.shape == (SIZE * scale, SIZE * scale, 3)
        small = cv2.resize(seen, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(float)
        drawn = cv2.resize(film.draw(t, scale), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        assert np.abs(small - drawn).mean() < MEAN_CODEC_ERROR


def test_a_written_film_can_be_entered_every_few_seconds(tmp_path: Path) -> None:
    write_film(a_film(2, 20), tmp_path / "film.mp4", fps=4, scale=1)
    with av.open(str(tmp_path / "film.mp4")) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe]
    assert keys[0] == 0
    assert max(np.diff([*keys, 20.0])) <= KEY_FRAME_S


def test_a_film_that_was_not_finished_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_text("old")

    def stop(done: int, total: int) -> None:
        assert total == 40
        if done == 10:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_film(a_film(2, 10), target, scale=1, on_progress=stop)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("settings", [{"fps": 0}, {"fps": -1}, {"scale": 0}, {"crf": 52}])
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        write_film(a_film(), tmp_path / "film.mp4", **settings)  # type: ignore[arg-type]


def test_every_shape_and_color_is_drawn_sooner_or_later() -> None:
    film = a_film(4, 300)
    assert {t.shape for t in film.things} == set(SHAPES)
    assert {t.color for t in film.things} == set(COLORS)


def _center_color(image: np.ndarray, thing: Thing, t: float) -> np.ndarray:
    """Mean of a few pixels at a thing's centre; the image is drawn at scale 4."""
    x, y = (round(v * 4) for v in thing.at(t))
    color: np.ndarray = image[y - 2 : y + 3, x - 2 : x + 3].astype(float).mean((0, 1))
    return color


def test_a_long_film_keeps_one_background_and_draws_the_same_again() -> None:
    film = Film(random.Random(3), 60)
    pictures = [film.draw(float(t)) for t in range(60)]
    assert sum(bool(scene._painted) for scene in film.scenes) == 1
    for t in (0, 33, 59):
        assert (pictures[t] == film.draw(float(t))).all()
