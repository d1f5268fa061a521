"""The project folder and `shokunin.toml`: defaults, settings, and what is refused."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shokunin.errors import ProjectError
from shokunin.project import (
    Gateway,
    Limits,
    Money,
    Price,
    Project,
    Serve,
    TaskRoute,
    Upstream,
    init_project,
    open_project,
)
from shokunin.project.texts import CONFIG_TEXT
from shokunin.task import read_task


def _open(folder: Path, text: str) -> Project:
    (folder / "shokunin.toml").write_text(text, encoding="utf-8")
    return open_project(folder)


def test_a_folder_without_settings_has_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = open_project()
    assert project == open_project(tmp_path)
    assert (project.limits, project.serve, project.upstreams, project.prices) == (Limits(), Serve(), {}, {})
    assert project.serve.host == "127.0.0.1"
    assert list(tmp_path.iterdir()) == [], "opening writes nothing"
    with pytest.raises(FrozenInstanceError):
        project.root = Path("/")  # type: ignore[misc]


def test_where_things_are(tmp_path: Path) -> None:
    project = open_project(tmp_path)
    relative = {
        project.specialists: "specialists",
        project.tasks: "tasks",
        project.traffic: "traffic",
        project.reports: "reports",
        project.work: ".shokunin/work",
        project.task_file("inquiries"): "tasks/inquiries/task.toml",
        project.rows("inquiries"): "tasks/inquiries/rows",
        project.datasets("inquiries"): "tasks/inquiries/datasets",
    }
    assert {path: path.relative_to(tmp_path).as_posix() for path in relative} == relative


def test_every_setting_is_read(tmp_path: Path) -> None:
    project = _open(
        tmp_path,
        """
        [limits]
        budget_minutes = 5
        threads = 3
        [serve]
        host = "::1"
        port = 0
        [upstreams.big]
        base_url = "https://models.example/v1"
        model = "big-1"
        api_key_env = "BIG_KEY"
        timeout_seconds = 7.5
        models = ["big-*"]
        [upstreams.small]
        base_url = "http://127.0.0.1:9000/v1"
        model = "small-1"
        client_keys = true
        [gateway]
        upstream = "small"
        egress = "masked"
        bodies = false
        retention_days = 30
        [gateway.tasks.inquiries]
        upstream = "big"
        egress = "never"
        audit_share = 0.5
        [prices."big-1"]
        input = 1
        output = 2.5
        [money]
        currency = "JPY"
        per_usd = 150
        hourly_rate = 6000
        """,
    )
    assert project.limits == Limits(5, 3)
    assert project.serve == Serve("::1", 0)
    assert project.upstreams == {
        "big": Upstream(
            "https://models.example/v1", "big-1", api_key_env="BIG_KEY", timeout_seconds=7.5, models=("big-*",)
        ),
        "small": Upstream("http://127.0.0.1:9000/v1", "small-1", client_keys=True),
    }
    assert (project.gateway.bodies, project.gateway.retention_days) == (False, 30)
    assert project.gateway.route("inquiries") == TaskRoute("big", "never", "answer", 0.5)
    assert project.gateway.route("other") == TaskRoute("small", "masked", "answer", 0.05)
    assert project.prices == {"big-1": Price(1, 2.5)}
    assert project.money.given() == {"hourly_rate": 6000}
    assert project.money.unit().show(2) == "¥300"


@pytest.mark.parametrize("section", [Limits, Serve, Gateway, TaskRoute, Upstream, Price, Money])
def test_the_written_settings_show_every_key_with_its_default(section: type) -> None:
    for line in CONFIG_TEXT.split("\n"):
        if line.startswith("# ") and (" = " in line or line.startswith("# [")) and "`" not in line:
            tomllib.loads(line[2:])
    for f in fields(section):
        assert f.name == "tasks" or f"# {f.name} = " in CONFIG_TEXT
        if isinstance(f.default, (int, float)):
            assert f"# {f.name} = {str(f.default).lower()}" in CONFIG_TEXT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limit]", r"unknown section 'limit' in .*shokunin\.toml.*did you mean 'limits'"),
        ("budget_minutes = 3", r"unknown key 'budget_minutes'"),
        ("[limits]\nbudget = 3", r"unknown key 'budget' in \[limits\].*did you mean 'budget_minutes'"),
        ("[serve]\nPort = 3", r"unknown key 'Port'.*did you mean 'port'"),
        ("serve = 3", r"'serve' in .* is a section: write \[serve\]"),
        ("[limits]\nbudget_minutes = 0", "`budget_minutes` is more than 0"),
        ("[limits]\nbudget_minutes = inf", "`budget_minutes` is more than 0"),
        ("[limits]\nbudget_minutes = nan", "`budget_minutes` is more than 0"),
        ('[limits]\nbudget_minutes = "5"', "'budget_minutes' in .* is a number, not '5'"),
        ("[limits]\nthreads = 1.5", "'threads' in .* is a whole number, not 1.5"),
        ("[limits]\nthreads = true", "'threads' in .* is a whole number, not True"),
        ("[serve]\nport = 70000", "between 0 and 65535, not 70000"),
        ('[serve]\nhost = " "', "`host` is empty"),
        ("[upstreams]\nbig = 3", r"'big' in \[upstreams\] .* write \[upstreams\.NAME\]"),
        ('[upstreams.big]\nmodel = "m"', r"upstreams.\"big\"\] of .* lacks 'base_url'"),
        ("[upstreams.big]", "lacks 'base_url', 'model'"),
        ('[upstreams.big]\nmodel = "m"\nbase_url = "ftp://x/v1"', "http"),
        ('[upstreams.big]\nmodel = "m"\nbase_url = "models.example"', "http"),
        ('[prices.m]\ninput = -1\noutput = 1', "0 or more, not -1"),
        ('[prices.m]\ninput = 1', "lacks 'output'"),
        ('[prices.m]\ninput = 1\noutput = 1\nbatch_input = 1', "belong together"),
        ('[money]\ncurrency = "JPY"', r"\[money\].*`per_usd` is missing: how many JPY one US dollar is"),
        ('[money]\ncurrency = "GBP"', "`currency` is one of 'USD', 'EUR', 'JPY', not 'GBP'"),
        ('[money]\nper_usd = 2', "`per_usd` is 1 for US dollars, not 2"),
        ('[money]\ncurrency = "EUR"\nper_usd = 0', "more than 0, not 0"),
        ("[money]\nwatts = -1", "`watts` is 0 or more, not -1"),
        ("[money]\nmachine_months = 0", "`machine_months` is more than 0"),
        ("[money]\nhourly = 3", r"unknown key 'hourly' in \[money\].*did you mean 'hourly_rate'"),
        ('[upstreams.big]\nmodel = "m"\nbase_url = "http://x"\nmodels = ["a", 3]', "'models' in .* is a list of texts"),
        ('[upstreams.big]\nmodel = "m"\nbase_url = "http://x"\napi_key_env = "A"\nclient_keys = true', "exclude each"),
        ('[gateway]\nupstream = "big"', "unknown upstream 'big' in \\[gateway\\]"),
        ('[gateway]\negress = "some"', "`egress` is one of 'allowed', 'masked', 'never', not 'some'"),
        ("[gateway]\naudit_share = 5", "`audit_share` is a share from 0 to 1, not 5"),
        ("[gateway]\nbodies = 1", "'bodies' in .* is true or false, not 1"),
        ("[gateway]\nretention_days = 0", "`retention_days` is more than 0"),
        ("[gateway]\ntasks = 1", "'tasks' in .* write \\[gateway.tasks.NAME\\]"),
        ('[gateway.tasks.a]\nupstram = "x"', "unknown key 'upstram'.*did you mean 'upstream'"),
        ('[gateway]\ndatabase = "postgresql+psycopg://me:word@h/db"', "`database` carries a password"),
        ("[limits]\nport = =\n", "not TOML.*line 2"),
        ("[limits]\n[limits]", "not TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ProjectError, match=said):
        _open(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        '[upstreams.big]\napi_key = "{}"',
        '[upstreams.big]\nkey = "{}"',
        '[upstreams.big]\naccess_token = "{}"',
        '[serve]\npassword = "{}"',
        'OPENAI_API_KEY = "{}"',
        '[upstreams.big]\nmodel = "{}"',
        '[upstreams.big]\nmodel = "m"\nbase_url = "https://models.example/v1"\napi_key_env = "{}"',
        '[upstreams.big]\nmodel = "m"\nbase_url = "https://user:{}@models.example/v1"',
        '[upstreams.big]\nmodel = "m"\nbase_url = "https://models.example/v1?k={}"',
    ],
)
def test_a_secret_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    secret = "sk-veryverysecret"
    with pytest.raises(ProjectError, match="api_key_env") as caught:
        _open(tmp_path, text.format(secret))
    assert secret not in str(caught.value)


def test_a_key_comes_from_the_environment() -> None:
    upstream = Upstream("https://models.example/v1", "m", "BIG_KEY")
    assert upstream.api_key({"BIG_KEY": " abc\n"}) == "abc"
    assert Upstream("http://localhost:1234/v1", "m").api_key({}) is None
    for environment in ({}, {"BIG_KEY": " "}):
        with pytest.raises(ProjectError, match="'BIG_KEY' is not set"):
            upstream.api_key(environment)


def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path: Path) -> None:
    (tmp_path / "shokunin.toml").write_bytes(b"\xef\xbb\xbf[serve]\r\nport = 9000\r\n")
    assert open_project(tmp_path).serve.port == 9000


@pytest.mark.parametrize("content", [b"\xff\xfe[\x00s\x00", b"\x80", b"a = \x00"])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shokunin.toml").write_bytes(content)
    with pytest.raises(ProjectError, match=r"shokunin\.toml"):
        open_project(tmp_path)


def test_a_folder_that_is_not_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"does not exist.*shokunin init"):
        open_project(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="is a file, not a folder"):
        open_project(tmp_path / "file")
    with pytest.raises(ProjectError, match="is a file, not a folder"):
        init_project(tmp_path / "file")


def test_init_writes_what_can_be_opened_and_touches_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "my-shop"
    written = init_project(folder)
    assert [p.relative_to(folder).as_posix() for p in written] == [
        "shokunin.toml",
        "tasks/example/task.toml",
        ".gitignore",
    ]
    assert open_project(folder) == Project(folder)
    assert read_task(folder / "tasks" / "example" / "task.toml").name == "example"
    (folder / "shokunin.toml").write_text("[serve]\nport = 1\n")
    (folder / ".gitignore").unlink()
    assert init_project(folder) == [folder / ".gitignore"]
    assert open_project(folder).serve.port == 1
    assert init_project(folder) == []


@given(text=st.text(max_size=80) | st.text('[]limtservup.="\n 0123456789', max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_gives_a_project_or_our_own_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "shokunin.toml").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        assert open_project(tmp_path).root == tmp_path
    except ProjectError as error:
        assert "shokunin.toml" in str(error)


def test_the_documented_settings_are_all_settings(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "project.md").read_text(encoding="utf-8")
    project = _open(tmp_path, page.split("```toml\n")[1].split("```")[0])
    assert project.upstreams["openai"].api_key_env == "OPENAI_API_KEY"
    assert project.prices["gpt-4o-mini"].output == 0.6
    for section in (Limits, Serve, Gateway, TaskRoute, Upstream, Price, Money):
        for f in fields(section):
            assert f.name == "tasks" or f"\n{f.name} = " in page or f"\n# {f.name} = " in page
