"""Takes on a server: opened, found, closed; their sources, alerts, questions, how they stand."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from longtake.engine import Engine
from longtake.models.decode import Decoding
from longtake.server.config import ServeConfig
from longtake.server.routes.shown import event_json
from longtake.server.routes.takes import masks_json
from longtake.server.takes import hall as hall_module
from longtake.server.takes import hosted as hosted_module
from longtake.server.takes import pushed_camera
from longtake.server.takes.closing import SERVER_ENDING, TAKE_CLOSED, Closing
from longtake.server.takes.counts import MOST_CAMERAS as MOST_COUNTED
from longtake.server.takes.counts import Counts
from longtake.server.takes.engines import Engines
from longtake.server.takes.hall import Hall
from longtake.server.takes.hosted import Hosted, shown_name
from longtake.server.takes.hosted_state import tiers_of
from longtake.server.takes.lens import Lens, Sight
from longtake.server.takes.plain_jpeg import is_plain
from longtake.server.takes.pushed_camera import PushedCamera
from longtake.server.takes.recent import Recent
from longtake.server.takes.refusals import (
    Ending,
    NoSuchAlert,
    NoSuchSource,
    NoSuchTake,
    SourceInTheWay,
    TakeExists,
    TooMany,
)
from longtake.server.takes.source_state import SourceState
from longtake.server.takes.sources import MOST_PUSHED
from longtake.server.takes.standing_narration import StandingNarration
from longtake.streaming.errors import SourceForbidden
from longtake.streaming.masks import Mask
from tests.clips import write_clip
from tests.rigs.hosting import (
    GRAPH,
    LAVFI,
    LONG_S,
    adapter,
    decode,
    encode,
    hall,
    jpeg,
)
from tests.rigs.http_camera import mjpeg_camera
from tests.rigs.watching import until


@pytest.fixture(scope="module")
def shared() -> Iterator[Hall]:
    """Its takes are each test's own; of visitors' files those of this machine are allowed."""
    with hall(ServeConfig(port=0, max_sources=3, allow_sources=("files",))) as made:
        yield made


@pytest.fixture
def take(shared: Hall) -> Iterator[Hosted]:
    hosted = shared.open()
    yield hosted
    if hosted in shared.all():
        shared.remove(hosted.id)


@pytest.fixture
def graphs(shared: Hall) -> Iterator[Hosted]:
    """Its own cameras are test pictures."""
    hosted = shared.open(settings=LAVFI)
    yield hosted
    shared.remove(hosted.id)


def see(hosted: Hosted, seconds: int = 6, camera: str | PushedCamera = "") -> None:
    """A frame a second, of noise."""
    for second in range(seconds):
        hosted.push(jpeg(seed=second), camera=camera, pts_s=float(second))
        hosted.take.drain()


def engines(**more: Any) -> Engines:
    return Engines(["a", "b"], load=lambda name: Engine(adapter()), **more)


# ------------------------------------------------------------------ takes by their ids


def test_without_a_name_the_only_take_is_meant_and_else_the_first_one() -> None:
    with hall() as made:
        with pytest.raises(NoSuchTake, match="there is none"):
            made.find(None)
        other = made.open("other")
        assert made.find(None) is other
        live = made.open("live")
        assert made.find(None) is live and made.find("other") is other
        assert made.all() == [other, live]


def test_a_take_without_an_id_gets_one_that_nobody_guesses(shared: Hall, take: Hosted) -> None:
    assert len(take.id) >= 16 and shared.find(take.id) is take


@pytest.mark.parametrize("id", ["", "-a", "A", "../x", "a/b", "a" * 65, "é", "live\n"])
def test_an_id_is_plain(shared: Hall, id: str) -> None:
    with pytest.raises(ValueError, match="an id has 1 to 64 letters"):
        shared.open(id)
    with pytest.raises(NoSuchTake):
        shared.find(id)


def test_what_is_open_is_not_opened_again_and_unknown_ones_name_those_there_are(
    shared: Hall, take: Hosted
) -> None:
    with pytest.raises(TakeExists, match="open already"):
        shared.open(take.id)
    with pytest.raises(NoSuchTake, match=take.id):
        shared.find("nobody")
    with pytest.raises(NoSuchTake, match=take.id):
        shared.remove("nobody")


def test_takes_are_bounded_and_a_closed_one_makes_room() -> None:
    with hall(ServeConfig(port=0, max_takes=2)) as made:
        made.open("one")
        made.open("two")
        with pytest.raises(TooMany, match="2 takes are open") as refused:
            made.open("three")
        assert refused.value.retry_after_s > 0
        made.remove("one")
        assert made.open("three").id == "three"


def test_of_two_who_open_the_same_take_one_is_refused() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(name: str) -> Engine:
        begun.set()
        assert go_on.wait(LONG_S)
        return Engine(adapter())

    with Hall(Engines(["slow"], load=slow), ServeConfig(port=0)) as made:
        opening = threading.Thread(target=made.open, args=("live",))
        opening.start()
        assert begun.wait(LONG_S)
        assert made.opening == {"live": "slow"} and made.model_state("slow") == "loading"
        with pytest.raises(TakeExists):
            made.open("live")
        with pytest.raises(NoSuchTake, match="is being opened"):
            made.find("live")
        go_on.set()
        opening.join(LONG_S)
        assert made.find("live").model == "slow" and made.model_state("slow") == "ready"


def test_what_cannot_be_allowed_is_told_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match=r"cam\.local/x"):
        Hall(engines(), ServeConfig(port=0, allow_sources=("cam.local/x",)))


# ------------------------------------------------------------------ models


def test_a_model_that_nobody_uses_gives_way_and_one_in_use_does_not() -> None:
    lent = engines(most=1)
    assert [lent.state(name) for name in lent.models] == ["absent", "absent"]
    first = lent.lend("a")
    assert lent.lend("a") is first
    with pytest.raises(TooMany, match="takes are open on a"):
        lent.lend("b")
    lent.give_back("a")
    lent.give_back("a")
    assert lent.lend("b") is not first
    assert (lent.state("a"), lent.state("b")) == ("absent", "ready")
    lent.close()
    with pytest.raises(Ending):
        lent.lend("b")


def test_only_models_that_the_operator_named_are_run(shared: Hall) -> None:
    with pytest.raises(ValueError, match="this server has embedded"):
        shared.open(model="/somewhere/else")


def test_a_model_that_could_not_be_loaded_is_tried_again() -> None:
    tries = []

    def load(name: str) -> Engine:
        tries.append(name)
        if len(tries) == 1:
            raise OSError("no such model")
        return Engine(adapter())

    lent = Engines(["a"], load=load)
    with pytest.raises(OSError, match="no such model"):
        lent.lend("a")
    assert lent.state("a") == "failed"
    assert lent.lend("a") and lent.state("a") == "ready"
    lent.close()


def test_a_model_that_is_loaded_while_all_are_closed_is_closed_too() -> None:
    begun, go_on, made = threading.Event(), threading.Event(), list[Engine]()

    def slow(name: str) -> Engine:
        begun.set()
        assert go_on.wait(LONG_S)
        made.append(Engine(adapter()))
        return made[0]

    lent, raised = Engines(["a"], load=slow), list[BaseException]()

    def lend() -> None:
        try:
            lent.lend("a")
        except Ending as error:
            raised.append(error)

    lending = threading.Thread(target=lend)
    lending.start()
    assert begun.wait(LONG_S)
    lent.close()
    go_on.set()
    lending.join(LONG_S)
    assert len(raised) == 1
    with pytest.raises(RuntimeError):
        made[0].open()


# ------------------------------------------------------------------ the end of a take


def test_a_take_that_is_removed_ends_its_answers_with_what_there_is(shared: Hall) -> None:
    hosted, told = shared.open(), list[Closing]()
    hosted.on_close.add(told.append)
    see(hosted)
    asking = hosted.take.submit("what?", decoding=Decoding(max_tokens=2000))
    next(iter(asking))
    waiting = hosted.take.submit("and then?")
    shared.remove(hosted.id)
    assert asking.result(LONG_S).partial and waiting.result(LONG_S).partial
    assert told == [TAKE_CLOSED] and hosted.closing == TAKE_CLOSED
    with pytest.raises(Ending):
        hosted.push(jpeg())


def test_a_removed_take_stays_on_disk_unless_it_is_forgotten(tmp_path: Path) -> None:
    with hall(folder=tmp_path) as made:
        see(made.open("door"))
        made.remove("door")
        assert (tmp_path / "door").is_dir()
        again = made.open("door")
        assert again.take.frames(0.0, 100.0)
        made.remove("door", forget=True)
        assert list(tmp_path.iterdir()) == []
        see(made.open("yard", memory=tmp_path / "own"))
        made.remove("yard", forget=True)
        assert made.open("yard", memory=tmp_path / "own").take.frames(0.0, 100.0) == []


def test_an_id_is_held_and_counts_until_its_take_is_closed_and_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, rmtree = threading.Event(), threading.Event(), shutil.rmtree

    def slow(path: Path) -> None:
        begun.set()
        assert go_on.wait(LONG_S)
        rmtree(path)

    monkeypatch.setattr(hall_module.shutil, "rmtree", slow)
    with hall(ServeConfig(port=0, max_takes=1), folder=tmp_path) as made:
        see(made.open("door"))
        removing = threading.Thread(target=made.remove, args=("door",), kwargs={"forget": True})
        removing.start()
        assert begun.wait(LONG_S) and made.all() == []
        with pytest.raises(TakeExists, match="is being closed"):
            made.open("door")
        with pytest.raises(TooMany):
            made.open("yard")
        with pytest.raises(NoSuchTake, match="is being closed"):
            made.find("door")
        go_on.set()
        removing.join(LONG_S)
        assert not (tmp_path / "door").exists()
        assert made.open("door").take.frames(0.0, 100.0) == []


def test_a_take_that_cannot_be_closed_well_is_erased_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hall(ServeConfig(port=0, max_takes=1), folder=tmp_path) as made:
        hosted = made.open("door")
        close = hosted.take.close

        def fail(*_: Any) -> None:
            raise OSError("the first")

        def fail_late() -> None:
            close()
            raise OSError("the second")

        monkeypatch.setattr(hosted.take, "forget", fail)
        monkeypatch.setattr(hosted.take, "close", fail_late)
        with pytest.raises(OSError, match="the first"):
            made.remove("door", forget=True)
        assert list(tmp_path.iterdir()) == []
        assert made.open("door")


def test_what_cannot_be_closed_keeps_nothing_else_open() -> None:
    def fail() -> None:
        raise OSError("the passage")

    with pytest.raises(OSError, match="the passage"), hall() as made:
        made._held.callback(fail)
        made.uploads.begin().discard()
    with pytest.raises(Ending):
        made.uploads.begin()
    with pytest.raises(RuntimeError, match="shutdown"):
        made.threads.submit(fail)


def test_a_hall_that_closes_tells_who_looks_and_opens_nothing_more() -> None:
    told: list[Closing] = []
    with hall() as made:
        hosted = made.open("live")
        hosted.on_close.add(told.append)
    assert told == [SERVER_ENDING] and made.all() == []
    with pytest.raises(Ending):
        made.open("live")
    made.close()


# ------------------------------------------------------------------ what visitors may name


@pytest.mark.parametrize(
    "address",
    [
        "-",
        "lavfi:movie=/etc/passwd",
        "udp://239.0.0.1:1234",
        "file:///etc/passwd",
        "concat:/etc/passwd",
        "webcam:0",
        "/dev/video0",
        "/dev/stdin",
        "/etc/passwd",
        "/no/such/file",
        "C:\\clip.mp4",
        " lavfi:testsrc",
    ],
)
def test_visitors_name_network_cameras_alone(address: str) -> None:
    with hall() as made:
        hosted = made.open("live")
        with pytest.raises(SourceForbidden) as refused:
            hosted.add_source(address)
        assert "no such file" not in str(refused.value) and hosted.sources() == []


@pytest.mark.parametrize("address", ["", "  ", "rtsp://a\n/b", "x" * 5000])
def test_an_address_is_one_line_of_text(take: Hosted, address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        take.add_source(address)


def test_an_inner_address_is_watched_only_where_the_operator_allows_it() -> None:
    with mjpeg_camera() as camera:
        with hall() as made:
            hosted = made.open("live")
            with pytest.raises(SourceForbidden, match="--allow-source"):
                hosted.add_source(camera.url())
            assert hosted.sources() == []
        with hall(ServeConfig(port=0, allow_sources=("127.0.0.1/32",))) as made:
            hosted = made.open("live")
            hosted.add_source(f"  {camera.url()}\n")
            until(lambda: hosted.sources()[0].state == "live")
            lens = hosted.lens("")
            assert lens is not None
            until(lambda: lens.newest() is not None)


def test_files_of_the_machine_are_watched_where_the_operator_allows_it(
    take: Hosted, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=2, fps=5)
    state = take.add_source(str(clip), camera="door")
    assert (state.kind, state.camera) == ("file", "door")
    until(lambda: take.sources()[0].state == "ended")
    assert take.take.stats().frames > 0 and clip.exists()


def test_the_operators_own_addresses_are_watched_as_they_are(graphs: Hosted) -> None:
    with pytest.raises(SourceForbidden):
        graphs.add_source(GRAPH)
    first = graphs.add_source(GRAPH, trusted=True)
    second = graphs.add_source(GRAPH, trusted=True)
    assert (first.id, first.camera, second.id, second.camera) == ("s1", "", "s2", "camera 2")
    until(lambda: {source.state for source in graphs.sources()} == {"live"})
    state = graphs.sources()[0]
    assert state.size == (64, 48) and state.as_json()["size"] == [64, 48]
    graphs.remove_source("s1")
    assert [source.id for source in graphs.sources()] == ["s2"]
    with pytest.raises(NoSuchSource, match="there is s2"):
        graphs.remove_source("s1")


def test_sources_are_bounded_and_those_that_are_over_make_room(
    graphs: Hosted, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, fps=5)
    graphs.add_source(str(clip), trusted=True)
    until(lambda: graphs.sources()[0].is_over)
    for name in ("a", "b", "c"):
        graphs.add_source(GRAPH, camera=name, trusted=True)
    assert [source.camera for source in graphs.sources()] == ["a", "b", "c"]
    with pytest.raises(TooMany, match="3 sources"):
        graphs.add_source(GRAPH, camera="d", trusted=True)
    with pytest.raises(TooMany, match="3 sources"), graphs.claim():
        pass


def test_what_is_in_the_way_is_told_in_the_takes_own_words(graphs: Hosted, tmp_path: Path) -> None:
    graphs.add_source(GRAPH, camera="a", trusted=True)
    with pytest.raises(SourceInTheWay, match="choose another"):
        graphs.add_source(GRAPH, camera="a", trusted=True)
    clip = write_clip(tmp_path / "clip.mp4", seconds=1, fps=5)
    with pytest.raises(SourceInTheWay, match="a file is seen alone") as refused:
        graphs.add_file(clip, name="holiday.mp4")
    assert "holiday.mp4" in str(refused.value) and str(tmp_path) not in str(refused.value)
    assert not clip.exists()


# ------------------------------------------------------------------ pushed cameras


def test_each_pushing_visitor_has_a_name_of_his_own(take: Hosted) -> None:
    with take.claim("wrist") as first, take.claim("wrist") as second, take.claim() as third:
        assert [each.camera for each in (first, second, third)] == ["wrist", "wrist 2", ""]
        with pytest.raises(TooMany), take.claim():
            pass
    with take.claim() as first, take.claim() as second, take.claim("camera 2") as third:
        assert [each.camera for each in (first, second, third)] == ["", "camera 2", "camera 2 2"]
    assert take.sources() == []
    with take.claim("wrist") as again:
        assert again.camera == "wrist"


def test_a_visitor_whose_camera_is_removed_is_told(take: Hosted) -> None:
    removed = threading.Event()
    with take.claim("", removed.set) as camera:
        assert take.push(jpeg(), camera=camera).accepted
        take.remove_source(take.sources()[0].id)
        assert removed.is_set()
        with take.claim("") as other:
            with pytest.raises(Ending, match="was removed"):
                take.push(jpeg(seed=1), camera=camera)
            assert take.sources()[0].seen == 0 and not other.has_come
        assert take.sources() == []


def test_nobody_else_pushes_into_a_camera_that_is_claimed(take: Hosted) -> None:
    with take.claim("door") as camera:
        with pytest.raises(SourceInTheWay, match="door"):
            take.push(jpeg(), camera="door")
        assert take.push(jpeg(), camera=camera).accepted
        assert take.sources()[0].seen == 1
    take.push(jpeg(seed=1), camera="door")


def test_a_camera_that_is_claimed_is_not_behind_an_ended_one_of_its_name(
    take: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    take.push(jpeg(), camera="door", pts_s=0.0)
    monkeypatch.setattr(pushed_camera, "LEFT_S", -1.0)
    with take.claim("door") as camera:
        assert take.push(jpeg(seed=1), camera=camera, pts_s=1.0).accepted
        lens = take.lens("door")
        assert lens is camera.lens and lens.newest() is not None
        assert [(each.camera, each.seen) for each in take.sources()] == [("door", 1)]
    take.push(jpeg(seed=2), camera="door", pts_s=2.0)
    take.push(jpeg(seed=3), camera="door", pts_s=3.0)
    assert take.counts() == {"door": (4, 0)}


def test_what_is_no_picture_makes_no_source_and_takes_no_name(take: Hosted) -> None:
    header = jpeg()[:-400]  # its size can be read, its pixels cannot
    for number in range(MOST_PUSHED + 1):
        for data in (b"no picture", header):
            with pytest.raises(ValueError):
                take.push(data, camera=f"a{number}")
    assert take.sources() == []
    assert take.push(jpeg(), camera="door").accepted


def test_the_names_of_pushed_cameras_are_bounded_and_nobody_gets_anothers() -> None:
    with hall(ServeConfig(port=0, max_sources=3)) as made:
        hosted = made.open("live")
        for number in range(MOST_PUSHED):
            with hosted.claim(f"visitor {number}") as camera:
                assert hosted.push(jpeg(seed=number), camera=camera).accepted
        with pytest.raises(TooMany, match="64 cameras"), hosted.claim("kitchen"):
            pass
        with pytest.raises(TooMany, match="64 cameras"):
            hosted.push(jpeg(), camera="kitchen")
        assert hosted.sources() == []
        with hosted.claim("visitor 5") as camera:
            assert camera.camera == "visitor 5"
            hosted.push(jpeg(), camera=camera)


@pytest.mark.parametrize("name", ["a\nb", "x" * 300])
def test_a_cameras_name_is_short_and_can_be_shown(take: Hosted, name: str) -> None:
    with take.claim(""), pytest.raises(ValueError, match="camera"), take.claim(name):
        pass


def test_a_pushed_camera_is_a_source_with_true_counts(take: Hosted) -> None:
    with take.claim() as camera:
        assert take.sources()[0].state == "connecting"
        told = [take.push(jpeg(seed=n), camera=camera) for n in range(5)]
        camera.miss()
        source = take.sources()[0]
        assert (source.kind, source.state, source.size) == ("push", "live", (64, 48))
        assert source.kept == sum(pushed.accepted for pushed in told) >= 1
        assert source.seen == 6 == source.kept + source.dropped
        with pytest.raises(ValueError, match="JPEG"):
            take.push(b"no picture", camera=camera)
        assert take.sources()[0].seen == 6
        counts = take.counts()
    assert counts == {"": (6, source.dropped)} == take.counts(), "also when it is gone"


def test_of_cameras_that_are_gone_so_many_are_counted() -> None:
    counts = Counts()
    for number in range(MOST_COUNTED + 1):
        counts.add(SourceState(id="s1", camera=f"{number}", kind="push", address="", state="ended"))
    told = counts.with_more([])
    assert len(told) == MOST_COUNTED and "0" not in told


# ------------------------------------------------------------------ lenses


def look(sight: Sight | None, *masks: Mask, clock: Any = lambda: 0.0) -> Lens:
    return Lens("door", lambda: sight, lambda: masks, clock)


def test_a_small_jpeg_is_shown_as_it_came() -> None:
    data = jpeg(640, 480)
    seen = look(Sight(1, 7.0, data, size=(640, 480))).newest()
    assert seen is not None and seen.jpeg is data and (seen.number, seen.taken_s) == (1, 7.0)


def test_what_is_large_or_tells_more_than_a_picture_is_made_anew() -> None:
    wide = look(Sight(1, 0.0, jpeg(1280, 100), size=(1280, 100))).newest()
    assert wide is not None and decode(wide.jpeg).shape == (50, 640, 3)
    plain = jpeg()
    exif = plain[:2] + b"\xff\xe1\x00\x10Exif\0\0" + b"secret!!" + plain[2:]
    seen = look(Sight(1, 0.0, exif, size=(64, 48))).newest()
    assert seen is not None and b"secret" not in seen.jpeg
    assert look(Sight(1, 0.0, b"\xff\xd8\xffbroken", size=(1000, 1000))).newest() is None


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body


HIDDEN = [
    lambda plain: plain[:2] + segment(0xFE, b" " * 600) + segment(0xE1, b"Exif\0\0GPS") + plain[2:],
    lambda plain: plain[:2] + segment(0xFE, b"said in a comment") + plain[2:],
    lambda plain: plain[:20] + segment(0xED, b"Photoshop 3.0") + plain[20:],
    lambda plain: plain[:2] + segment(0xE0, b"JFXX\0\x13" + b"thumbnail" * 9) + plain[2:],
    lambda plain: plain[:2] + segment(0xE0, b"JFIF\0" + b"a thumbnail") + plain[20:],
    lambda plain: plain + jpeg(seed=1),
    lambda plain: plain[:-2] + segment(0xE1, b"Exif\0\0GPS") + plain[-2:],
]


@pytest.mark.parametrize("hide", HIDDEN, ids=range(len(HIDDEN)))
def test_a_jpeg_with_anything_beside_its_picture_is_made_anew(
    hide: Callable[[bytes], bytes],
) -> None:
    plain = jpeg(640, 480)
    data = hide(plain)
    seen = look(Sight(1, 0.0, data, size=(640, 480))).newest()
    assert seen is not None and seen.jpeg != data and decode(seen.jpeg).shape == (480, 640, 3)
    assert b"GPS" not in seen.jpeg and b"thumbnail" not in seen.jpeg


@pytest.mark.parametrize(
    "how", [cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL, cv2.IMWRITE_JPEG_OPTIMIZE]
)
def test_every_kind_of_jpeg_is_known_as_plain_and_none_that_is_cut_off(how: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = bytes(cv2.imencode(".jpg", noise, [how, 1])[1])
    assert is_plain(data)
    assert not any(is_plain(data[:length]) for length in range(len(data)))


def test_what_is_masked_is_not_shown_and_masks_of_other_cameras_hide_nothing() -> None:
    white = encode(np.full((48, 64, 3), 255, np.uint8))
    points = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    for camera, left in (("door", 0), ("", 0), ("yard", 255)):
        lens = look(Sight(1, 0.0, white, size=(64, 48)), Mask(points, camera))
        seen = lens.newest()
        assert seen is not None
        image = decode(seen.jpeg)
        assert abs(int(image[24, 12].max()) - left) < 8 and image[24, 50].min() > 247


def test_masks_of_the_operator_are_told_from_those_of_visitors() -> None:
    mine, theirs = Mask.parse("0,0 0.5,0 0.5,1 0,1"), Mask.parse("0,0 1,0 1,0.5 0,0.5")
    settings = replace(LAVFI, capture=replace(LAVFI.capture, masks=(mine,)))
    with hall(settings=settings) as made:
        hosted = made.open("live")
        hosted.take.mask([theirs, mine])
        told = masks_json(hosted)["masks"]
    assert [each["fixed"] for each in told] == [True, False, False]
    assert told[0]["points"] == told[2]["points"] == [list(point) for point in mine.points]


def test_a_new_mask_hides_what_is_shown_already(take: Hosted) -> None:
    with take.claim() as camera:
        take.push(encode(np.full((48, 64, 3), 255, np.uint8)), camera=camera)
        lens = take.lens("")
        assert lens is not None
        take.take.mask([Mask(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))])

        def shown() -> int:
            seen = lens.newest()
            assert seen is not None
            return int(decode(seen.jpeg).max())

        until(lambda: shown() < 8)


def test_at_most_five_previews_a_second_are_made_and_none_that_shows_nothing_new() -> None:
    now_s, looks, mark = [0.0], list[float](), [0]

    def sight() -> Sight:
        looks.append(now_s[0])
        return Sight(mark[0], now_s[0], jpeg(), size=(64, 48))

    lens = Lens("", sight, lambda: (), lambda: now_s[0])
    numbers = set()
    for tick in range(100):
        now_s[0], mark[0] = tick / 100, tick // 50
        seen = lens.newest()
        assert seen is not None
        numbers.add(seen.number)
    assert len(looks) == 5 and numbers == {1, 2}


def test_watched_cameras_and_files_are_seen_through_lenses_too(
    graphs: Hosted, tmp_path: Path
) -> None:
    graphs.add_source(GRAPH, trusted=True)
    lens = graphs.lens("")
    assert lens is not None and graphs.lens("nobody") is None
    until(lambda: lens.newest() is not None)
    seen = lens.newest()
    assert seen is not None and decode(seen.jpeg).shape == (48, 64, 3)


def test_what_is_forgotten_is_not_shown(take: Hosted) -> None:
    with take.claim() as camera:
        see(take, camera=camera)
        lens = take.lens("")
        assert lens is not None and lens.newest() is not None
        assert take.timeline()["held"] and take.state()["frames"] == 6
        take.forget(0.0, take.take.now_s)
        assert lens.newest() is None
        assert take.timeline()["held"] == [] and take.state()["caption"] is None


# ------------------------------------------------------------------ how it stands


def test_a_state_is_finite_json_with_all_that_was_promised(take: Hosted) -> None:
    with take.claim() as camera:
        see(take, camera=camera)
        state = json.loads(take.state_text())
    assert set(state) == {
        "kind", "take", "model", "now_s", "recording", "frames", "received", "waiting", "dropped",
        "questions_waiting", "viewers", "missed", "sources", "caption", "narrating", "alerts",
        "last_event", "meters",
    }  # fmt: skip
    assert state["frames"] == 6 and state["recording"] and state["sources"][0]["kind"] == "push"
    meters = state["meters"]
    assert 0 < meters["device_bytes"] <= meters["device_budget_bytes"]
    assert meters["tiers"]["window"] > 0
    stored = sum(take.take.stats().rungs.values())
    held = sum(run["chunks"] for run in take.timeline()["held"])
    assert held == stored + meters["tiers"]["window"]


def test_every_chunk_is_counted_once_also_those_of_the_window_that_lie_on_disk(
    tmp_path: Path,
) -> None:
    with hall(folder=tmp_path) as made:
        see(made.open("live"), 12)
        made.remove("live")
        take = made.open("live").take
        assert tiers_of(take, take.stats()) == {"window": 2, "raw": 4}
        assert take.stats().chunks == 6


def test_an_event_is_told_the_same_everywhere(take: Hosted) -> None:
    see(take)
    event = take.take.log("alert", "door", "it opened", start_s=1.0, end_s=5.0, camera="a b")
    told = take.timeline()["events"]
    assert told == [event_json(take, event)]
    assert told[0]["picture"].endswith("/frames/at.jpg?at_s=1.000&camera=a+b")


def test_a_state_is_computed_once_however_many_look(
    take: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    real = hosted_module.state_of
    monkeypatch.setattr(hosted_module, "state_of", lambda h: computed.append(1) or real(h))
    monkeypatch.setattr(take, "_state", Recent(1000.0, 1))
    threads = [threading.Thread(target=take.state_text) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert take.state()["kind"] == "state" and len(computed) == 1


def test_a_value_is_given_again_while_it_is_fresh_and_not_once_it_was_cleared() -> None:
    now_s, made = [0.0], iter(range(100))
    recent: Recent[int] = Recent(0.5, 2, lambda: now_s[0])
    assert [recent.get("a", lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    now_s[0] = 0.5
    assert recent.get("a", lambda: next(made)) == 1
    recent.clear()
    assert recent.get("a", lambda: next(made)) == 2

    def cleared_meanwhile() -> int:
        recent.clear()
        return next(made)

    now_s[0] = 1.0
    assert recent.get("a", cleared_meanwhile) == 3
    assert recent.get("a", lambda: next(made)) == 4
    for key in "bcd":
        recent.get(key, lambda: next(made))
    assert len(recent._held) == 2


def test_a_timeline_tells_the_whole_past_and_what_was_asked(take: Hosted) -> None:
    see(take, 12)
    asyncio.run(ask(take, "what is there?"))
    until(lambda: take.take.events(kind="question"))
    line = take.timeline()
    assert line["held"][0]["start_s"] == 0.0 and line["held"][-1]["place"] == "window"
    event = line["events"][-1]
    assert (event["kind"], event["text"]) == ("question", "what is there?")
    assert event["picture"] == f"/v1/takes/{take.id}/frames/at.jpg?at_s={event['start_s']:.3f}"
    part = take.timeline(3.0, 5.0, 1)
    assert len(part["held"]) == 1 and (part["start_s"], part["end_s"]) == (3.0, 5.0)
    json.dumps(line, allow_nan=False)


def test_the_time_of_day_is_told_where_time_runs_with_the_clock(take: Hosted) -> None:
    see(take)
    assert take.timeline()["wall_s"] is None
    with take.claim() as camera:
        take.push(jpeg(), camera=camera, age_s=0.5)
        wall_s = take.wall_s(take.take.now_s)
        assert wall_s == pytest.approx(time.time(), abs=1.0)
    assert take.wall_s(take.take.now_s) is None


@pytest.mark.parametrize(
    ("start_s", "end_s", "width"),
    [(5.0, 4.0, 10), (-1.0, 4.0, 10), (0.0, float("nan"), 10), (0.0, 1.0, 0), (0.0, 1.0, 10**6)],
)
def test_a_timeline_is_of_two_times_in_order(
    take: Hosted, start_s: float, end_s: float, width: int
) -> None:
    with pytest.raises(ValueError, match=r"times in order|width"):
        take.timeline(start_s, end_s, width)


async def ask(hosted: Hosted, *questions: str) -> list[Any]:
    askings = [await hosted.ask(question) for question in questions]
    answers = [await asking.aresult() for asking in askings]
    while hosted._noting:
        await asyncio.gather(*hosted._noting)
    return answers


def test_the_last_answers_times_are_kept_and_the_answers_are_not(take: Hosted) -> None:
    see(take)
    heard: list[Any] = []
    take.on_answer.add(heard.append)
    answers = asyncio.run(ask(take, *(f"question {n}?" for n in range(22))))
    assert len(answers) == len(heard) == take.answers.answered == 22
    newest = take.state()["meters"]["answers"]
    assert [entry["question"] for entry in newest] == [f"question {n}?" for n in range(2, 22)]
    assert all(0 <= e["recall_s"] <= e["total_s"] for e in newest)
    assert take.last_event == max(e.number for e in take.take.events())


def test_nothing_that_was_asked_blocks_the_loop_or_is_lost_when_the_asker_leaves(
    take: Hosted,
) -> None:
    see(take)

    async def leave() -> None:
        asking = await take.ask("what?", decoding=Decoding(max_tokens=500))
        asking.cancel()
        while take._noting:
            await asyncio.gather(*take._noting)
        assert asking.result(0).partial

    asyncio.run(leave())
    assert take.answers.answered == 1


# ------------------------------------------------------------------ alerts and lines


def test_alerts_are_held_by_their_ids(take: Hosted) -> None:
    state = take.add_alert("is there a ring?", every_s=1.0, confirm=1)
    assert (state.id, state.paused, state.over) == ("a1", False, False)
    assert take.pause_alert("a1").paused and not take.resume_alert("a1").paused
    see(take)
    assert take.alert("a1").judged > 0 and take.alerts()[0].probability is not None
    take.remove_alert("a1")
    assert take.alerts() == []
    for verb in (take.alert, take.pause_alert, take.resume_alert, take.remove_alert):
        with pytest.raises(NoSuchAlert, match="there is none"):
            verb("a1")


def test_counts_of_alerts_go_on_when_one_is_removed(take: Hosted) -> None:
    first = take.add_alert("is it red?", every_s=0.5)
    take.add_alert("is it blue?", every_s=0.5)
    see(take)
    until(lambda: all(alert.judged for alert in take.alerts()))
    before = take.alert_counts()
    assert before[0] == sum(alert.judged for alert in take.alerts())
    take.remove_alert(first.id)
    assert take.alert_counts() == before


def test_lines_that_were_ended_while_they_were_begun_again_stay_ended() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Line:
        def __init__(self, *, is_over: bool) -> None:
            self.is_over = is_over

        def close(self) -> None:
            self.is_over = True

    class Narrated:
        lines: list[Line]

        def __init__(self) -> None:
            self.lines = []

        def narrate(self) -> Line:
            if self.lines:
                begun.set()
                assert go_on.wait(LONG_S)
            self.lines.append(Line(is_over=not self.lines))
            return self.lines[-1]

    narrated = Narrated()
    standing = StandingNarration(narrated)  # type: ignore[arg-type]
    standing.begin({})
    renewing = threading.Thread(target=standing.renew)
    renewing.start()
    assert begun.wait(LONG_S)
    standing.stop()
    go_on.set()
    renewing.join(LONG_S)
    assert not standing.is_wanted and all(line.is_over for line in narrated.lines)


def test_alerts_and_lines_go_on_with_the_next_source(take: Hosted, tmp_path: Path) -> None:
    take.add_alert("is there a ring?")
    take.narrate(rule="always", every_s=0.5)
    judged = [0]
    for number in range(2):
        clip = write_clip(tmp_path / f"{number}.mp4", seconds=2, fps=5, seed=number)
        id = take.add_source(str(clip)).id
        until(lambda id=id: next(s for s in take.sources() if s.id == id).is_over)  # type: ignore[misc]
        until(lambda: take.alerts()[0].judged > judged[0])
        judged[0] = take.alerts()[0].judged
        line = take.line()
        assert (line is not None and line.end_s is not None) or line is not None
        assert line.start_s >= 2.0 * number
        assert take.state()["caption"]["text"] and take.is_narrating
    take.stop_narrating()
    assert not take.is_narrating
    assert not take.alerts()[0].over


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\a.mp4", "a.mp4"),
        ("a\nb\x00.mp4", "ab.mp4"),
        ("", "upload"),
        ("x" * 500, "x" * 100),
    ],
)
def test_an_upload_is_called_by_its_last_name_on_one_line(name: str, shown: str) -> None:
    assert shown_name(name) == shown
