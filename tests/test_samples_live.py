"""The samples for cameras and robots do what their first lines say; so does docs/live.md."""

from __future__ import annotations

import array
import importlib.util
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import longtake
from longtake.models.embedded.filming import write_film
from longtake.models.embedded.world import Film

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "live.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def load(name: str) -> ModuleType:
    """Import a sample as Python would when it is run, afresh each time."""
    spec = importlib.util.spec_from_file_location(f"sample_{name}", ROOT / "samples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", [module.__name__, *words])
    return module.main()


@pytest.fixture(scope="module")
def engine() -> Iterator[longtake.Engine]:
    with longtake.Engine("embedded") as engine:
        yield engine


@pytest.fixture
def no_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without lerobot, whatever is installed."""
    monkeypatch.setitem(sys.modules, "lerobot", None)
    monkeypatch.setitem(sys.modules, "lerobot.cameras", None)


# -------------------------------------------------------------------- the robot's loop


def test_the_arm_keeps_its_rate_asks_and_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(load("robot_loop"), monkeypatch, "--seconds", "5", "--seed", "2")
    said = capsys.readouterr().out
    assert re.search(r"is there an? \w+ \w+\? (yes|no) \(\d+%\), as of", said), said
    assert "alert: is there a red ring?" in said and "the arm has stopped" in said, said
    fates = r"(\d+) pushed: (\d+) seen, (\d+) waiting, (\d+) not needed"
    pushed, *others = map(int, re.findall(fates, said)[0])
    assert pushed == sum(others) > 0
    ticks, missed = map(int, re.findall(r"(\d+) ticks at 50 Hz, (\d+) missed", said)[0])
    assert pushed == 3 * ticks and ticks + missed == pytest.approx(250, abs=1)
    assert "push " in said and "p99" in said and "s after the ring came onto the table" in said


def test_the_same_seed_lays_the_same_table() -> None:
    table = load("robot_loop").Table
    first, again, other = table(3, 10.0), table(3, 10.0), table(4, 10.0)
    for camera in ("wrist", "front", "side"):
        picture = first.look(camera, 9.0, (40.0, 50.0))
        assert picture.shape == (384, 384, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, again.look(camera, 9.0, (40.0, 50.0)))
        assert (picture != other.look(camera, 9.0, (40.0, 50.0))).any()
    assert first.intruder_s == again.intruder_s != other.intruder_s


def test_the_intruder_is_not_on_the_table_before_its_time() -> None:
    module = load("robot_loop")
    table = module.Table(1, 10.0)
    red = np.array(module.COLORS["red"], np.uint8)

    def reds(t_s: float) -> int:
        return int((table.look("front", t_s, (48.0, 48.0)) == red).all(axis=-1).sum())

    assert reds(table.intruder_s - 0.01) == 0 < reds(table.intruder_s)


def test_a_told_arm_moves_no_more() -> None:
    arm = load("robot_loop").Arm()
    arm.move(0.02)
    moved = arm.tip
    teller = threading.Thread(target=arm.stop)
    teller.start()
    teller.join(5)
    arm.target = (0.0, 0.0)
    arm.move(0.04)
    arm.move(0.06)
    assert arm.tip == moved != (48.0, 48.0) and arm.stopped_s == 0.04


@dataclass
class Told:
    """Stands for a question whose answer is there at once."""

    answer: Any

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("text", "partial", "staleness_s", "as_of_s", "is_acted_on"),
    [
        ("yes", False, 0.1, 1.9, True),
        ("no", False, 0.1, 1.9, False),
        ("yes", True, 0.1, 1.9, False),
        ("yes", False, 0.9, 1.9, False),
        ("yes", False, 0.0, 0.9, False),  # its cameras have shown nothing since
    ],
)
def test_only_a_fresh_whole_yes_is_acted_on(
    text: str, partial: bool, staleness_s: float, as_of_s: float, is_acted_on: bool
) -> None:
    module = load("robot_loop")
    choices = (SimpleNamespace(text=text, probability=0.9),)
    answer = SimpleNamespace(
        choices=choices, partial=partial, staleness_s=staleness_s, as_of_s=as_of_s
    )
    take = SimpleNamespace(submit=lambda question, **options: Told(answer))
    goal = module.Goal(take, module.Table(1, 10.0).goal)
    assert not goal.is_there(0.5), "nothing is asked yet"
    assert goal.is_there(2.0) is is_acted_on


# -------------------------------------------------------------------- the lerobot camera


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import random

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_film(Film(random.Random(1), 40), path, fps=15, scale=2)
    return path


def test_a_robot_reads_what_longtake_watches(engine: longtake.Engine, clip: Path) -> None:
    module = load("lerobot_camera")
    config = module.LongtakeCameraConfig(address=str(clip), name="front")
    with engine.open() as take, module.LongtakeCamera(config, take) as camera:
        assert camera.is_connected and (camera.width, camera.height) == (192, 192)
        for image in (camera.read(), camera.async_read(2000), camera.read_latest(5000)):
            assert image.shape == (192, 192, 3) and image.dtype == np.uint8
            image[:] = 0  # belongs to the robot
        with pytest.raises(TimeoutError):
            camera.read_latest(max_age_ms=-1)
        with pytest.raises(module.DeviceAlreadyConnectedError):
            camera.connect()
        assert take.stats().cameras["front"].state == "live"
        camera.disconnect()
        assert not camera.is_connected
        with pytest.raises(module.DeviceNotConnectedError, match="connect"):
            camera.read()
        camera.connect()
    assert not camera.is_connected


def test_frames_have_the_size_and_the_colours_that_were_asked_for(
    engine: longtake.Engine, clip: Path
) -> None:
    module = load("lerobot_camera")
    plain = module.LongtakeCameraConfig(address=str(clip), name="a")
    turned = module.LongtakeCameraConfig(
        address=str(clip), name="b", width=64, height=48, color_mode="bgr"
    )
    frame = SimpleNamespace(image=np.zeros((192, 192, 3), np.uint8))
    frame.image[..., 0] = 200
    assert module.LongtakeCamera(plain)._shown(frame)[0, 0].tolist() == [200, 0, 0]
    shown = module.LongtakeCamera(turned)._shown(frame)
    assert shown.shape == (48, 64, 3) and shown[0, 0].tolist() == [0, 0, 200]
    with pytest.raises(ValueError, match="color_mode='yuv'"):
        module.LongtakeCameraConfig(address="x", color_mode="yuv")


def test_a_camera_that_is_not_there_is_an_error_without_its_password(
    engine: longtake.Engine,
) -> None:
    module = load("lerobot_camera")
    address = "rtsp://me:secret-word@127.0.0.1:9/main"  # nothing listens on `discard`
    config = module.LongtakeCameraConfig(address=address, warmup_s=1.0)
    with engine.open() as take:
        camera = module.LongtakeCamera(config, take)
        with pytest.raises(ConnectionError, match="refused") as error:
            camera.connect()
        assert "secret-word" not in f"{error.value!r} {camera!r} {error.value}"
        assert not camera.is_connected


def test_with_lerobot_it_is_one_of_its_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[str, type] = {}

    class CameraConfig:
        @staticmethod
        def register_subclass(name: str) -> Callable[[type], type]:
            return lambda kind: kinds.setdefault(name, kind)

    class Camera:
        pass

    errors = SimpleNamespace(
        DeviceAlreadyConnectedError=ConnectionError, DeviceNotConnectedError=ConnectionError
    )
    cameras = SimpleNamespace(Camera=Camera, CameraConfig=CameraConfig)
    for name, there in (("", None), (".cameras", cameras), (".utils", None)):
        monkeypatch.setitem(sys.modules, f"lerobot{name}", there or SimpleNamespace())
    monkeypatch.setitem(sys.modules, "lerobot.utils.errors", errors)
    module = load("lerobot_camera")
    assert issubclass(module.LongtakeCamera, Camera)
    assert kinds == {"longtake": module.LongtakeCameraConfig}
    assert module.LongtakeCameraConfig(address="a").name == "camera"


def test_the_lerobot_sample_shows_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    run(load("lerobot_camera"), monkeypatch, "--seconds", "1")
    said = capsys.readouterr().out
    assert "320 x 240" in said and int(re.findall(r"(\d+) frames read", said)[0]) > 0
    assert "what colour was the square?" in said


# -------------------------------------------------------------------- the ROS node


def pixels(width: int, height: int, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def message(image: np.ndarray[Any, Any], step: int, tail: bool = True) -> bytes:
    """Rows of `step` bytes; the last one unpadded where there is no `tail`."""
    rows = [row.tobytes().ljust(step, b"\xee") for row in image]
    return b"".join(rows) if tail else b"".join(rows)[: step * (len(rows) - 1) + image[0].size]


@pytest.mark.parametrize("tail", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize(("width", "height"), [(4, 3), (1, 1), (7, 5)])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
def test_an_image_message_is_the_picture(
    encoding: str, width: int, height: int, padding: int, tail: bool
) -> None:
    image = pixels(width, height, 1 if encoding == "mono8" else 3)
    step = width * image.shape[2] + padding
    data = array.array("B", message(image, step, tail))  # as rclpy hands it over
    rgb = load("ros2_node").to_rgb(width, height, encoding, step, data)
    wanted = image[..., ::-1] if encoding == "bgr8" else np.repeat(image, 3 // image.shape[2], 2)
    np.testing.assert_array_equal(rgb, wanted)
    assert rgb.flags.c_contiguous and rgb.flags.owndata


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((2, 2, "yuv422", 6, bytes(12)), "yuv422.*rgb8, bgr8, mono8"),
        ((2, 2, "rgb8", 5, bytes(12)), "step=5.*6 bytes"),
        ((2, 2, "rgb8", 6, bytes(11)), "11 bytes.*at least 12"),
        ((0, 2, "rgb8", 6, bytes(12)), "0 x 2"),
    ],
)
def test_an_image_message_that_cannot_be_is_refused(given: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load("ros2_node").to_rgb(*given)


def test_without_ros_it_says_what_is_missing(
    no_ros: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load("ros2_node").main() == 2
    assert "needs ROS 2: source /opt/ros/" in capsys.readouterr().err


@dataclass
class Ros:
    """Stands for rclpy and its node: each spin takes a second of its clock, delivers what was
    queued, or what the camera sends then, and runs the timers."""

    parameters: dict[str, Any]
    is_done: Callable[[Ros], bool]
    queued: list[tuple[str, Any]]
    camera: Callable[[float], tuple[str, Any]]  # what comes when nothing is queued
    said: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    heard: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    timers: list[Callable[[], None]] = field(default_factory=list)
    time_s: float = 1000.0

    def create_node(self, name: str) -> Ros:
        return self

    def declare_parameter(self, name: str, value: Any) -> None:
        self.parameters.setdefault(name, value)

    def get_parameter(self, name: str) -> Any:
        return SimpleNamespace(value=self.parameters[name])

    def create_publisher(self, kind: Any, topic: str, depth: int) -> Any:
        return SimpleNamespace(
            publish=lambda what: self.said.append((topic, json.loads(what.data)))
        )

    def create_subscription(self, kind: Any, topic: str, heard: Any, profile: Any) -> None:
        self.heard[topic] = heard

    def create_timer(self, every_s: float, look: Callable[[], None]) -> None:
        self.timers.append(look)

    def get_clock(self) -> Any:
        now = SimpleNamespace(nanoseconds=int(self.time_s * 1e9))
        return SimpleNamespace(now=lambda: now)

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.warned.append, info=self.warned.append)

    def ok(self) -> bool:
        return not self.is_done(self)

    def spin_once(self, node: Any, timeout_sec: float) -> None:
        topic, what = self.queued.pop(0) if self.queued else self.camera(self.time_s)
        self.heard[topic](what)
        self.time_s += 1.0
        for look in self.timers:
            look()


def picture(time_s: float, image: np.ndarray[Any, Any], encoding: str = "rgb8") -> Any:
    stamp = SimpleNamespace(sec=int(time_s), nanosec=int(time_s % 1 * 1e9))
    height, width = image.shape[:2]
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp),
        width=width,
        height=height,
        encoding=encoding,
        step=3 * width,
        data=image.tobytes(),
    )


def test_the_node_sees_images_and_answers_questions() -> None:
    def said(ros: Ros) -> tuple[int, int]:
        """How many answers and events; each counts up to what is waited for."""
        topics = [topic for topic, _ in ros.said]
        return min(3, topics.count("~/answers")), min(1, topics.count("~/events"))

    scene = load("robot_loop").Table(1, 1.0)
    image = scene.look("front", 0.9, (48.0, 48.0))
    asked = json.dumps({"question": "is there a red ring?", "choices": ["yes", "no"]})
    ros = Ros(
        {"cameras": ["front=/cam"], "alerts": ["is there a red ring?"]},
        lambda ros: said(ros) >= (3, 1) or ros.time_s > 1_000_000,
        [
            ("/cam", picture(1000.0, image, "yuv422")),  # is told, and nothing ends
            ("/cam", picture(1001.0, image)),
            ("~/ask", SimpleNamespace(data=asked)),
            ("~/ask", SimpleNamespace(data="is there a red ring?")),
            ("~/ask", SimpleNamespace(data='{"choices": []}')),
        ],
        lambda time_s: ("/cam", picture(time_s, image)),
    )
    module = load("ros2_node")
    module.run(ros, object, SimpleNamespace, lambda reliability, depth: (reliability, depth))
    answers = [what for topic, what in ros.said if topic == "~/answers"]
    events = [what for topic, what in ros.said if topic == "~/events"]
    assert "write {'question'" in answers[0]["error"]
    assert answers[1]["answer"] in ("yes", "no") and set(answers[1]["choices"]) == {"yes", "no"}
    assert sum(answers[1]["choices"].values()) == pytest.approx(1)
    assert answers[2]["question"] == "is there a red ring?" and answers[2]["choices"] == {}
    assert events and events[0]["condition"] == "is there a red ring?"
    assert [line for line in ros.warned if "yuv422" in line]


# -------------------------------------------------------------------- the doorbell


class Pictures(HTMLParser):
    """Collects what a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.names.append(dict(attrs)["src"] or "")


def test_the_bell_leaves_the_pictures_of_the_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = load("doorbell")
    module.draw_street(tmp_path / "door.mp4", 12)
    run(module, monkeypatch, str(tmp_path / "door.mp4"), "--out", str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert "ding dong!" in said and "rang 1 times" in said, said
    (page,) = (tmp_path / "out").glob("*/index.html")
    pictures = Pictures()
    pictures.feed(page.read_text())
    assert "is there a red heart?" in page.read_text()
    assert len(pictures.names) >= 2 and len(set(pictures.names)) == len(pictures.names)
    for name in pictures.names:
        assert (page.parent / name).read_bytes().startswith(b"\xff\xd8"), "a JPEG"


def test_the_bell_plays_a_clip_as_a_camera(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(load("doorbell"), monkeypatch, "--seconds", "2", "--out", str(tmp_path / "out"))
    said = capsys.readouterr().out
    assert "rang 0 times" in said and "door is live" in said, (
        "nobody comes in the first two seconds"
    )


def test_the_bell_needs_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("-1", "0", "nan", "soon"):
        with pytest.raises(SystemExit):
            run(load("doorbell"), monkeypatch, "--seconds", seconds)


# -------------------------------------------------------------------- the page


def test_the_page_has_code_to_run() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_the_code_of_the_page_runs(
    block: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code = compile(BLOCKS[block], f"docs/live.md, block {block}", "exec")
    if "rtsp://" not in BLOCKS[block]:  # what names a real camera is compiled alone
        exec(code, {})


def test_every_setting_of_a_capture_stands_in_the_page() -> None:
    for name in longtake.CaptureConfig.__dataclass_fields__:
        assert f"`{name}`" in PAGE, name
