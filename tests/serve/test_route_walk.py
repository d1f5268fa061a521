"""Every route of the application is in the table of what it requires, and none answers anyone who does not have that."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from serve_fakes import lengths
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from shokunin.serve.app import create_app
from shokunin.serve.callers import ALL, PERMISSIONS, Permission
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import KeyFile


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path template of the application."""
    found = []
    for route in app.routes:
        assert isinstance(route, Route) and not isinstance(route, Mount), f"{route!r} hides routes that nobody walks"
        found += [(method, route.path) for method in sorted(route.methods or ())]
    assert len(found) > 10
    return found


def ask(app: FastAPI, asked: list[tuple[str, str]], token: str | None) -> dict[tuple[str, str], int]:
    """The status of each, with this key."""

    async def walk() -> dict[tuple[str, str], int]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        statuses = {}
        transport = httpx.ASGITransport(app, client=("203.0.113.9", 5000))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop.example", headers=headers) as client,
        ):
            for method, path in asked:
                address = path.replace("{name:path}", "lengths").replace("{name}", "lengths")
                statuses[method, path] = (await client.request(method, address)).status_code
        return statuses

    return asyncio.run(walk())


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def needed(route: tuple[str, str]) -> str:
    method, path = route
    return PERMISSIONS["GET" if method == "HEAD" else method, path]


def test_every_route_is_in_the_table_and_the_table_has_no_other(file: KeyFile) -> None:
    routes = routes_of(create_app(lengths()))
    walked = {("GET" if method == "HEAD" else method, path) for method, path in routes}
    assert walked == set(PERMISSIONS)


def test_without_a_key_only_the_open_routes_answer(file: KeyFile) -> None:
    file.create("somebody")
    app = create_app(lengths(), gate=KeyGate(file))
    for token in (None, f"sk-shokunin-{'0' * 12}-{'A' * 43}"):
        statuses = ask(app, routes_of(app), token)
        assert {route for route, status in statuses.items() if status != 401} == {
            route for route in statuses if needed(route) == "open"
        }
    assert {path for (_, path), need in PERMISSIONS.items() if need == "open"} == {"/health", "/ready"}


@pytest.mark.parametrize("permission", sorted(ALL))
def test_a_key_opens_what_its_permission_says_and_nothing_else(file: KeyFile, permission: Permission) -> None:
    _, token = file.create("somebody", permissions=[permission])
    app = create_app(lengths(), gate=KeyGate(file))
    statuses = ask(app, routes_of(app), token)
    for route, status in statuses.items():
        assert (status == 403) == (needed(route) not in ("open", "any", permission)), (route, status)
        assert status != 401


def test_a_route_that_somebody_forgot_to_enter_is_not_reached(file: KeyFile) -> None:
    _, token = file.create("somebody", permissions=sorted(ALL))
    app = create_app(lengths(), gate=KeyGate(file))
    app.router.routes.insert(0, Route("/forgotten", lambda request: PlainTextResponse("secret"), methods=["GET"]))
    app.router.routes.insert(0, Route("/v1/models", lambda request: PlainTextResponse("secret"), methods=["DELETE"]))
    app.router.routes.insert(0, Mount("/tools", lambda *_: PlainTextResponse("secret")(*_)))
    asked = [("GET", "/forgotten"), ("POST", "/forgotten"), ("DELETE", "/v1/models"), ("GET", "/tools/x")]
    assert list(ask(app, asked, token).values()) == [404, 404, 405, 404]
    assert list(ask(app, asked, None).values()) == [401] * 4


@pytest.mark.parametrize(
    "path", ["//v1/models", "/v1//models", "/V1/models", "/v1/models/", "/health/", "/health/../metrics"]
)
def test_no_spelling_of_an_address_gets_around_the_gate(file: KeyFile, path: str) -> None:
    file.create("somebody")
    app = create_app(lengths(), gate=KeyGate(file))

    async def call() -> int:
        sent = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(b"host", b"shop.example")], "root_path": "", "client": ("203.0.113.9", 1), "scheme": "http",
            "server": ("shop.example", 80), "http_version": "1.1", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await app(scope, receive, send)  # type: ignore[arg-type]
        return sent[0]["status"]  # type: ignore[return-value]

    assert asyncio.run(call()) == 401
