"""What each further viewer of a take costs its server, in processor time.

One camera is pushed over a WebSocket at a browser's rate throughout; nobody, one, or several look
at the take over WebSockets of their own, without a browser, and read all that is sent to them.
"""

from __future__ import annotations

import asyncio
import struct
import time
from contextlib import AsyncExitStack

import cv2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from longtake.bench.frame import Row, Say, compared, median
from longtake.bench.live_push import pictures
from longtake.bench.live_rows import bounded
from longtake.bench.model import Model
from longtake.bench.serve_child import Child, child, taking

MANY = 8
FPS = 15.0
MOST_SHARE = 1.5
WARM_S = 2.0
HEADER = struct.Struct("<dII")


def rows(model: Model, seconds: float, repeats: int, seed: int, say: Say) -> tuple[list[Row], str]:
    """Look for so long, so many times, in turn.

    Returns:
        Rows, and what was looked at in words.

    Raises:
        RuntimeError: if a viewer was sent nothing.
    """
    cost: dict[int, list[float]] = {0: [], 1: [], MANY: []}
    got: dict[int, list[float]] = {1: [], MANY: []}
    film = [encoded(seed_image) for seed_image in pictures(seed)]
    with child("take", **taking(model)) as server:
        for turn in range(repeats):
            for viewers in cost:
                say(f"viewers: {viewers}, run {turn + 1} of {repeats}")
                spent_s, previews = asyncio.run(looked(server, film, viewers, seconds))
                cost[viewers].append(spent_s)
                if viewers:
                    got[viewers].append(previews)
    return _rows(cost, got), (
        f"640 x 480 JPEG of noise pushed over a WebSocket at {FPS:g} frames/s, which the model "
        f"sees at its own rate; processor time of all of the server's process in {seconds:g} s, "
        f"medians of {repeats}, in turn"
    )


def _rows(cost: dict[int, list[float]], got: dict[int, list[float]]) -> list[Row]:
    spent = {viewers: median(values) for viewers, values in cost.items()}
    one = Row("server's CPU, 1 viewer", spent[1], "s")
    many = bounded(f"server's CPU, {MANY} viewers", "at most", MOST_SHARE, "x")
    each = (spent[MANY] - spent[1]) / (MANY - 1)
    return [
        compared(many, spent[MANY], "s", one),
        one,
        compared("server's CPU, no viewer", spent[0], "s", one),
        Row("  each viewer beyond the first", each * 1e3, "ms"),
        Row(f"  previews each of {MANY} got", median(got[MANY]), "frames/s"),
        Row("  previews one alone got", median(got[1]), "frames/s"),
    ]


async def looked(
    server: Child, film: list[bytes], viewers: int, seconds: float
) -> tuple[float, float]:
    """Processor seconds of the server, and previews a second that the one who got fewest got."""
    takes = server.url.replace("http", "ws", 1) + "/v1/takes/live"
    async with AsyncExitStack() as stack:

        async def enter(path: str) -> ClientConnection:
            wanted = connect(takes + path, compression=None, max_size=None, proxy=None)
            return await stack.enter_async_context(wanted)

        tasks = [asyncio.ensure_future(pushed(await enter("/frames?camera=webcam"), film))]
        counts = [0] * viewers
        for place in range(viewers):
            tasks.append(asyncio.ensure_future(read(await enter("/view"), counts, place)))
        try:
            await asyncio.sleep(min(WARM_S, seconds))
            counts[:] = [0] * viewers
            begun_s, cpu_s = time.monotonic(), await asyncio.to_thread(server.ask, "cpu_s")
            await asyncio.sleep(seconds)
            spent_s = await asyncio.to_thread(server.ask, "cpu_s") - cpu_s
            passed_s = time.monotonic() - begun_s
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if viewers and not min(counts):
        raise RuntimeError(f"viewers: one of {viewers} was sent no picture in {seconds:g} s")
    return spent_s * seconds / passed_s, min(counts, default=0) / passed_s


async def pushed(socket: ClientConnection, film: list[bytes]) -> None:
    """Send one picture after another at the camera's rate; every answer is read."""
    answers = asyncio.ensure_future(_drained(socket))
    try:
        begun_s = time.monotonic()
        for number in range(1 << 30):
            taken_s = time.monotonic()
            await socket.send(HEADER.pack(taken_s, number, 0) + film[number % len(film)])
            await asyncio.sleep(max(0.0, begun_s + (number + 1) / FPS - time.monotonic()))
    except ConnectionClosed as closed:
        raise RuntimeError(f"viewers: the server closed the camera: {closed}") from None
    finally:
        answers.cancel()


async def _drained(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def read(socket: ClientConnection, counts: list[int], place: int) -> None:
    """Count the pictures that are sent."""
    async for message in socket:
        counts[place] += isinstance(message, bytes)
    raise RuntimeError(f"viewers: the server closed one: {socket.close_reason}")


def encoded(image: object) -> bytes:
    """A JPEG as a browser makes one."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])  # type: ignore[call-overload]
    assert done
    return bytes(data)
