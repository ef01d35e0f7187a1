"""The deployment page: its unit is taken by systemd, its databases by the server, its backups come back."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from multijob import Client
from orchestrator.cli import main as mj
from tests.docs.blocks import ROOT, Block, blocks
from tests.support import wait
from tests.support.databases import MariaDb, PostgreSql
from tests.support.hosts import _free_port
from tests.support.server import RunningServer, running

PAGE = ROOT / "docs" / "en" / "deployment.md"
HOME = "/var/lib/multijob/home"
BACKUPS = "/var/backups"
LOCAL = "machines:\n  here: {connection: local}\n"
BEFORE = 12
SERVERS = {"mariadb": MariaDb, "postgresql": PostgreSql}
#: What the dump and the restore of a kind are called on the page.
DUMPS = {
    "sqlite": ("sqlite3 ", "cp /var/backups/multijob.db"),
    "mariadb": ("mariadb-dump ", "mariadb multijob < "),
    "postgresql": ("pg_dump ", "pg_restore "),
}


def block_with(words: str) -> Block:
    (found,) = [block for block in blocks(PAGE) if words in block.text]
    return found


def test_the_commands_of_the_page_are_there() -> None:
    """Where a block needs root or another computer: its calls of mj are calls that exist."""
    words = re.findall(r"bin/mj ([a-z]+)(?: ([a-z]+))?", "".join(block.text for block in blocks(PAGE)))
    assert {first for first, _ in words} >= {"init", "up", "machine"}
    for first, second in words:
        command = mj.commands[first]
        assert not hasattr(command, "commands") or second in command.commands


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine lacks systemd-analyze")
    unit = tmp_path / "multijob.service"
    text = block_with("ExecStart=").text
    unit.write_text(text.replace("/opt/multijob/bin/mj", "/bin/true").replace("User=multijob", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert unit.name not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
def test_a_further_web_process(tmp_path: Path) -> None:
    port = _free_port()
    text = block_with("waitress-serve").text
    for usual, own in {
        HOME: str(tmp_path / "home"),
        "/opt/multijob/bin/waitress-serve": f"exec {sys.executable} -m waitress",
        "127.0.0.1:5007": f"127.0.0.1:{port}",
    }.items():
        assert usual in text
        text = text.replace(usual, own)
    with running(tmp_path / "home", LOCAL) as server:
        known = lived(server)
        token = (server.home / "token").read_text().strip()
        beside = subprocess.Popen(["sh", "-eu"], stdin=subprocess.PIPE, cwd=ROOT, text=True)
        try:
            assert beside.stdin is not None
            beside.stdin.write(text)
            beside.stdin.close()
            wait.until(lambda: _answers(port), what="the further web process", timeout_s=60)
            comes_back(Client(f"http://127.0.0.1:{port}", token=token), known)
        finally:
            beside.terminate()
            beside.wait(30)


def _answers(port: int) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok
    return False


@pytest.fixture(scope="module", params=SERVERS)
def server_of(request: pytest.FixtureRequest) -> Iterator[MariaDb | PostgreSql]:
    kind = SERVERS[request.param]
    if missing := kind.missing():
        pytest.skip(f"this machine lacks {', '.join(missing)}")
    made = kind()
    yield made
    made.close()


def surroundings(database: MariaDb | PostgreSql | None) -> dict[str, str]:
    """What leads the databases' own programs to a private server."""
    if isinstance(database, MariaDb):
        (database.folder / ".my.cnf").write_text(f"[client]\nsocket={database.socket}\nuser=root\n")
        return {**os.environ, "HOME": str(database.folder)}
    if isinstance(database, PostgreSql):
        return {**os.environ, "PGHOST": str(database.folder), "PGUSER": "multijob"}
    return dict(os.environ)


def typed(text: str, folder: Path, env: dict[str, str], **instead: str) -> None:
    for usual, own in {**instead, BACKUPS: str(folder)}.items():
        text = text.replace(usual, own)
    done = subprocess.run(
        ["sh", "-eu"], input=text, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def line_with(words: str) -> str:
    """One line of the page's commands, with the lines it goes on over."""
    lines = block_with(words).text.replace("\\\n", "").splitlines()
    return next(line for line in lines if words in line)


@pytest.mark.timeout(300)
def test_a_database_made_as_the_page_says_is_taken(server_of: MariaDb | PostgreSql, tmp_path: Path) -> None:
    how = line_with("mariadb -e" if server_of.kind == "mariadb" else "createdb ")
    typed(how, tmp_path, surroundings(server_of), multijob="mj_made")
    with running(tmp_path / "home", "machines: {}\n", db=server_of.url("mj_made")) as server:
        assert server.client().server()["version"]


@pytest.mark.timeout(300)
def test_a_backup_comes_back_with_another_database(server_of: MariaDb | PostgreSql, tmp_path: Path) -> None:
    env = surroundings(server_of)
    how = line_with("mariadb -e" if server_of.kind == "mariadb" else "createdb ")
    names = {"old": "mj_old", "new": "mj_new"}
    for name in names.values():
        typed(how, tmp_path, env, multijob=name)
    dump, restore = DUMPS[server_of.kind]
    home = tmp_path / "home"
    with running(home, LOCAL, db=server_of.url(names["old"])) as server:
        known = lived(server)
        # The name of the database stands alone on the page; those of the files go on with a dot.
        typed(re.sub(r"\bmultijob(?![.\w])", names["old"], block_with(dump).text), tmp_path, env)
    typed(re.sub(r"\bmultijob(?![.\w])", names["new"], block_with(restore).text), tmp_path, env)
    with running(home, LOCAL, db=server_of.url(names["new"])) as server:
        comes_back(server.client(), known)


@pytest.mark.timeout(300)
def test_a_backup_comes_back(tmp_path: Path) -> None:
    """SQLite, and the home; the other databases below."""
    if shutil.which("sqlite3") is None:
        pytest.skip("this machine lacks sqlite3")
    dump, restore = DUMPS["sqlite"]
    first, second = tmp_path / "first", tmp_path / "second"
    with running(first, LOCAL) as server:
        known = lived(server)
        typed(block_with(dump).text, tmp_path, surroundings(None), **{HOME: str(first)})
    typed(block_with(restore).text, tmp_path, surroundings(None), **{HOME: str(second)})
    assert (second / "secret").read_bytes() == (first / "secret").read_bytes()
    assert (second / "secret").stat().st_mode & 0o077 == 0
    with running(second, LOCAL) as server:
        comes_back(server.client(), known)


def lived(server: RunningServer) -> dict[int, object]:
    """Some work; id → result."""
    server.job("square", main="def work(x):\n    return x * x\n")
    client = server.client()
    client.register("square")
    jobs = client.submit_many("square", range(BEFORE))
    return {row.id: row.result for row in client.results(jobs, timeout_s=120)}


def comes_back(client: Client, known: dict[int, object]) -> None:
    """Everything is there, and work goes on."""
    assert {row.id: row.result for row in client.results(known, wait=False)} == known
    assert client.job(client.insert("square", BEFORE)).result(timeout_s=120) == BEFORE * BEFORE
