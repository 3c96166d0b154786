"""The door: nothing behind it is reached by those who may not come in, on a real server."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from socket import create_connection
from typing import Any

import gradio
import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from longtake.server.config import ServeConfig
from longtake.server.door.access import Access
from longtake.server.door.guard import VISITOR, Guard
from longtake.server.door.login_desk import local
from longtake.server.door.logins import IDLE_S
from longtake.server.door.passwords import Cost, hashed
from longtake.server.routes.errors import Problem
from tests.rigs.serving import serving

TOKEN = "a-token-of-the-tests-0123456789"
PASSWORD = "correct horse battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGE = {"Accept": "text/html,*/*;q=0.8"}
USERS = {"anna": hashed(PASSWORD, Cost(n=1024, r=8, p=1))}
OPEN = {"/healthz", "/readyz"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once: it takes longer than a request


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Behind:
    """An application, and every path of it that was reached."""

    app: Any
    reached: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.reached.append(scope["path"])
        await self.app(scope, receive, send)


async def application() -> Any:
    """A page of Gradio's, routes, sockets, metrics, a body that is read, a stream that goes on."""
    app = FastAPI()
    for path in ("/healthz", "/readyz", "/metrics", "/v1/models"):
        app.add_api_route(path, lambda: {"ok": True})

    @app.get("/v1/who")
    def who(request: Request) -> dict[str, Any]:
        visitor = request.scope[VISITOR]
        return {"name": visitor.name, "can_log_out": visitor.can_log_out}

    @app.post("/v1/body")
    @app.post("/v1/takes/{take}/frames")
    @app.post("/v1/takes/{take}/sources/file")
    async def body(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/v1/shared")
    def shared() -> Any:
        return JSONResponse({}, headers={"Access-Control-Allow-Origin": "*"})

    @app.get("/v1/events/stream")
    async def events() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(10_000):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.01)

        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.websocket("/v1/takes/{take}/view")
    @app.websocket("/v1/takes/{take}/frames")
    async def echo(socket: WebSocket, take: str) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    with gradio.Blocks() as page:
        question = gradio.Textbox(label="question")
        question.submit(lambda text: text, question, question)
    return gradio.mount_gradio_app(app, page, path="/", ssr_mode=False)


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    yield Behind(asyncio.run(application()))  # Gradio would begin a loop of its own


@dataclass
class House:
    """A server with a door."""

    url: str
    behind: Behind
    clock: Clock

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=NO_TLS)

    def socket(
        self, path: str = "/v1/takes/live/view", *, origin: str | None = None, **headers: str
    ) -> ClientConnection:
        address = self.url.replace("http", "ws", 1) + path
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        page = None if origin is None else Origin(origin)
        return connect(address, origin=page, additional_headers=more, open_timeout=20)

    def refused(self, path: str = "/v1/takes/live/view", **how: Any) -> int:
        """The status with which a socket is not opened."""
        with pytest.raises(InvalidStatus) as caught:
            self.socket(path, **how)
        return caught.value.response.status_code


@dataclass
class Street:
    """One running server for all tests of the file, each with a door of its own."""

    behind: Behind
    url: str = ""
    guard: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self.guard(scope, receive, send)

    def house(self, access: Access, **config: Any) -> House:
        self.behind.reached.clear()
        clock = Clock()
        self.guard = Guard(self.behind, access, ServeConfig(**config), clock=clock)
        return House(self.url, self.behind, clock)


@pytest.fixture(scope="module")
def street(behind: Behind) -> Iterator[Street]:
    one = Street(behind)
    with serving(one) as one.url:
        yield one


@pytest.fixture
def closed(street: Street) -> House:
    return street.house(Access.of(tokens=[TOKEN], users=USERS))


@pytest.fixture
def wide_open(street: Street) -> House:
    return street.house(Access.of())


def log_in(client: httpx.Client, password: str = PASSWORD, **form: str) -> httpx.Response:
    return client.post("/login", data={"name": "anna", "password": password, **form})


def cookie_of(client: httpx.Client) -> str:
    """As it is sent: ``longtake-7860=...``, with the server's port."""
    ((name, value),) = client.cookies.items()
    assert name == f"longtake-{client.base_url.port}"
    return f"{name}={value}"


# ------------------------------------------------------------------ nothing without a login


def paths_of(app: Any, before: str = "") -> Iterator[str]:
    """Every path of an application and of what is mounted on it or included in it."""
    for route in app.routes:
        here = before + getattr(route, "path", "")
        inner = getattr(route, "original_router", route)  # as FastAPI keeps what is included
        if getattr(inner, "routes", None):
            yield from paths_of(inner, here)
        else:
            yield here


def closed_paths(behind: Behind) -> list[str]:
    """Every path of the application but the open ones, and the door's own."""
    paths = {re.sub(r"\{[^}]*\}", "a", path) or "/" for path in paths_of(behind.app)}
    assert len(paths) > 80, "Gradio's own are among them"
    assert {"/gradio_api/upload", "/gradio_api/queue/data", "/config", "/metrics"} <= paths
    return sorted(paths - OPEN - {"/login", "/logout"})


def test_no_path_of_the_page_or_the_api_is_reached_without_a_login(
    closed: House, behind: Behind
) -> None:
    with closed.client() as client:
        for path in closed_paths(behind):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers=PAGE).status_code == 303, path
    assert closed.behind.reached == []


def test_no_method_reaches_a_path_without_a_login(behind: Behind) -> None:
    behind.reached.clear()
    guard = Guard(behind, Access.of(tokens=[TOKEN]), ServeConfig())

    async def attempt() -> None:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for path in closed_paths(behind):
                for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"):
                    answer = await client.request(method, path)
                    assert answer.status_code == 401, f"{method} {path}"

    asyncio.run(attempt())
    assert behind.reached == []


@pytest.mark.parametrize(
    "path",
    [
        "//config",
        "/./config",
        "/healthz/../config",
        "/healthz/",
        "/healthz//metrics",
        "/healthz;/metrics",
        "/HEALTHZ",
        "/login/",
        "/login/../metrics",
        "/%6detrics",
        "/healthz%2f..%2fmetrics",
        "/?token=" + TOKEN,
        "/metrics?token=" + TOKEN,
        "/metrics?access_token=" + TOKEN,
    ],
)
def test_no_way_of_writing_a_path_goes_around_the_door(path: str, closed: House) -> None:
    with closed.client() as client:
        request = client.build_request("GET", closed.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 401
    assert closed.behind.reached == []


def test_only_health_is_open_and_only_to_be_read(closed: House) -> None:
    with closed.client() as client:
        for path in OPEN:
            assert client.get(path).status_code == 200
            assert client.head(path).status_code != 401
            assert client.post(path).status_code == 401
    assert set(closed.behind.reached) == OPEN


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN} x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer",
        "Bearer \xff\xfe",
    ],
)
def test_a_wrong_token_is_told_so_in_the_shape_of_openai(header: str, closed: House) -> None:
    with closed.client() as client:
        sent = [(b"Authorization", header.encode("latin-1"))]
        answer = client.get("/v1/models", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == Problem(401, error["code"], "").kind == "authentication_error"
    assert TOKEN[:-1] not in answer.text
    assert closed.behind.reached == []


def test_a_token_opens_everything(closed: House) -> None:
    with closed.client(**BEARER) as client:
        for path in ("/", "/config", "/metrics", "/v1/models"):
            assert client.get(path).status_code == 200
        assert client.get("/v1/who").json() == {"name": "", "can_log_out": False}
        assert client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).is_success
    with closed.socket(Authorization=f"Bearer {TOKEN}") as socket:
        socket.send("here")
        assert socket.recv(20) == "here"


def test_a_wrong_token_is_not_helped_by_a_right_cookie(closed: House) -> None:
    with closed.client() as client:
        log_in(client)
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": "Bearer x"}).status_code == 401


# ------------------------------------------------------------------ sockets


def test_a_socket_needs_a_token_or_the_cookie_of_its_own_page(closed: House) -> None:
    assert closed.refused() == 401
    assert closed.refused(origin=closed.url) == 401
    made_up = f"longtake-{closed.url.rpartition(':')[2]}=made-up"
    assert closed.refused(Cookie=made_up, origin=closed.url) == 401
    assert closed.refused(path=f"/v1/takes/live/view?token={TOKEN}") == 401
    with closed.client() as client:
        log_in(client)
        cookie = cookie_of(client)
    assert closed.refused(Cookie=cookie) == 403, "a browser says where it is"
    assert closed.refused(Cookie=cookie, origin="http://evil.example") == 403
    assert closed.refused(Cookie=cookie, origin="null") == 403
    assert closed.behind.reached == []
    with closed.socket(Cookie=cookie, origin=closed.url) as socket:
        socket.send("here")
        assert socket.recv(20) == "here"


def test_a_socket_of_another_sites_page_is_refused_with_a_token_too(closed: House) -> None:
    assert closed.refused(Authorization=f"Bearer {TOKEN}", origin="http://evil.example") == 403


def test_without_users_a_socket_is_for_own_pages_and_programs_alone(wide_open: House) -> None:
    assert wide_open.refused(origin="http://evil.example") == 403
    assert wide_open.refused(origin=wide_open.url.replace("http", "https") + "0") == 403
    assert wide_open.behind.reached == []
    for origin in (None, wide_open.url):
        with wide_open.socket(origin=origin) as socket:
            socket.send("here")
            assert socket.recv(20) == "here"


def test_a_socket_that_is_refused_says_why_where_the_server_can_only_close() -> None:
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "websocket",
        "path": "/",
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"localhost")],
    }
    for origin, code in ((b"http://localhost", 4401), (b"http://evil.example", 4403)):
        guard = Guard(Behind(None), Access.of(tokens=[TOKEN]), ServeConfig())
        headers = [*scope["headers"], (b"origin", origin)]
        asyncio.run(guard({**scope, "headers": headers}, receive, send))
        assert said.pop()["code"] == code


# ------------------------------------------------------------------ logging in and out


def test_a_person_logs_in_comes_back_to_his_page_and_logs_out(closed: House) -> None:
    with closed.client() as client:
        sent = client.get("/?take=door", headers=PAGE)
        assert sent.status_code == 303
        assert sent.headers["Location"] == "/login?next=%2F%3Ftake%3Ddoor"
        page = client.get(sent.headers["Location"], headers=PAGE)
        assert page.status_code == 200
        assert 'value="/?take=door"' in page.text
        assert "Password" in page.text
        assert "Token" in page.text
        assert "<script" not in page.text
        back = log_in(client, next="/?take=door")
        assert back.status_code == 303
        assert back.headers["Location"] == "/?take=door"
        cookie = back.headers["Set-Cookie"].lower()
        assert all(each in cookie for each in ("httponly", "samesite=strict", "path=/"))
        assert "secure" not in cookie
        assert PASSWORD not in cookie
        assert client.get("/v1/who").json() == {"name": "anna", "can_log_out": True}
        assert client.get("/login?next=/config").headers["Location"] == "/config"
        name, id = cookie_of(client).split("=")
        out = client.post("/logout")
        assert out.headers["Location"] == "/login"
        assert not client.cookies
        client.cookies.set(name, id)
        assert client.get("/v1/who").status_code == 401


def test_a_person_may_come_in_with_a_token(closed: House) -> None:
    with closed.client() as client:
        assert client.post("/login", data={"token": f" {TOKEN}\n"}).status_code == 303
        assert client.get("/v1/who").json() == {"name": "", "can_log_out": True}


@pytest.mark.parametrize(
    "form",
    [
        {"name": "anna", "password": "wrong"},
        {"name": "nobody", "password": PASSWORD},
        {"name": "anna"},
        {"token": "wrong"},
        {"token": ""},
        {},
        {"name": "<b>anna</b>", "password": "</script>"},
    ],
)
def test_what_is_not_right_is_said_and_gives_no_cookie(form: dict[str, str], closed: House) -> None:
    with closed.client() as client:
        answer = client.post("/login", data={**form, "next": '/"><b>'})
        assert answer.status_code == 401
        assert 'role="alert"' in answer.text
        assert "<b>" not in answer.text
        assert "Set-Cookie" not in answer.headers
        for said in form.values():
            assert not said or said not in answer.text


def test_a_form_that_is_none_is_refused(closed: House) -> None:
    with closed.client() as client:
        for how in (
            {"json": {"token": TOKEN}},
            {"files": {"token": TOKEN.encode()}},
            {"data": {"token": TOKEN, "more": "x" * 20_000}},
            {"content": b"\xff=\xfe&" * 20},
        ):
            answer = client.post("/login", **how)
            assert answer.status_code == 400
            assert "Set-Cookie" not in answer.headers
        assert client.put("/login").status_code == 405
        assert client.get("/logout").status_code == 405


def test_a_login_that_another_sites_page_sends_is_refused(closed: House) -> None:
    with closed.client() as client:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = client.post("/login", data={"token": TOKEN}, headers=headers)
            assert answer.status_code == 403, headers
        for headers in (
            {"Origin": closed.url, "Sec-Fetch-Site": "same-origin"},
            {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        ):
            assert client.post("/login", data={"token": TOKEN}, headers=headers).is_redirect


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: a=b",
        "evil.example",
        "",
        "/login?next=/",
        "/logout",
        "/caf\u00e9",
        "//[",
    ],
)
def test_after_logging_in_nobody_is_sent_elsewhere(next: str) -> None:
    assert local(next) == "/"


def test_after_logging_in_one_is_where_one_wanted_to_be() -> None:
    for next in ("/", "/?take=a&b=%2F", "/v1/takes/live/frames/1.jpg", "/a//b"):
        assert local(next) == next


def test_over_tls_the_cookie_is_for_tls_alone_before_a_proxy_as_well(closed: House) -> None:
    host = closed.url.removeprefix("http://")
    with closed.client(Origin=f"https://{host}") as client:
        answer = log_in(client)
    assert "secure" in answer.headers["Set-Cookie"].lower()


def test_a_link_on_another_site_leads_to_the_page_and_not_to_a_login(closed: House) -> None:
    """There the browser holds the cookie back; it sends it when our page itself goes on."""
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", **PAGE}
    with closed.client() as client:
        answer = client.get("/?take=a", headers=elsewhere)
        assert answer.status_code == 200
        assert answer.headers["Refresh"] == "0; url=/login?next=%2F%3Ftake%3Da"
        log_in(client)
        assert client.get("/login?next=/config").headers["Location"] == "/config"


def test_a_login_is_forgotten_after_half_a_day_without_use(closed: House) -> None:
    with closed.client() as client:
        log_in(client)
        closed.clock.now_s += IDLE_S - 1
        assert client.get("/v1/models").status_code == 200
        closed.clock.now_s += IDLE_S + 1
        assert client.get("/v1/models").status_code == 401


def test_logging_out_closes_sockets_and_streams_of_that_login_alone(closed: House) -> None:
    with closed.client() as mine, closed.client() as yours, ExitStack() as opened:
        log_in(mine)
        log_in(yours)
        cookies = [cookie_of(each) for each in (mine, yours)]
        sockets = [
            opened.enter_context(closed.socket(origin=closed.url, Cookie=each)) for each in cookies
        ]
        with mine.stream("GET", "/v1/events/stream") as stream, closed.client() as third:
            parts = stream.iter_raw()
            next(parts)
            third.post("/logout", headers={"Cookie": cookies[0]})
            assert len(list(parts)) < 9_999, "it ended in the middle"
        sockets[0].send("here")
        with pytest.raises(ConnectionClosed) as ended:
            sockets[0].recv(20)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 4401
        sockets[1].send("here")
        assert sockets[1].recv(20) == "here"


def test_a_socket_in_use_keeps_its_login(closed: House) -> None:
    with closed.client() as client:
        log_in(client)
        cookie = cookie_of(client)
        with closed.socket(origin=closed.url, Cookie=cookie) as socket:
            for _ in range(3):
                closed.clock.now_s += IDLE_S - 1
                socket.send("here")
                assert socket.recv(20) == "here"
        assert client.get("/v1/models").status_code == 200


# ------------------------------------------------------------------ failures


def test_after_five_failures_in_a_minute_nothing_is_tried_and_a_right_token_still_works(
    closed: House,
) -> None:
    with closed.client() as client:
        for number in range(5):
            wrong = {
                "Authorization": f"Bearer wrong-{number}",
                "X-Forwarded-For": f"9.9.9.{number}",
            }
            assert client.get("/v1/models", headers=wrong).status_code == 401
        answer = client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert closed.refused(Authorization="Bearer wrong") == 429
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert client.get("/v1/models", headers=BEARER).status_code == 200
        assert log_in(client).status_code == 303, "programs keep nobody out who logs in"
        closed.clock.now_s += 61
        assert client.get("/v1/models", headers=wrong).status_code == 401


def test_after_five_failed_logins_in_a_minute_nobody_logs_in_and_a_token_still_works(
    closed: House,
) -> None:
    with closed.client() as client:
        for number in range(5):
            assert client.post("/login", data={"token": f"wrong-{number}"}).status_code == 401
        for form in ({"token": TOKEN}, {"name": "anna", "password": PASSWORD}):
            late = client.post("/login", data=form)
            assert late.status_code == 429
            assert int(late.headers["Retry-After"]) > 0
            assert "Set-Cookie" not in late.headers
        assert client.get("/v1/models", headers=BEARER).status_code == 200
        assert closed.refused(Authorization="Bearer wrong") == 401
        closed.clock.now_s += 61
        assert log_in(client).status_code == 303


def test_two_servers_of_one_host_leave_each_other_their_logins(
    closed: House, behind: Behind
) -> None:
    other = Guard(behind, Access.of(tokens=[TOKEN]), ServeConfig(port=0))
    with closed.client() as client, serving(other) as url:
        log_in(client)
        assert client.post(f"{url}/login", data={"token": TOKEN}).status_code == 303
        assert client.get("/v1/models").status_code == 200
        assert client.post(f"{url}/logout").status_code == 303
        assert client.get("/v1/models").status_code == 200


def test_logins_that_are_right_and_visitors_without_a_token_are_never_throttled(
    closed: House,
) -> None:
    with closed.client() as client:
        for _ in range(8):
            assert client.get("/v1/models").status_code == 401
            assert client.get("/v1/models", headers=BEARER).status_code == 200
            assert log_in(client).status_code == 303
            client.cookies.clear()


def test_many_wrong_passwords_at_once_are_no_more_than_one_after_the_other(closed: House) -> None:
    statuses: list[int] = []

    def attempt() -> None:
        with closed.client() as client:
            statuses.append(log_in(client, "wrong").status_code)

    threads = [threading.Thread(target=attempt) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [401] * 5 + [429] * 7


# ------------------------------------------------------------------ other names, other sites


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_without_users_another_name_that_leads_here_is_refused(host: str, wide_open: House) -> None:
    with wide_open.client() as client:
        for path in ("/", "/healthz", "/login"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 421
    if host:
        where = wide_open.url.removeprefix("http://").split(":")
        with (
            create_connection((where[0], int(where[1]))) as line,
            pytest.raises(InvalidStatus) as caught,
        ):
            connect(f"ws://{host}/v1/takes/live/view", sock=line, origin=Origin(f"http://{host}"))
        assert caught.value.response.status_code == 421
    assert wide_open.behind.reached == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:7860", "a.localhost", "127.1.2.3"]
)
def test_names_of_this_machine_are_fine(host: str, wide_open: House) -> None:
    with wide_open.client() as client:
        assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_the_operator_may_add_names_and_origins(street: Street) -> None:
    config = {"allow_hosts": ["cam.example"], "allow_origins": ["https://other.example"]}
    open_house = street.house(Access.of(), **config)
    with open_house.client() as client:
        named = {"Host": "cam.example"}
        assert client.get("/v1/models", headers=named).status_code == 200
        own = {**named, "Origin": "http://cam.example"}
        assert client.post("/v1/body", headers=own).status_code == 200
        assert client.post("/v1/body", headers={"Origin": "https://other.example"}).is_success
        for origin in ("http://other.example", "https://other.example:444", "https://a.example"):
            assert client.post("/v1/body", headers={"Origin": origin}).status_code == 403
        with open_house.socket(origin="https://other.example") as socket:
            socket.send("here")
            assert socket.recv(20) == "here"


def test_a_page_of_another_site_may_not_send_nor_load_parts_of_ours(wide_open: House) -> None:
    with wide_open.client() as client:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": wide_open.url + "0"},
            {"Origin": wide_open.url, "Sec-Fetch-Site": "cross-site"},
        ):
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                answer = client.request(method, "/v1/body", headers=headers)
                assert answer.status_code == 403, (method, headers)
                assert answer.json()["error"]["code"] == "wrong_origin"
        image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert client.get("/v1/models", headers=image).status_code == 403
        assert wide_open.behind.reached == []
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert client.get("/v1/models", headers=link).status_code == 200
        assert client.post("/v1/body", headers={"Origin": wide_open.url}).status_code == 200


def test_a_site_that_the_operator_named_may_call_with_a_token(street: Street) -> None:
    origin = "https://other.example"
    one = street.house(Access.of(tokens=[TOKEN]), allow_origins=[origin])
    with one.client(Origin=origin) as client:
        wish = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        asked = client.options("/v1/body", headers=wish)
        assert asked.status_code == 204
        assert asked.headers["Access-Control-Allow-Origin"] == origin
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in asked.headers
        assert client.post("/v1/body").status_code == 401
        answer = client.post("/v1/body", headers=BEARER)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in answer.headers["Vary"]
        stranger = client.options("/v1/body", headers={**wish, "Origin": "https://a.example"})
        assert stranger.status_code == 401
        assert "Access-Control-Allow-Origin" not in stranger.headers


def test_no_route_may_share_its_answers_with_other_sites(wide_open: House) -> None:
    with wide_open.client() as client:
        assert "Access-Control-Allow-Origin" not in client.get("/v1/shared").headers
        own = {"Origin": wide_open.url}
        assert "Access-Control-Allow-Origin" not in client.get("/config", headers=own).headers


# ------------------------------------------------------------------ sizes


@pytest.fixture
def small(street: Street) -> House:
    return street.house(
        Access.of(tokens=[TOKEN]),
        max_json_bytes=100_000,
        max_body_bytes=200_000,
        max_upload_bytes=300_000,
    )


def pieces(count: int, size: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"a" * size


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/body", 100_000),
        ("/v1/takes/live/frames", 200_000),
        ("/v1/takes/live/sources/file", 300_000),
    ],
)
def test_a_body_may_be_so_large_and_not_larger(path: str, most: int, small: House) -> None:
    with small.client(**BEARER) as client:
        assert client.post(path, content=b"a" * most).json() == {"bytes": most}
        assert client.post(path, content=pieces(most // 1_000, 1_000)).json() == {"bytes": most}
        small.behind.reached.clear()
        told = client.post(path, content=b"a" * (most + 1))
        assert told.status_code == 413
        assert client.post(path, content=b"a" * 5_000_000).status_code == 413
        assert small.behind.reached == [], "its length was told, so it is not even begun"
        assert f"{most:,}" in told.json()["error"]["message"]
        assert client.post(path, content=pieces(500, 10_000)).status_code == 413
        streamed = client.post(path, content=pieces(most // 1_000 + 1, 1_000))
        assert streamed.status_code == 413
        assert streamed.json()["error"]["code"] == "too_large"
        assert client.get("/v1/models").status_code == 200


def test_a_path_that_looks_like_an_upload_is_none(small: House) -> None:
    with small.client(**BEARER) as client:
        for path in ("/v1/takes/a/b/sources/file", "/v1/body/v1/takes/a/sources/file"):
            assert client.post(path, content=b"a" * 200_000).status_code == 413


def test_those_outside_do_not_get_their_body_read(small: House) -> None:
    with small.client() as client:
        for size in (50_000, 5_000_000):
            assert client.post("/v1/body", content=b"a" * size).status_code in (401, 413)
    assert small.behind.reached == []


# ------------------------------------------------------------------ headers


def test_every_answer_tells_the_browser_what_it_may_do(closed: House) -> None:
    with closed.client() as client:
        answers = [
            client.get("/", headers=BEARER),
            client.get("/nothing-here", headers=BEARER),
            client.get("/gradio_api/info", headers=BEARER),
            client.get("/healthz"),
            client.get("/v1/models"),
            client.get("/", headers=PAGE),
            client.get("/login"),
            client.post("/login", headers={"Origin": "http://evil.example"}),
        ]
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "http" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert "microphone=()" in answer.headers["Permissions-Policy"]
        assert "camera=(self)" in answer.headers["Permissions-Policy"]
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in answer.headers
        assert "Server" not in answer.headers


def test_what_tells_of_a_login_is_kept_in_no_cache(closed: House) -> None:
    with closed.client() as client:
        for answer in (client.get("/login"), client.get("/v1/models"), log_in(client)):
            assert answer.headers["Cache-Control"] == "no-store"


def test_without_users_there_is_nothing_to_log_in_to(wide_open: House) -> None:
    with wide_open.client() as client:
        assert client.get("/login?next=/config").headers["Location"] == "/config"
        assert client.post("/login", data={"token": "x"}).headers["Location"] == "/"
        assert client.post("/logout").headers["Location"] == "/"
        assert client.get("/v1/who").json() == {"name": "", "can_log_out": False}
