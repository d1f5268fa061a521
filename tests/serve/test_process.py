"""The server as a process: free ports, taken ports, foreign addresses, and a stop that loses nothing."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest
from serve_fakes import until

from shokunin.errors import RefusedError, UsageError
from shokunin.serve.process import ServerProcess, bind

FAKE = [sys.executable, str(Path(__file__).with_name("fake_server.py"))]


def test_a_server_process_is_ready_inside_the_block_and_gone_after_it() -> None:
    with ServerProcess([], command=FAKE) as server:
        url = server.base_url
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        assert httpx.get(f"{url}/version").json()["name"] == "shokunin"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_lets_requests_under_way_finish(number: signal.Signals) -> None:
    with ServerProcess(["--slow", "0.7"], command=FAKE) as server:
        replies: list[httpx.Response] = []
        body = {"inputs": ["hello"]}
        ask = threading.Thread(
            target=lambda: replies.append(httpx.post(f"{server.base_url}/v1/specialists/lengths/predict", json=body))
        )
        ask.start()
        until(lambda: "asked" in server.output())
        os.kill(server.pid, number)
        ask.join(10)
        assert replies[0].json()["answers"][0]["value"] == "odd"
        until(lambda: gone(server.pid))  # else `stop` would meet it between the last answer and the exit
        assert server.stop() == 0


def test_while_it_gives_notice_it_is_not_ready_and_still_answers() -> None:
    with ServerProcess(["--notice", "3"], command=FAKE) as server:
        os.kill(server.pid, signal.SIGTERM)
        until(lambda: httpx.get(f"{server.base_url}/ready").status_code == 503)
        assert httpx.get(f"{server.base_url}/ready").json()["error"]["code"] == "overloaded"
        body = {"inputs": ["hello"]}
        assert httpx.post(f"{server.base_url}/v1/specialists/lengths/predict", json=body).status_code == 200
        until(lambda: gone(server.pid))
        assert server.stop() == 0


def test_a_taken_port_is_named_with_the_next_step() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} on 127.0.0.1 is in use.*--port {port + 1}"):
            bind("127.0.0.1", port)
        done = subprocess.run([*FAKE, "--host", "127.0.0.1", "--port", str(port)], capture_output=True, text=True)
        assert done.returncode == 2
        assert f"port {port}" in done.stdout


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_other_machines_are_kept_out(host: str) -> None:
    with pytest.raises(UsageError, match=r"reached from other machines.*127\.0\.0\.1"):
        bind(host, 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_must_be_one(port: int) -> None:
    with pytest.raises(UsageError, match="from 0 to 65535"):
        bind("127.0.0.1", port)


def test_no_such_address() -> None:
    with pytest.raises(UsageError, match="no address"):
        bind("no such host", 0)


def test_ipv6_loopback() -> None:
    try:
        bind("::1", 0).close()
    except UsageError:
        pytest.skip("this machine has no IPv6")
    with ServerProcess([], command=FAKE, host="::1") as server:
        assert server.base_url.startswith("http://[::1]:")
        assert httpx.get(f"{server.base_url}/v1/models").status_code == 200


def test_a_server_that_dies_at_the_start_says_why() -> None:
    with (
        pytest.raises(RefusedError, match=r"(?s)did not start.*unrecognized arguments: --nonsense"),
        ServerProcess(["--nonsense"], command=FAKE),
    ):
        pass


def test_a_server_that_never_answers_is_given_up() -> None:
    command = [sys.executable, "-c", "import time; print('still thinking', flush=True); time.sleep(60)"]
    with (
        pytest.raises(RefusedError, match=r"(?s)not ready after 1 seconds.*still thinking"),
        ServerProcess([], command=command, seconds=1),
    ):
        pass


def test_a_server_does_not_outlive_a_parent_that_is_killed() -> None:
    code = (
        "import sys, time; from shokunin.serve.process import ServerProcess\n"
        f"with ServerProcess([], command={FAKE!r}) as server:\n"
        "    print(server.base_url, server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url, pid = parent.stdout.readline().split()
    assert httpx.get(f"{url}/ready").status_code == 200
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(int(pid)))


def gone(pid: int) -> bool:
    """Whether the process has ended, even if nobody has asked for its exit code yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
