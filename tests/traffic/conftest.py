"""A record to test with: SQLite in a folder, and a real PostgreSQL where one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shokunin.traffic.store import Store, open_store


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, on a socket in a folder of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [Path(shutil.which("postgres") or "")]
    binaries = found[-1].parent
    if not (binaries / "initdb").is_file():
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    user: dict[str, str | int] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}  # type: ignore[dict-item]
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run([binaries / "initdb", "-D", data, "-A", "trust", "-U", "owner", "--no-sync"], check=True, **quiet)  # type: ignore[call-overload]
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        **quiet,  # type: ignore[call-overload]
    )
    try:
        for _ in range(200):
            ready = subprocess.run([binaries / "pg_isready", "-q", "-h", folder, "-U", "owner"])
            if ready.returncode == 0:
                break
            time.sleep(0.05)
        yield f"postgresql://owner@/postgres?host={folder}"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """An empty database: None is the file in the folder."""
    if request.param == "sqlite":
        yield None
        return
    address = request.getfixturevalue("postgres")
    yield address
    from sqlalchemy import create_engine, text

    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS exchanges, exchanges_schema"))
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "traffic"


@pytest.fixture
def store(folder: Path, url: str | None) -> Iterator[Store]:
    opened = open_store(folder, url, create=True)
    yield opened
    opened.close()
