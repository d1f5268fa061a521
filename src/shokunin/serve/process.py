"""The server as a process: bind, run, drain; and a server in a process of its own, for replay, tests and benchmarks."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import uvicorn
from fastapi import FastAPI

from shokunin.errors import RefusedError, UsageError
from shokunin.serve.connection import CONNECTIONS, Connection

if sys.platform != "win32":
    import resource

_log = logging.getLogger("shokunin.serve")

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than most clients do, so that no request meets a closing door."""


def run(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8321,
    *,
    drain_seconds: float = 30.0,
    notice_seconds: float = 0.0,
    started: Callable[[str], None] = lambda url: None,
    keyed: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, then stop in order.

    First `/ready` says no; `notice_seconds` later no connection is taken any more; the requests under way have
    `drain_seconds` to finish.

    Args:
        app: what `create_app` made.
        host: a loopback address or name; with keys any.
        port: 0 takes a free one.
        drain_seconds: after this, what is still running is cut off.
        notice_seconds: time a balancer in front has to see that `/ready` says no.
        started: told the base URL once the port is bound.
        keyed: the application's gate asks for keys, and there is one.

    Raises:
        UsageError: the address is not this machine's own and there are no keys, or the port is taken or not allowed.
    """
    listener = bind(host, port, keyed=keyed)
    if not _is_loopback(str(listener.getsockname()[0])):
        _log.warning(
            "%s can be reached from other machines, and this server speaks plain HTTP: "
            "put a proxy with TLS in front, or keys and texts can be read on the way",
            host,
        )
    if os.environ.get(_LEASH):
        threading.Thread(target=_stop_with_parent, name="leash", daemon=True).start()
    _allow_connections()
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    with listener:
        started(_url(*listener.getsockname()[:2]))
        _Server(config, app, notice_seconds).run(sockets=[listener])


def bind(host: str, port: int, *, keyed: bool = False) -> socket.socket:
    """A listening socket on a loopback address; on any other only for a server that asks for keys (`keyed`).

    Raises:
        UsageError: the address is not this machine's own and there are no keys, or the port is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"a port is a number from 0 to 65535, not {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"there is no address {host!r}; the usual one is --host 127.0.0.1") from error
    if not keyed and not _is_loopback(str(address[0])):
        raise UsageError(
            f"{host!r} can be reached from other machines, and there is no key to keep strangers out; "
            "make one: shokunin keys create NAME; or serve on --host 127.0.0.1"
        )
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of a server just stopped is free
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux lets go of what a client has left unread after this time
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * KEEP_ALIVE * 1000)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _bind_error(error, host, port) from error
    return listener


_LEASH = "SHOKUNIN_STOP_AT_END_OF_INPUT"
"""Set in the environment of a server that must not outlive the process that started it."""


class ServerProcess:
    """A ready server in a process of its own, on a free loopback port; stopped at the end of the `with` block.

    ```
    with ServerProcess(["--specialist", str(folder)]) as server:
        httpx.get(server.base_url + "/v1/models")
    ```

    Args:
        arguments: what follows `shokunin serve`, without host and port.
        command: the program instead of `python -m shokunin serve`; it must take `--host` and `--port`.
        seconds: time it has to become ready.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        command: Sequence[str] | None = None,
        host: str = "127.0.0.1",
        seconds: float = 60.0,
    ) -> None:
        self._command = [*(command or (sys.executable, "-m", "shokunin", "serve")), *arguments, "--host", host]
        self._host = host
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.base_url = ""

    def __enter__(self) -> ServerProcess:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._output.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def stop(self, seconds: float = 35.0) -> int | None:
        """Ask it to stop, insist after `seconds`; its exit code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self._process.returncode

    def output(self, last: int = 2000) -> str:
        """The end of what it has written so far: whole lines, about `last` bytes at most."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - last))
        text = self._output.read().decode("utf-8", "replace")
        return text if size <= last else text.partition("\n")[2] or text

    def _start(self) -> None:
        for _ in range(3):  # between finding a free port and taking it another program may be quicker
            port = _free_port(self._host)
            self.base_url = _url(self._host, port)
            self._process = subprocess.Popen(
                [*self._command, "--port", str(port)],
                stdin=subprocess.PIPE,  # closed when this process ends, however it ends
                env={**os.environ, _LEASH: "1"},
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
            if self._wait():
                return
            if "in use" not in self.output():
                break
        raise RefusedError(f"the server did not start; it said:\n{self.output().strip() or '(nothing)'}")

    def _wait(self) -> bool:
        """Whether it became ready; False once it has exited."""
        assert self._process is not None
        opener = build_opener(ProxyHandler({}))  # a proxy in the environment is not for our own machine
        end = time.monotonic() + self._seconds
        pause = 0.02
        while self._process.poll() is None:
            try:
                with opener.open(self.base_url + "/ready", timeout=5) as reply:
                    if reply.status == 200:
                        return True
            except (URLError, OSError):
                pass
            if time.monotonic() > end:
                self.stop(5.0)
                raise RefusedError(
                    f"the server was not ready after {self._seconds:g} seconds; it said:\n{self.output().strip()}"
                )
            time.sleep(pause)
            pause = min(0.25, pause * 1.5)
        return False


class _Server(uvicorn.Server):
    """Uvicorn, which says "not ready" before it stops and takes a signal to stop as the normal end."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, notice_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._notice_seconds = notice_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then take what is loaded out of the garbage collector's rounds: a full one stopped all requests for
        0.1 s and more, every thousand requests or so."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Readiness off, then the doors, then the rest."""
        self._app.state.ready = False
        await asyncio.sleep(self._notice_seconds)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGINT and SIGTERM, and leave it at that: uvicorn would raise them again once it has drained."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stop_with_parent() -> None:
    """Wait for the end of standard input, which the starter holds open while it lives; then stop as on SIGTERM."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_connections() -> None:
    """Ask for as many open files as the connections need; many systems begin with 1024, and allow more."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _url(host: str, port: int) -> str:
    """The address for a client on this machine: one that listens everywhere is reached at its own."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind_error(error: OSError, host: str, port: int) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} on {host} is in use; "
            f"stop the program that has it, or take another: --port {min(port + 1, 65535)}"
        )
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} needs more rights than you have; take one above 1023, for instance --port 8321")
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror}")
