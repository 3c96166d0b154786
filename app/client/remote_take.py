"""A take on a server: the verbs of `Take`, from another machine.

Every verb may be called from any thread.  Frames go over a WebSocket and the newest wins; questions
and events come as streams; all else is one request and its answer.  Pictures are fetched where they
are asked for.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from httpx import Response

from longtake.alerts.alert_config import AlertConfig
from longtake.alerts.event import AlertEvent
from longtake.answer import Answer, Moment
from longtake.busy import Busy
from longtake.client.downloads import check_place, save
from longtake.client.event_feed import EventFeed
from longtake.client.frame_sender import FrameSender, Image, PushCounts, Pushed, to_send
from longtake.client.readings import event_of, found_of, picture_of, speaking
from longtake.client.remote_alert import RemoteAlert
from longtake.client.remote_asking import RemoteAsking
from longtake.client.remote_errors import RemoteError
from longtake.client.remote_narration import RemoteNarration
from longtake.client.remote_watch import RemoteWatch
from longtake.client.uploading import Progress, Uploading
from longtake.client.wire import Wire
from longtake.memory.events import Event
from longtake.moments import Found, Picture
from longtake.streaming.masks import Mask, checked_masks

if TYPE_CHECKING:  # to talk to a server needs no torch
    from longtake.models.decode import Decoding

MOST = 1000  # frames, or events, of one answer
MOST_AGE_S = 3600.0
LEAST_PAUSE_S = 0.05  # between two attempts where the server is busy
END_S = 5.0  # for questions that are being cut off
_NO_PICTURE = ("no_picture", "no_such_frame")


@dataclass(frozen=True, slots=True)
class Erased:
    """What was forgotten."""

    chunks: int
    nbytes: int


def path_of(take: str) -> str:
    """Of a take, on a server."""
    return f"/v1/takes/{quote(take, safe='')}"


class RemoteTake:
    """Made by `Client.open` and `Client.take`; a context manager.  Closing leaves it open on the
    server, unless it is removed.

    Beside what is said of a verb each of them raises:

        ConnectionError: if the server cannot be reached.
        TimeoutError: if it does not answer in time.
        NoSuchTake: (a LookupError) if the take is not open there any more.
        RuntimeError: if the take was closed, there or here.
        RemoteError: if the server refuses, or fails, for another reason.
    """

    def __init__(self, wire: Wire, id: str) -> None:
        self.id = id
        self._wire, self._path = wire, path_of(id)
        self._lock = threading.Lock()
        self._is_closed = False
        self._senders: dict[str, FrameSender] = {}
        self._askings: list[RemoteAsking] = []
        self._alerting = threading.Lock()  # held while an alert is begun: its events wait
        self._alerts: dict[str, RemoteAlert] = {}
        self._feed: EventFeed | None = None

    def __repr__(self) -> str:
        return f"RemoteTake({self.id!r} of {self._wire.address!r})"

    @property
    def is_closed(self) -> bool:
        """Here; it may be open on the server."""
        return self._is_closed

    # ---------------------------------------------------------------- frames go there

    def push(
        self,
        image: Image,
        pts_s: float | None = None,
        *,
        age_s: float = 0.0,
        camera: str = "",
        wall_s: float | None = None,
    ) -> Pushed:
        """Show one frame: uint8 RGB ``[H, W, 3]``, or the bytes of a JPEG or PNG.

        Returns at once: the frame lies here until it is sent, and a newer one of its camera takes
        its place.  So ``accepted`` says that it is on its way; what became of frames is told by
        `pushes`.  Where the server is away the newest frame waits for it.

        With ``pts_s`` or ``wall_s`` it goes alone, and this waits for the server's answer; then
        no frame is let go for a newer one.

        Args:
            age_s: how long ago it was taken, at most an hour.  Of frames without a time of their
                own the server takes the one that is least late for new, so it sees how much older
                the others are.

        Raises:
            ValueError: if it is no picture or no time.
            Exception: once, what ended the sending of earlier frames for good, such as that the
                take was closed; the next push begins anew.
        """
        self._check_open()
        _check_times(pts_s, age_s)
        if pts_s is not None or wall_s is not None:
            return self._push_alone(image, pts_s, age_s, camera, wall_s)
        with self._lock:
            self._check_open()
            sender = self._senders.get(camera)
            error = None if sender is None else sender.error
            if error is not None:
                del self._senders[camera]
            elif sender is None:
                sender = FrameSender(self._wire, f"{self._path}/frames", camera)
                self._senders[camera] = sender
        if error is not None:
            raise error
        assert sender is not None
        return sender.push(image, age_s)

    def _push_alone(
        self,
        image: Image,
        pts_s: float | None,
        age_s: float,
        camera: str,
        wall_s: float | None,
    ) -> Pushed:
        fields = {"camera": camera, "pts_s": pts_s, "age_s": age_s or None, "wall_s": wall_s}
        told = self._json(
            "POST",
            "/frames",
            data={name: str(value) for name, value in fields.items() if value not in (None, "")},
            files={"image": ("frame", to_send(image))},
        )
        return Pushed(told["accepted"], told["reason"], told["lag_s"])

    def pushes(self, camera: str = "") -> PushCounts:
        """What became of the frames of a camera that were pushed without a time.

        Raises:
            ValueError: if none were.
        """
        with self._lock:
            sender, known = self._senders.get(camera), ", ".join(map(repr, self._senders))
        if sender is None:
            raise ValueError(f"camera={camera!r}: no frames of it are pushed; of {known or 'none'}")
        return sender.counts()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until every frame that was pushed is sent and answered, or let go; whether that is
        so in time.  The model may still have to see them."""
        until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            senders = list(self._senders.values())
        done = [
            sender.flush(None if timeout_s is None else max(0.0, until_s - time.monotonic()))
            for sender in senders
        ]
        return all(done)

    def watch(self, address: str, *, camera: str = "") -> RemoteWatch:
        """Have the server watch a camera or a stream, which it must be able to reach.

        Raises:
            SourceError: if it cannot be watched; `SourceRefused` if the server does not allow it.
            ValueError: if a value makes no sense, or another source is in its way.
            TooMany: if there are as many sources as may be.
        """
        told = self._json("POST", "/sources", {"address": address, "camera": camera})
        return RemoteWatch(self._wire, f"{self._path}/sources", told)

    def watch_file(
        self,
        path: str | os.PathLike[str],
        *,
        camera: str = "",
        progress: Progress | None = None,
    ) -> RemoteWatch:
        """Send a video to the server and have it watched; returns when it is there.

        Args:
            progress: is called with the bytes that were sent and all there are.

        Raises:
            OSError: if there is no such file; `SourceError` if it is no video.
            ValueError: if it is too large, or another source is in its way.
        """
        self._check_open()
        with Uploading(Path(path), progress) as file:
            told = self._json(
                "POST",
                "/sources/file",
                data={"camera": camera} if camera else {},
                files={"file": (Path(path).name, file, "application/octet-stream")},
                timeout=self._wire.slow,
            )
        return RemoteWatch(self._wire, f"{self._path}/sources", told)

    def mask(self, masks: Sequence[Mask]) -> None:
        """Black these out from the next frame on; they take the place of those given before.

        Raises:
            ValueError: if there are too many.
        """
        told = [
            {"camera": mask.camera, "points": [list(point) for point in mask.points]}
            for mask in checked_masks(masks)
        ]
        self._json("POST", "/masks", {"masks": told})

    @property
    def masks(self) -> tuple[Mask, ...]:
        """Those in force, the operator's among them."""
        told = self._json("GET", "/masks")["masks"]
        return tuple(Mask(tuple((x, y) for x, y in m["points"]), m["camera"]) for m in told)

    # ---------------------------------------------------------------- questions

    def submit(
        self,
        question: str,
        *,
        at_s: float | None = None,
        between_s: tuple[float, float] | None = None,
        choices: Sequence[str] = (),
        top_k: int | None = None,
        decoding: Decoding | Mapping[str, Any] | None = None,
        conversation: str | None = None,
        deadline_s: float | None = None,
        thumbnails: bool = False,
        patience_s: float = 0.0,
    ) -> RemoteAsking:
        """Ask; returns when the server has taken the question.

        Args:
            at_s: answer as if later frames had not been seen.
            between_s: recall only from between these two session times.
            choices: the answer is exactly one of these.
            top_k: chunks that each layer recalls.
            decoding: a `Decoding`, or a dict with some of its fields.
            conversation: name of a dialogue that this question continues.
            deadline_s: from when the server has it; what there is then is the answer, partial.
            thumbnails: fetch the pictures of the evidence, too; without it `Moment.thumbnail` is
                None and `thumbnail` brings one.
            patience_s: where the server is busy, come again as it says, for at most so long.

        Raises:
            ValueError: if a value makes no sense.
            Busy: if too many questions wait there already.
        """
        said: dict[str, Any] = {} if decoding is None else speaking(decoding)
        body = {
            **said,
            "question": question,
            "stream": True,
            "choices": list(choices),
            "at_s": at_s,
            "between_s": None if between_s is None else list(between_s),
            "top_k": top_k,
            "conversation": conversation,
            "deadline_s": deadline_s,
        }
        until_s = time.monotonic() + patience_s
        while True:
            self._check_open()
            try:
                stream = self._wire.events("POST", f"{self._path}/ask", _finite(body))
                break
            except Busy as busy:
                pause_s = max(LEAST_PAUSE_S, busy.retry_after_s)
                if time.monotonic() + pause_s > until_s:
                    raise
                time.sleep(pause_s)
        asking = RemoteAsking(question, stream, self._shown if thumbnails else lambda told: told)
        with self._lock:
            self._askings = [each for each in self._askings if not each.done()] + [asking]
        return asking

    def ask(self, question: str, **options: Any) -> Answer:
        """Ask and wait.  Options as in `submit`; leaving early cancels the answer."""
        asking = self.submit(question, **options)
        try:
            return asking.result()
        finally:
            asking.cancel()  # where it is there already, nothing comes of it

    def stream(self, question: str, **options: Any) -> RemoteAsking:
        """Ask, and iterate over pieces of the answer as they come; `result` is the whole."""
        return self.submit(question, **options)

    async def aask(self, question: str, **options: Any) -> Answer:
        """`ask` for coroutines.  Cancelling the task cancels the answer."""
        asking = await self._begun(question, options)
        try:
            return await asking.aresult()
        finally:
            asking.cancel()

    async def astream(self, question: str, **options: Any) -> AsyncIterator[str]:
        """`stream` for coroutines: pieces as they come.  Leaving early cancels the answer."""
        asking = await self._begun(question, options)
        try:
            async for piece in asking:
                yield piece
        finally:
            asking.cancel()

    async def _begun(self, question: str, options: dict[str, Any]) -> RemoteAsking:
        """`submit` without holding up the loop."""
        begun = asyncio.ensure_future(asyncio.to_thread(self.submit, question, **options))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(_let_go)
            raise

    def cancel(self) -> int:
        """End every answer of this take that is being spoken or waits, whoever asked, with what
        there is, as partial.

        Returns:
            How many.
        """
        number: int = self._json("POST", "/cancel")["cancelled"]
        return number

    def _shown(self, answer: Answer) -> Answer:
        evidence = tuple(replace(m, thumbnail=self.thumbnail(m)) for m in answer.evidence)
        return replace(answer, evidence=evidence)

    # ---------------------------------------------------------------- the past

    def search(
        self, text: str, top: int = 10, between_s: tuple[float, float] | None = None
    ) -> list[Found]:
        """Moments that fit these words, best first; `thumbnail` brings their pictures.

        Raises:
            ValueError: if there is nothing to look for, or a value makes no sense.
        """
        start_s, end_s = (None, None) if between_s is None else between_s
        asked = {"q": text, "top": top, "start_s": start_s, "end_s": end_s}
        return [found_of(each) for each in self._json("GET", "/search", params=_finite(asked))[
            "moments"
        ]]  # fmt: skip

    def frames(
        self, start_s: float = 0.0, end_s: float = math.inf, most: int = MOST
    ) -> list[Picture]:
        """Chunks that touch a span, in time order, evenly thinned to ``most`` (1,000 at most).
        Their ``jpeg`` is left out: `picture` brings it.

        Raises:
            ValueError: if these are not two times in order, or ``most`` is no such number.
        """
        asked = _finite({"start_s": start_s, "end_s": end_s, "most": most})
        return [picture_of(each) for each in self._json("GET", "/frames", params=asked)["frames"]]

    def picture(self, number: int) -> Picture | None:
        """What is shown of one chunk; None if it has no picture, or is no more."""
        return self._picture(f"/frames/{int(number)}.jpg", {})

    def picture_at(self, at_s: float, camera: str | None = None) -> Picture | None:
        """Of the chunk nearest to a time that has a picture; None where there is none at all.

        Raises:
            ValueError: if it is no time.
        """
        return self._picture("/frames/at.jpg", {"at_s": at_s, "camera": camera})

    def thumbnail(self, moment: Moment | Found | Picture) -> bytes | None:
        """The JPEG that a moment is shown by; None if it has none, or no more."""
        if moment.number is None:
            return None
        try:
            return self._send("GET", f"/frames/{moment.number}.jpg").content
        except RemoteError as error:
            if error.code in _NO_PICTURE:
                return None
            raise

    def _picture(self, path: str, query: dict[str, Any]) -> Picture | None:
        try:
            answer = self._send("GET", path, params=_given(query))
        except RemoteError as error:
            if error.code in _NO_PICTURE:
                return None
            raise
        number = int(answer.headers["x-longtake-number"])
        start_s, end_s = (float(answer.headers[f"x-longtake-{n}-s"]) for n in ("start", "end"))
        for each in self.frames(max(0.0, start_s - 0.001), end_s + 0.001):
            if each.number == number:  # it knows camera and caption
                return replace(each, jpeg=answer.content)
        return Picture(number, start_s, end_s, jpeg=answer.content)

    def events(
        self,
        start_s: float = 0.0,
        end_s: float = math.inf,
        kind: str | None = None,
        after: int = 0,
    ) -> list[Event]:
        """What was logged of times that touch a span, in time order, the newest 1,000 of it.

        Args:
            kind: such as ``alert`` or ``question``; None: all.
            after: only those with greater numbers.
        """
        asked = _finite({"start_s": start_s, "end_s": end_s, "kind": kind, "after": after})
        return [event_of(each) for each in self._json("GET", "/events", params=asked)["events"]]

    def keep(self, start_s: float, end_s: float) -> int:
        """Never let a span grow too old.

        Returns:
            How many chunks there are of it now.

        Raises:
            ValueError: if these are not two times in order.
        """
        chunks: int = self._json("POST", "/keep", _span(start_s, end_s))["chunks"]
        return chunks

    def release(self, start_s: float, end_s: float) -> None:
        """Take `keep` back for a span.  Raises as it does."""
        self._json("POST", "/release", _span(start_s, end_s))

    def forget(self, start_s: float, end_s: float, *, camera: str | None = None) -> Erased:
        """Forget a span for good, as `Take.forget` does.

        Raises:
            ValueError: if these are not two times in order.
        """
        body = {**_span(start_s, end_s), "camera": camera}
        told = self._json("POST", "/forget", body, timeout=self._wire.slow)
        return Erased(told["chunks"], told["bytes"])

    def export(
        self,
        out: str | os.PathLike[str],
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Path:
        """Fetch the memory, or the chunks that touch a span of it, in forms that others read.

        Args:
            out: a folder that is empty or not there yet; a name that ends with ``.zip``: a file.

        Raises:
            ValueError: if nothing lies between these times.
            FileExistsError: if something is there already.
            OSError: if it cannot be written.  Nothing of it stays there.
        """
        self._check_open()
        place, asked = Path(out), _finite({"start_s": start_s, "end_s": end_s})
        check_place(place)
        address, patience = f"{self._path}/export", self._wire.slow
        with self._wire.download(address, params=asked, timeout=patience) as pieces:
            save(pieces, place)
        return place

    # ---------------------------------------------------------------- lines and alerts

    def narrate(
        self,
        request: str | None = None,
        *,
        every_s: float = 1.0,
        rule: str | None = None,
        decoding: Decoding | Mapping[str, Any] | None = None,
    ) -> RemoteNarration:
        """Have lines spoken about what is seen from now on; arguments as of `Take.narrate`.

        Raises:
            ValueError: if a value makes no sense.
            RuntimeError: if this take is being narrated already.
        """
        said: dict[str, Any] = {} if decoding is None else speaking(decoding)
        body = {**said, "request": request, "every_s": every_s, "rule": rule}
        self._json("POST", "/narration", _given(body))
        return RemoteNarration(self._wire, self._path)

    def alert(
        self,
        condition: str,
        on_event: Callable[[AlertEvent], object] | None = None,
        *,
        every_s: float = 1.0,
        cooldown_s: float = 30.0,
        confirm: int = 2,
        threshold: float = 0.5,
        actions: Sequence[Callable[[AlertEvent], object]] = (),
        name: str | None = None,
    ) -> RemoteAlert:
        """Watch for something from now on; arguments as of `Take.alert`.

        Callbacks and actions are called on this machine.  On the server it stays until it is
        cancelled, also where this program ends: `with take.alert(...)` cancels it.

        Raises:
            ValueError: if a value makes no sense, the name is taken, or there are too many.
        """
        self._check_open()
        config = AlertConfig(
            condition=condition,
            every_s=every_s,
            cooldown_s=cooldown_s,
            confirm=confirm,
            threshold=threshold,
            name=name,
            stays=True,
        )
        body = {"condition": condition, "every_s": every_s, "cooldown_s": cooldown_s}
        body |= {"confirm": confirm, "threshold": threshold, "name": name}
        receivers = [*([] if on_event is None else [on_event]), *actions]
        with self._alerting:
            self._listen()
            told = self._json("POST", "/alerts", _given(body))
            alert = RemoteAlert(self._wire, f"{self._path}/alerts", told, config, receivers)
            self._alerts[alert.id] = alert
        return alert

    @property
    def alerts(self) -> tuple[RemoteAlert, ...]:
        """Those on the server that are not over, whoever set them; of those that were set
        elsewhere events are told from now on."""
        with self._alerting:
            told = [each for each in self._json("GET", "/alerts")["alerts"] if not each["over"]]
            if told:
                self._listen()
            return tuple(self._alert(each) for each in told)

    def _alert(self, told: dict[str, Any]) -> RemoteAlert:
        alert = self._alerts.get(told["id"])
        if alert is None or alert.is_over or alert.name != told["name"]:
            alert = RemoteAlert(self._wire, f"{self._path}/alerts", told)
            self._alerts[alert.id] = alert
        return alert

    def _listen(self) -> None:
        if self._feed is None or self._feed.is_over:
            self._feed = EventFeed(self._wire, self._path, self._listening)
            self._feed.start()

    def _listening(self) -> list[RemoteAlert]:
        with self._alerting:
            return [alert for alert in self._alerts.values() if not alert.is_over]

    # ---------------------------------------------------------------- how it stands

    @property
    def now_s(self) -> float:
        """Session time of this moment, as the server has it."""
        now_s: float = self._json("GET", "")["now_s"]
        return now_s

    def stats(self) -> dict[str, Any]:
        """How the take stands, as ``GET state`` has it: frames, sources, alerts, meters; at most
        half a second old."""
        found: dict[str, Any] = self._json("GET", "/state")
        return found

    def timeline(
        self, start_s: float | None = None, end_s: float | None = None, width: int = 600
    ) -> dict[str, Any]:
        """What is held, kept, missing, and was told, by time, as ``GET timeline`` has it.

        Raises:
            ValueError: if these are not two times in order, or the width makes no sense.
        """
        asked = _finite({"start_s": start_s, "end_s": end_s, "width": width})
        found: dict[str, Any] = self._json("GET", "/timeline", params=asked)
        return found

    # ---------------------------------------------------------------- end

    def close(self, *, remove: bool = False, forget: bool = False) -> None:
        """End what was begun here: frames that wait are let go, answers end, alerts are heard no
        more (on the server they stay).  May be called twice.

        Args:
            remove: close the take on the server, for everybody.
            forget: with ``remove``: its memory goes, too.

        Raises:
            ValueError: if it is to be forgotten and not removed.
        """
        if forget and not remove:
            raise ValueError("forget=True: a take that stays cannot be forgotten; add remove=True")
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            senders, askings = list(self._senders.values()), self._askings
            self._askings = []
        for sender in senders:
            sender.close()
        for asking in askings:
            asking.cancel()
        for asking in askings:
            asking.join(END_S)
        feed = self._feed
        if feed is not None:
            feed.close()
        for alert in self._listening():
            alert.end()
        if remove and not was_closed:
            query = {"forget": "true"} if forget else {}
            self._wire.send("DELETE", self._path, params=query, timeout=self._wire.slow)

    def __enter__(self) -> RemoteTake:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---------------------------------------------------------------- requests

    def _json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        self._check_open()
        return self._wire.json(method, f"{self._path}{path}", body, **more)

    def _send(self, method: str, path: str, **more: Any) -> Response:
        self._check_open()
        return self._wire.send(method, f"{self._path}{path}", **more)

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this take is closed")


def _let_go(begun: asyncio.Future[RemoteAsking]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        begun.result().cancel()


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _finite(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is given; an infinite end is none.  Raises ValueError for what is no number."""
    for name, value in body.items():
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{name}={value}: must be a number")
    return {name: value for name, value in _given(body).items() if value != math.inf}


def _span(start_s: float, end_s: float) -> dict[str, float]:
    for name, value in (("start_s", start_s), ("end_s", end_s)):
        if not math.isfinite(value):
            raise ValueError(f"{name}={value}: must be finite seconds")
    return {"start_s": start_s, "end_s": end_s}


def _check_times(pts_s: float | None, age_s: float) -> None:
    if not (math.isfinite(age_s) and 0 <= age_s <= MOST_AGE_S):
        raise ValueError(f"age_s={age_s}: must be 0 to {MOST_AGE_S:g} s")
    if pts_s is None:
        return
    if not (math.isfinite(pts_s) and pts_s >= 0):
        raise ValueError(f"pts_s={pts_s}: session time counts from 0 s")
    if age_s:
        raise ValueError(
            f"pts_s={pts_s}, age_s={age_s}: give one: when the frame was taken, or how long ago"
        )
