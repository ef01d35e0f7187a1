"""A known string in the place of every secret, a run with failures at debug level: then it is found nowhere else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.end_to_end.conftest import StartServer
from tests.support import wait
from tests.support.hosts import Hosts, new_key
from web import matrix

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

BY_ENV = "canary-by-environment-5e1f"
BY_FILE = "canary-by-file-77ab"
OF_USER = "canary of a user 31c9"
GUESSED = "canary of a guess 90dd"
RETURN = "def work(data):\n    import os\n    raise RuntimeError(sorted(os.environ.items()))\n"
MAIN = """
import os


def work(fails):
    print(sorted(os.environ.items()))
    if fails:
        raise ValueError(dict(os.environ))
    return {'result': sorted(os.environ), 'return_data': 1}
"""


def contents(*roots: Path) -> Iterator[tuple[str, bytes]]:
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def processes(but: int) -> Iterator[tuple[str, bytes]]:
    """Arguments of all, environments of all but this one and the server, who were given the variable."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        for name in ("cmdline", "environ"):
            if name == "environ" and int(entry.name) in (os.getpid(), but):
                continue
            try:
                yield f"{entry}/{name}", (entry / name).read_bytes()
            except OSError:
                continue


def test_no_secret_shows_anywhere(
    hosts: Hosts, start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, shut = hosts.start("good"), hosts.start("shut")
    monkeypatch.setenv("MJ_CANARY", BY_ENV)
    (tmp_path / "password").write_text(BY_FILE + "\n")
    (tmp_path / "password").chmod(0o600)
    lines = hosts.inventory().splitlines()
    lines[1] = lines[1].replace("{host", '{password: "env:MJ_CANARY", host')
    other = new_key(tmp_path / "other_key")
    lines[2] = (
        lines[2]
        .replace("{host", f'{{password: "file:{tmp_path}/password", host')
        .replace(str(hosts.identity), str(other))
    )
    server = start_server("\n".join(lines) + "\n", log_level="debug")
    client = server.client()
    token = client.call("POST", "/api/v1/tokens", json_body={"name": "canary", "scopes": ["read"]})["token"]
    client.call("POST", "/api/v1/users", json_body={"name": "ann", "password": OF_USER, "scopes": ["read"]})

    server.job("fails", main=MAIN, return_main=RETURN)
    client.register("fails")
    wait.until(lambda: "refused" in {row["state"] for row in client.machines()}, what="a refused login", timeout_s=60)
    submitted = client.submit_many("fails", [(True,), (False,)], limit_count=0)
    assert {result.status for result in client.results(submitted, timeout_s=90)} <= {-1, -2}

    admin = (server.home / "token").read_text().strip()
    with requests.Session() as session:
        url = server.url
        for body in (
            {"user": "ann", "password": GUESSED},
            {"token": GUESSED},
            {"code": GUESSED},
            {"password": GUESSED},
        ):
            session.post(f"{url}/api/v1/session", json=body, timeout=20)
        session.get(f"{url}/api/v1/jobs", headers={"Authorization": f"Bearer {GUESSED}"}, timeout=20)
        session.get(f"{url}/api/v1/nowhere", headers={"Authorization": f"Bearer {token}"}, timeout=20)
        signed_in = session.post(f"{url}/api/v1/session", json={"user": "ann", "password": OF_USER}, timeout=20)
        assert signed_in.status_code == 204
        session.post(f"{url}/api/v1/tokens", json={"name": OF_USER, "scopes": [OF_USER]}, timeout=20)
    pages = read_everything(server.url, admin)
    secret = (server.home / "secret").read_text().strip()
    running = [*processes(server.pid)]
    server.stop()

    ours = {str(server.home / name) for name in ("token", "secret", "inventory.yml")}
    places = [*contents(server.home, Path(hosts.root_of(good)), good.folder, shut.folder), *pages, *running]
    canaries = {
        "by env": BY_ENV,
        "by file": BY_FILE,
        "user": OF_USER,
        "guess": GUESSED,
        "token": token,
        "admin": admin,
        "secret": secret,
    }
    found = [
        (name, place)
        for place, content in places
        for name, canary in canaries.items()
        if canary.encode() in content and place not in ours
    ]
    assert found == []
    assert len(places) > 50
    server.start()


def read_everything(url: str, token: str) -> list[tuple[str, bytes]]:
    """Every page that can be read without knowing more than the number one."""
    paths = [row.path for row in documented() if row.method == "GET"]
    answers = []
    for path in paths:
        filled = path.replace("{job_id}", "1").replace("{machine_id}", "good").replace("{job_type}", "fails")
        if "{" in filled or path.endswith("/events") or path in CHANGE_BY_GET:
            continue
        answer = requests.get(url + filled, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answers.append((filled, answer.content + str(answer.headers).encode()))
    return answers


CHANGE_BY_GET = ("/job_file/delete_job_file", "/job_file/update_job_file_status")


def documented() -> list[matrix.Rule]:
    """The matrix as docs/security.md has it."""
    page = Path(__file__).parents[2] / "docs" / "security.md"
    rows = page.read_text().partition("<!-- matrix -->")[2].partition("<!-- end")[0].splitlines()
    found = []
    for row in rows:
        cells = [cell.strip(" `") for cell in row.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("/"):
            found += [matrix.Rule(cells[0], method, cells[2]) for method in cells[1].split(", ")]
    return found
