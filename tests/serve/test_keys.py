"""Keys: shown once, kept as digests; whoever has none, a wrong, an old or a revoked one, or one for less, stays outside."""

import base64
import hmac
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serve_fakes import lengths, running_app
from starlette.requests import HTTPConnection

from shokunin.errors import ArtefactError, ProjectError, UsageError
from shokunin.serve import gate as gate_module
from shokunin.serve.app import create_app
from shokunin.serve.callers import ALL, LOCAL, Allowance, Caller, Scopes
from shokunin.serve.gate import KeyGate
from shokunin.serve.keys import DEFAULT, KeyFile, digest_of, split_token
from shokunin.serve.process import ServerProcess, bind
from shokunin.serve.refusal import Refusal

DAY = 86400.0


class Clock:
    def __init__(self, now: float = 1_795_348_800.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> KeyFile:
    return KeyFile(tmp_path / ".shokunin" / "keys.json", clock=clock)


def gate_of(file: KeyFile, clock: Clock) -> KeyGate:
    return KeyGate(file, clock=clock, ticks=clock)


def request(*authorization: str, path: str = "/v1/models", query: str = "", method: str = "GET") -> HTTPConnection:
    headers = [(b"host", b"shop.example"), *((b"authorization", value.encode("latin-1")) for value in authorization)]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    return HTTPConnection({**scope, "client": ("203.0.113.9", 5000)})


def refused(gate: KeyGate, asked: HTTPConnection) -> Refusal:
    with pytest.raises(Refusal) as caught:
        gate(asked)
    assert caught.value.status == 401
    assert caught.value.code == "invalid_api_key"
    return caught.value


# the file


def test_a_key_is_shown_once_and_only_its_digest_is_kept(file: KeyFile) -> None:
    key, token = file.create("shop")
    identity, secret = split_token(token)
    assert token == f"sk-shokunin-{key.id}-{secret}" and identity == key.id
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32, "256 bits"
    kept = file.path.read_text()
    assert secret not in kept and secret not in repr(key)
    assert key.digest == digest_of(secret) and key.digest not in repr(key)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read() == (key,)
    assert key.scopes == Scopes(DEFAULT)


def test_the_file_keeps_all_that_was_said(file: KeyFile, clock: Clock) -> None:
    limits = Allowance(requests_per_minute=3, usd_per_month=2.5)
    key, _ = file.create("shop", permissions=["metrics"], models=["inq*"], seconds=DAY, limits=limits)
    assert file.read() == (key,)
    assert (key.expires, key.limits, key.scopes) == (clock.now + DAY, limits, Scopes(frozenset({"metrics"}), ("inq*",)))


def test_the_permissions_stay_private_whatever_the_umask(file: KeyFile) -> None:
    before = os.umask(0)
    try:
        file.create("one")
        file.create("two")
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_many_writers_lose_no_key(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.create, args=(f"client-{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.id for key in file.read()}) == 12


@pytest.mark.parametrize("name", ["", "local", "a b", "x" * 65, "shop\r\nx-evil: 1", "../shop", "ショップ", "-x"])
def test_a_name_that_cannot_be(file: KeyFile, name: str) -> None:
    with pytest.raises(UsageError, match="a key's name"):
        file.create(name)
    assert not file.path.exists()


@pytest.mark.parametrize(
    "wrong", [{"permissions": ["root"]}, {"permissions": []}, {"models": [" "]}, {"models": "inq"}, {"seconds": -1.0}]
)
def test_what_a_key_cannot_be_made_with(file: KeyFile, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        file.create("shop", **wrong)
    assert not file.path.exists()


def test_revoking_by_name_or_by_id(file: KeyFile, clock: Clock) -> None:
    first, _ = file.create("shop")
    second, _ = file.create("shop")
    with pytest.raises(ProjectError, match=f"'shop' has 2 keys.*{first.id}, {second.id}"):
        file.revoke("shop")
    clock.now += 5
    assert file.revoke(first.id).revoked == clock.now
    assert file.revoke("shop").id == second.id
    for name in ("shop", first.id):
        with pytest.raises(ProjectError, match="revoked already"):
            file.revoke(name)
    with pytest.raises(ProjectError, match=r"'nobody' is not there.*keys list"):
        file.revoke("nobody")
    assert [key.state(clock.now) for key in file.read()] == ["revoked", "revoked"]
    assert not file.any_valid()


def damaged() -> Iterator[Any]:
    good: dict[str, Any] = {
        "id": "0123456789ab", "name": "shop", "sha256": "0" * 64, "created": 1.0, "expires": None, "revoked": None,
        "permissions": ["answer"], "models": [], "limits": {},
    }  # fmt: skip
    yield from ("", "[]", "{", '{"format": 2, "keys": []}', '{"format": 1}')
    for change in (
        {"sha256": "0"}, {"name": "local\n"}, {"permissions": ["root"]}, {"permissions": []}, {"models": "x"},
        {"limits": {"requests": 3}}, {"limits": {"usd_per_day": "3"}}, {"limits": {"usd_per_day": -1}},
        {"created": "today"}, {"more": 1},
    ):  # fmt: skip
        yield json.dumps({"format": 1, "keys": [good | change]})
    del good["limits"]
    yield json.dumps({"format": 1, "keys": [good]})


@pytest.mark.parametrize("text", [*damaged()])
def test_a_file_that_is_not_ours_stops_the_start(file: KeyFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(ArtefactError, match=r"keys\.json"):
        KeyGate(file)


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are those of POSIX")
def test_a_file_that_others_may_write_is_not_believed(file: KeyFile) -> None:
    file.create("shop")
    file.path.chmod(0o660)
    with pytest.raises(ArtefactError, match=r"others may write.*chmod 600"):
        file.any_valid()


# the gate


def test_the_right_key_says_whose_the_request_is(file: KeyFile, clock: Clock) -> None:
    limits = Allowance(tokens_per_day=5)
    key, token = file.create("shop", models=["inquiries"], limits=limits)
    gate = gate_of(file, clock)
    assert gate(request(f"Bearer {token}")) == Caller("shop", key.id, Scopes(DEFAULT, ("inquiries",)), limits)
    assert gate(request(f"bearer  {token} ")).name == "shop"


def test_without_any_key_it_is_the_gate_of_this_machine(file: KeyFile, clock: Clock) -> None:
    gate = gate_of(file, clock)
    assert not gate.required
    local = HTTPConnection(
        {
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(b"host", b"localhost:8321"), (b"authorization", b"Bearer sk-what-clients-send-anyway")],
        }
    )  # fmt: skip
    assert gate(local) is LOCAL
    with pytest.raises(Refusal, match="its own machine only"):
        gate(request())


def test_the_first_key_closes_a_running_server_and_a_lost_file_does_not_open_it(file: KeyFile, clock: Clock) -> None:
    gate = gate_of(file, clock)
    _, token = file.create("shop")
    clock.now += 2
    assert refused(gate, request())
    assert gate(request(f"Bearer {token}")).name == "shop"
    file.path.unlink()
    clock.now += 2
    assert refused(gate, request(f"Bearer {token}"))
    assert refused(gate, request())


def test_it_follows_the_file_within_a_second(file: KeyFile, clock: Clock) -> None:
    file.create("first")
    gate = gate_of(file, clock)
    key, token = file.create("second")
    assert refused(gate, request(f"Bearer {token}")), "not looked again yet"
    clock.now += 1.1
    assert gate(request(f"Bearer {token}")).name == "second"
    file.revoke(key.id)
    clock.now += 1.1
    assert "revoked" in refused(gate, request(f"Bearer {token}")).message


def test_while_the_file_is_damaged_nobody_is_let_in(
    file: KeyFile, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = file.create("shop")
    gate = gate_of(file, clock)
    good = file.path.read_text()
    file.path.write_text("{")
    clock.now += 2
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            gate(request(f"Bearer {token}"))
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
        assert str(file.path) not in caught.value.message
        clock.now += 2
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1
    file.path.write_text(good)
    clock.now += 2
    assert gate(request(f"Bearer {token}")).name == "shop"


def test_an_expired_key_is_told_so_only_if_its_secret_is_right(file: KeyFile, clock: Clock) -> None:
    key, token = file.create("shop", seconds=DAY)
    gate = gate_of(file, clock)
    clock.now += DAY - 0.001
    gate(request(f"Bearer {token}"))
    clock.now += 0.001
    assert "expired" in refused(gate, request(f"Bearer {token}")).message
    guess = f"sk-shokunin-{key.id}-{'A' * 43}"
    assert "expired" not in refused(gate, request(f"Bearer {guess}")).message


def test_what_is_not_a_key(file: KeyFile, clock: Clock) -> None:
    key, token = file.create("shop")
    gate = gate_of(file, clock)
    secret = split_token(token)[1]
    for header in (
        "", "Bearer", "Bearer ", token, secret, f"Basic {token}", f"Token {token}", f"Bearer {secret}", f"Bearer {token}x",
        f"Bearer {token[:-1]}", f"Bearer {token},{token}", f"Bearer {token} {token}", f"Bearer {token.upper()}",
        f"Bearer sk-shokunin-{'0' * 12}-{secret}", f"Bearer sk-shokunin-{key.id}-{'é' * 43}", "Bearer " + "x" * 60_000,
    ):  # fmt: skip
        refusal = refused(gate, request(header))
        assert secret not in refusal.body().decode()
        assert refusal.headers["www-authenticate"] == "Bearer"
    refused(gate, request())
    refused(gate, request(f"Bearer {token}", f"Bearer {token}"))


def test_a_key_in_the_address_is_refused_even_beside_a_good_one(file: KeyFile, clock: Clock) -> None:
    _, token = file.create("shop")
    gate = gate_of(file, clock)
    for query in (f"api_key={token}", f"x=1&key={token}"):
        for headers in ((), (f"Bearer {token}",)):
            assert "revoke it" in refused(gate, request(*headers, query=query)).message


def test_every_lookup_makes_one_comparison_in_constant_time(
    file: KeyFile, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = file.create("shop")
    gate = gate_of(file, clock)
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def spy(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return bool(real(a, b))

    monkeypatch.setattr(gate_module.hmac, "compare_digest", spy)
    gate(request(f"Bearer {token}"))
    refused(gate, request(f"Bearer sk-shokunin-{key.id}-{'A' * 43}"))
    refused(gate, request(f"Bearer sk-shokunin-{'0' * 12}-{'A' * 43}"))
    refused(gate, request("Bearer what is this"))
    assert compared == [(64, 64)] * 4


def test_a_browser_may_send_a_key_as_a_password_to_the_page_and_nowhere_else(file: KeyFile, clock: Clock) -> None:
    _, token = file.create("shop", permissions=["metrics"])
    gate = gate_of(file, clock)
    basic = "Basic " + base64.b64encode(f"me:{token}".encode()).decode()
    assert gate(request(basic, path="/")).name == "shop"
    assert refused(gate, request(path="/")).headers["www-authenticate"].startswith("Basic ")
    for path, method in (("/v1/models", "GET"), ("/metrics", "GET"), ("/", "POST")):
        refused(gate, request(basic, path=path, method=method))
    for wrong in ("Basic ", "Basic ###", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic bWU="):
        refused(gate, request(wrong, path="/"))


# scopes


@pytest.mark.parametrize(
    ("patterns", "names", "allowed"),
    [
        ((), ("anything",), True),
        (("inquiries",), ("inquiries",), True),
        (("inquiries",), ("inquiries@3",), True),
        (("inquiries",), ("inquiries2",), False),
        (("inquiries@3",), ("inquiries@4",), False),
        (("inquiries@3",), ("inquiries",), False),
        (("gpt-4o*", "inq*"), ("inquiries@champion",), True),
        (("gpt-4o*",), ("gpt-5",), False),
        (("gpt-4o",), ("GPT-4o",), False),
        (("inquiries",), ("auto", "inquiries"), True),
        (("*",), ("",), True),
    ],
)
def test_which_models_a_key_may_ask(patterns: tuple[str, ...], names: tuple[str, ...], allowed: bool) -> None:
    caller = Caller("shop", "0", Scopes(ALL, patterns))
    assert caller.scopes.allows(*names) is allowed
    if not allowed:
        with pytest.raises(Refusal) as caught:
            caller.require_model(*names)
        assert (caught.value.status, caught.value.code, caught.value.param) == (403, "model_not_allowed", "model")


# a real server


def test_the_official_client_reads_the_refusals(file: KeyFile) -> None:
    key, token = file.create("shop")
    _, other = file.create("monitor", permissions=["metrics"])
    _, narrow = file.create("narrow", models=["something-else"])
    with running_app(create_app(lengths(), gate=KeyGate(file))) as url:

        def ask(api_key: str) -> str | None:
            with openai.OpenAI(base_url=f"{url}/v1", api_key=api_key, max_retries=0) as client:
                reply = client.chat.completions.create(model="lengths", messages=[{"role": "user", "content": "hello"}])
            return reply.choices[0].message.content

        assert ask(token) == "odd"
        with pytest.raises(openai.AuthenticationError) as unknown:
            ask(f"sk-shokunin-{key.id}-{'A' * 43}")
        assert unknown.value.code == "invalid_api_key"
        with pytest.raises(openai.PermissionDeniedError) as lacking:
            ask(other)
        assert lacking.value.code == "permission_denied"
        assert "--permission answer" in lacking.value.message
        with pytest.raises(openai.PermissionDeniedError) as wrong_model:
            ask(narrow)
        assert wrong_model.value.code == "model_not_allowed"
        with openai.OpenAI(base_url=f"{url}/v1", api_key=narrow) as client:
            assert client.models.list().data == []
        with httpx.Client(base_url=url) as plain:
            assert plain.get("/health").status_code == 200
            assert plain.get("/ready").status_code == 200
            assert plain.get("/v1/models").status_code == 401
            assert plain.get("/nothing").status_code == 401, "strangers do not learn what is there"
            assert plain.get("/nothing", headers={"authorization": f"Bearer {token}"}).status_code == 404
            foreign = {"authorization": f"Bearer {token}", "host": "shop.example", "origin": "https://shop.example"}
            reply = plain.get("/v1/models", headers=foreign)
            assert reply.status_code == 200
            assert not [name for name in reply.headers if name.startswith("access-control")]


def test_headers_cannot_be_smuggled(file: KeyFile, caplog: pytest.LogCaptureFixture) -> None:
    _, token = file.create("shop")
    with running_app(create_app(lengths(), gate=KeyGate(file))) as url:
        port = int(url.rpartition(":")[2])
        for sent in (
            f"Authorization: Bearer {token}\x00".encode(),
            f"Authorization: Bearer {token[:30]}\r\n {token[30:]}".encode(),
            f"Authorization: Bearer wrong\r\nAuthorization: Bearer {token}".encode(),
            f"Authorization : Bearer {token}".encode(),
            b"Authorization: Bearer \xff\xfe",
            f"X-Forwarded-For: 127.0.0.1\r\nX-Authorization: Bearer {token}".encode(),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(
                    b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + sent + b"\r\nConnection: close\r\n\r\n"
                )
                reply = b"".join(iter(lambda: connection.recv(65536), b""))
            assert int(reply.split(b" ")[1]) in (400, 401), sent
            assert token.encode() not in reply
    assert token not in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_only_with_a_key(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"reached from other machines.*shokunin keys create NAME"):
        bind(host, 0)


def test_a_server_with_a_key_may_be_reached_from_other_machines_and_warns(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key, token = file.create("shop")
    fake = [sys.executable, str(Path(__file__).with_name("fake_server.py"))]
    with ServerProcess(["--keys", str(file.path)], command=fake, host="0.0.0.0") as server:
        assert "put a proxy with TLS in front" in server.output()
        url = server.base_url
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        reply = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {token}", "host": "shop.example"})
        assert reply.status_code == 200
    file.revoke(key.id)
    done = ServerProcess(["--keys", str(file.path)], command=fake, host="0.0.0.0")
    with pytest.raises(Exception, match="no key to keep strangers out"), done:
        pass
