"""A ROS 2 node that watches image topics and answers questions about them.

    ros2 topic pub --once /longtake/ask std_msgs/String "data: 'was there a red ring?'"
    ros2 topic echo /longtake/answers

    python samples/ros2_node.py --ros-args -p cameras:="['front=/front/image_raw']" \\
        -p model:=embedded -p alerts:="['is there a red ring?']"

subscribes    sensor_msgs/Image of each camera -> ``take.push``, best effort, the newest alone
~/ask         std_msgs/String: a question, or JSON {"question", "choices", "deadline_s"}
~/answers     std_msgs/String: JSON
~/events      std_msgs/String: JSON, one for each time an alert fires

Run it with the Python that has both rclpy and longtake.  It ends with Ctrl-C, or after the
parameter ``seconds``.  `to_rgb` and `Bridge` import nothing of ROS.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import longtake

CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
LOOK_S = 0.05  # how often answers and events that are ready are published
MOST_WAITING = 64  # of each; the oldest give way
PARAMETERS: dict[str, Any] = {
    "cameras": ["camera=/image_raw"],
    "model": "embedded",
    "memory": "",  # a folder; empty: nothing is kept
    "alerts": [""],
    "reliability": "best_effort",  # hears every publisher; reliable hears reliable ones alone
    "depth": 1,
    "seconds": 0.0,  # 0: until Ctrl-C
}


def to_rgb(width: int, height: int, encoding: str, step: int, data: Any) -> NDArray[np.uint8]:
    """The picture of a `sensor_msgs/Image`, whose rows may be padded.

    Args:
        encoding: one of `CHANNELS`.
        step: bytes from one row to the next, at least a row's pixels.
        data: bytes of the message, rows from the top; what lies behind the last row is ignored.

    Returns:
        ``[height, width, 3]`` uint8 RGB, C-contiguous, a copy.

    Raises:
        ValueError: if the encoding is another one, or sizes do not fit together.
    """
    if encoding not in CHANNELS:
        known = ", ".join(CHANNELS)
        raise ValueError(f"encoding={encoding!r}: known are {known}; convert it with image_proc")
    channels = CHANNELS[encoding]
    row = width * channels
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height}: a picture has at least one pixel")
    if step < row:
        raise ValueError(f"step={step}: a row of {width} pixels in {encoding} takes {row} bytes")
    flat = np.frombuffer(data, np.uint8)
    needed = step * (height - 1) + row  # the last row need not be padded
    if len(flat) < needed:
        raise ValueError(f"{len(flat)} bytes: {height} rows of {step} need at least {needed}")
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (step, 1), writeable=False)
    pixels = rows.reshape(height, width, channels)
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = pixels[..., ::-1] if encoding == "bgr8" else pixels  # one grey for all three
    return rgb


class Bridge:
    """Between messages and a take.  Called by the executor's thread, events by the alert's.

    Args:
        say: publishes a JSON object on a topic, ``say("answers", {...})``.
        now_s: the node's clock; session time counts from its first reading.
        warn: tells of what could not be used.
    """

    def __init__(
        self,
        take: longtake.Take,
        say: Callable[[str, dict[str, Any]], None],
        now_s: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._take, self._say, self._now_s, self._warn = take, say, now_s, warn
        self._begun_s = now_s()
        self._asked: deque[tuple[str, longtake.Asking]] = deque(maxlen=MOST_WAITING)
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self._told: set[str] = set()

    def see(self, camera: str, message: Any) -> None:
        """Show one image message; never waits, and never ends the node."""
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        pts_s = (stamp_s or self._now_s()) - self._begun_s  # drivers may leave the stamp empty
        try:
            size = (message.width, message.height)
            image = to_rgb(*size, message.encoding, message.step, message.data)
            self._take.push(image, max(0.0, pts_s), camera=camera, wall_s=stamp_s or None)
        except ValueError as error:
            if camera not in self._told:  # once: a driver repeats it with each frame
                self._told.add(camera)
                self._warn(f"{camera}: {error}")

    def ask(self, text: str) -> None:
        """Take a question, as it is or as JSON; its answer is said by `look`."""
        try:
            given = json.loads(text) if text.lstrip().startswith("{") else {"question": text}
            unknown = set(given) - {"question", "choices", "deadline_s"}
            if unknown or not isinstance(given.get("question"), str):
                raise ValueError("write {'question': ..., 'choices': [...], 'deadline_s': ...}")
            question, choices = given.pop("question"), tuple(given.pop("choices", ()))
            asking = self._take.submit(question, choices=choices, **given)
            self._asked.append((question, asking))
        except (ValueError, TypeError, RuntimeError) as error:
            self._say("answers", {"question": text, "error": str(error)})

    def note(self, event: longtake.AlertEvent) -> None:
        """Keep an alert's event for `look`: publishers belong to the executor's thread."""
        self._events.append(event.as_json())

    def look(self) -> None:
        """Say what is ready, questions in their order."""
        while self._events:
            self._say("events", self._events.popleft())
        while self._asked and self._asked[0][1].done():
            question, asking = self._asked.popleft()
            try:
                self._say("answers", as_json(asking.result()))
            except Exception as error:  # one question's failure is told to who asked it
                self._say("answers", {"question": question, "error": str(error)})


def as_json(answer: longtake.Answer) -> dict[str, Any]:
    """What a robot needs of an answer; it checks ``staleness_s`` before it acts."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "choices": {choice.text: choice.probability for choice in answer.choices},
        "as_of_s": answer.as_of_s,
        "staleness_s": answer.staleness_s,
        "partial": answer.partial,
        "coverage": answer.coverage,
        "evidence": [
            {"start_s": m.start_s, "end_s": m.end_s, "score": m.score, "camera": m.camera}
            for m in answer.evidence
        ],
    }


def run(ros: Any, image_type: Any, string_type: Any, qos: Any) -> None:
    """The node, until it is stopped."""
    node = ros.create_node("longtake")
    for name, value in PARAMETERS.items():
        node.declare_parameter(name, value)
    given = {name: node.get_parameter(name).value for name in PARAMETERS}
    publishers = {
        n: node.create_publisher(string_type, f"~/{n}", 10) for n in ("answers", "events")
    }

    def say(topic: str, what: dict[str, Any]) -> None:
        publishers[topic].publish(string_type(data=json.dumps(what)))

    def now_s() -> float:
        return float(node.get_clock().now().nanoseconds) * 1e-9

    newest = longtake.CaptureConfig(policy="newest")  # topics are faster than models
    with longtake.open(given["model"], given["memory"] or None, capture=newest) as take:
        bridge = Bridge(take, say, now_s, node.get_logger().warning)
        for camera, _, topic in (each.partition("=") for each in given["cameras"]):
            profile = qos(given["reliability"], given["depth"])
            heard = _to(bridge.see, camera)
            node.create_subscription(image_type, topic, heard, profile)
        node.create_subscription(string_type, "~/ask", lambda said: bridge.ask(said.data), 10)
        for condition in filter(None, given["alerts"]):
            take.alert(condition, bridge.note)
        node.create_timer(LOOK_S, bridge.look)
        end_s = now_s() + given["seconds"] if given["seconds"] else float("inf")
        while ros.ok() and now_s() < end_s:
            ros.spin_once(node, timeout_sec=0.1)
        node.get_logger().info(f"frames that were not seen: {dict(take.stats().dropped)}")


def _to(see: Callable[[str, Any], None], camera: str) -> Callable[[Any], None]:
    return lambda message: see(camera, message)


def main() -> int:
    try:
        import rclpy
        from rclpy.qos import QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image
        from std_msgs.msg import String
    except ImportError as error:
        print(f"ros2_node.py: {error}", file=sys.stderr)
        print(
            "It needs ROS 2: source /opt/ros/<distro>/setup.bash, and run it with that ROS's own "
            "Python, into which longtake is installed.",
            file=sys.stderr,
        )
        return 2

    def qos(reliability: str, depth: int) -> Any:
        return QoSProfile(depth=depth, reliability=ReliabilityPolicy[reliability.upper()])

    rclpy.init(args=sys.argv)
    try:
        run(rclpy, Image, String, qos)
    except KeyboardInterrupt:
        print("stopped by hand")
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
