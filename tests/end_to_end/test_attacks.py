"""A real server, and whoever wants more than they were given: what readers, submitters and strangers can try."""

import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.server import RunningServer, running

pytestmark = pytest.mark.timeout(300)

#: Colours, a new line that looks like a log's, a title, a bell, and what turns the reading direction.
ODD = "\x1b[31mred\x1b]0;title\x07\r\n2026-01-01 ERROR forged \u202e\u2028"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(tmp_path_factory.mktemp("attacked") / "home", "machines: {}\n") as made:
        made.job("victim", main="def work(*args):\n    return 1\n", return_main="def work(data):\n    pass\n")
        made.client().register("victim")
        yield made


def ask(server: RunningServer, method: str, path: str, *, token: str = "", **how: Any) -> requests.Response:
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **how.pop("headers", {})}
    return requests.request(method, server.url + path, headers=headers, timeout=60, allow_redirects=False, **how)


def token_for(server: RunningServer, scope: str) -> str:
    made = server.client().call(
        "POST", "/api/v1/tokens", json_body={"name": f"{scope}-{os.urandom(3).hex()}", "scopes": [scope]}
    )
    return str(made["token"])


def raw(server: RunningServer, text: str) -> str:
    """Word for word, as no library would send it; the first line of each answer."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as sock:
        sock.sendall(text.encode("latin-1"))
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while more := sock.recv(1 << 16):
            said += more
    return " ".join(line.strip() for line in said.decode("latin-1").split("\n") if line.startswith("HTTP/"))


NAMES = [
    "..", "../../etc", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "....//", "/etc/passwd", "a/../../b", "a%00.zip",
    "a\\..\\b", "C:x", "-rf", ".hidden", "a b", "a;id", "$(id)", "`id`", "a\nb", "ａ", "x" * 65,
    "CON%0d%0aSet-Cookie:x=1",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_a_path(server: RunningServer, name: str) -> None:
    """As a publisher, who may name job types."""
    token, before = token_for(server, "publish"), files(server.home)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("main.py", "def work():\n    return 1\n")
    tries = [
        ask(server, "POST", f"/api/v1/job_types/{name}/versions", token=token, data=body.getvalue(),
            headers={"Content-Type": "application/zip"}),
        ask(server, "POST", f"/api/v1/job_types/{name}/register", token=token, json={}),
        ask(server, "POST", "/job_file/upload_file", token=token, data={"job_type": name},
            files={"file": (name, body.getvalue())}),
        ask(server, "GET", "/job_file/update_job_file_status", token=token, params={"job_type": name}),
    ]  # fmt: skip
    assert [one.status_code for one in tries if one.status_code < 400 or one.status_code >= 500] == []
    assert not any("Set-Cookie" in one.headers for one in tries)
    assert files(server.home) == before


def files(home: Path) -> set[str]:
    changing = ("multijob.db", "logs", "url", "up.log")
    return {str(path) for path in home.rglob("*") if not str(path.relative_to(home)).startswith(changing)}


def test_readers_read_and_no_more(server: RunningServer) -> None:
    token = token_for(server, "read")
    code_paths = [
        "/api/v1/job_types/victim/versions/0/zip",
        "/api/v1/job_types/victim/versions/0/diff?against=0",
        "/job_file/get_job_file?job_type=victim",
        "/api/v1/commands",
        "/api/v1/tokens",
        "/api/v1/users",
    ]
    assert {path: ask(server, "GET", path, token=token).status_code for path in code_paths} == dict.fromkeys(
        code_paths, 403
    )
    for row in ask(server, "GET", "/api/v1/activity", token=token).json()["activity"]:
        assert row["source"] == "", "from where people come is for admins"
    shown = (
        ask(server, "GET", "/api/v1/server", token=token).text + ask(server, "GET", "/api/v1/home", token=token).text
    )
    assert str(server.home) not in shown


def test_submitters_submit_and_send_no_code(server: RunningServer) -> None:
    token = token_for(server, "submit")
    function, minor = f"_function_3_{sys.version_info[1]}", f"3.{sys.version_info[1]}"
    pickled = {"Content-Type": "application/octet-stream"}
    old = {"job_type": function, "input_data": {"args": []}}
    answers = [
        ask(server, "POST", f"/api/v1/functions?python={minor}", token=token, data=b"", headers=pickled),
        ask(server, "POST", "/api/v1/jobs", token=token, json={"job_type": function, "inputs": [{}]}),
        ask(server, "POST", "/jobs/insert_job", token=token, json=old),
        ask(server, "POST", "/api/v1/job_types/victim/register", token=token, json={}),
        ask(server, "DELETE", "/api/v1/job_types/victim", token=token),
        ask(server, "GET", "/job_file/delete_job_file?job_type=victim", token=token),
        ask(server, "POST", "/api/v1/machines", token=token, json={"machine_id": "m", "connection": "local"}),
    ]
    assert [one.status_code for one in answers] == [403] * len(answers)


def test_the_session_is_the_servers_to_choose(server: RunningServer) -> None:
    """A cookie planted before signing in is worth nothing after, and the one that is given is a new one each time."""
    token, planted = token_for(server, "admin"), f"{'x' * 43}.{'0' * 64}"
    with requests.Session() as browser:
        browser.cookies.set("mj_session", planted, domain="127.0.0.1")
        signed = browser.post(f"{server.url}/api/v1/session", json={"token": token}, timeout=60)
        mine = signed.cookies["mj_session"]
        assert mine != planted
        attributes = signed.headers["Set-Cookie"].lower()
        assert "httponly" in attributes
        assert "samesite=strict" in attributes
        jobs = f"{server.url}/api/v1/jobs"
        one = {"job_type": "victim", "inputs": [{}]}
        cookie = {"Cookie": f"mj_session={mine}"}
        assert requests.get(jobs, headers=cookie, timeout=60).status_code == 200
        assert requests.get(jobs, headers={"Cookie": f"mj_session={planted}"}, timeout=60).status_code == 401
        assert requests.post(jobs, json=one, headers=cookie, timeout=60).status_code == 403, "no CSRF token"
        csrf = requests.get(f"{server.url}/api/v1/me", headers=cookie, timeout=60).json()["csrf"]
        right = {**cookie, "X-MJ-CSRF": csrf}
        for site in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            assert requests.post(jobs, json=one, headers={**right, **site}, timeout=60).status_code == 403, site
        by_get = "/job_file/delete_job_file?job_type=victim"
        assert requests.get(server.url + by_get, headers=right, timeout=60).status_code in (401, 403)
        assert requests.post(jobs, json=one, headers=right, timeout=60).status_code == 201
        assert requests.delete(f"{server.url}/api/v1/session", headers=right, timeout=60).status_code == 204
        assert requests.get(jobs, headers=cookie, timeout=60).status_code == 401


def test_hosts_and_heads_are_taken_as_they_are_or_not_at_all(server: RunningServer) -> None:
    where = urlsplit(server.url).netloc
    token = token_for(server, "admin")
    know = f"Authorization: Bearer {token}\r\n"
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "", "localhost\t.evil", "[::1"):
        assert " 200 " not in raw(server, f"GET /api/v1/me HTTP/1.1\r\nHost: {host}\r\n{know}\r\n"), host
    assert " 200 " not in raw(server, f"GET http://evil.example/api/v1/me HTTP/1.1\r\nHost: evil.example\r\n{know}\r\n")
    # What a proxy before us might understand in another way, and so hand us somebody else's request.
    post = f"POST /api/v1/session HTTP/1.1\r\nHost: {where}\r\n"
    smuggled = [
        f"{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"{post}Content-Length: 4\r\nContent-Length: 5\r\n\r\n{{}}",
        f"{post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        f"GET /api/v1/me HTTP/1.1\r\nHost: {where}\r\nX-A : b\r\n{know}\r\n",
        f"GET /api/v1/me HTTP/1.1\r\nHost: {where}\r\n{know} folded\r\n\r\n",
    ]
    for text in smuggled:
        said = raw(server, text)
        assert said.count("HTTP/") == 1, (text, said)
        assert " 200 " not in said, (text, said)
    spoofed = {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "https", "Forwarded": "for=10.9.9.9"}
    ask(server, "POST", "/api/v1/session", json={"token": "mj_wrong"}, headers=spoofed)
    log = ask(server, "GET", "/api/v1/activity?size=5", token=token).json()["activity"]
    assert {row["source"] for row in log} == {"127.0.0.1"}, "nobody says where they come from, but a trusted proxy"


def test_events_are_for_readers(server: RunningServer) -> None:
    assert ask(server, "GET", "/api/v1/events").status_code == 401
    assert ask(server, "GET", "/api/v1/events", token="mj_" + "x" * 43).status_code == 401
    asked = ask(server, "GET", "/api/v1/events", token=token_for(server, "read"), stream=True)
    assert asked.status_code == 200
    asked.close()
    assert ask(server, "GET", f"/api/v1/events?token={token_for(server, 'read')}").status_code in (400, 401, 422)


def test_what_people_say_forges_nothing_on_terminals_and_in_logs(server: RunningServer) -> None:
    token = token_for(server, "submit")
    sent = {"job_type": "victim", "batch": "odd", "inputs": [{"args": [ODD]}]}
    made = ask(server, "POST", "/api/v1/jobs", token=token, json=sent)
    assert made.status_code == 201, made.text
    job = made.json()["first_id"]
    for field in ("batch", "tag"):
        assert ask(server, "POST", "/api/v1/jobs", token=token, json={**sent, field: ODD}).status_code == 422
    env = {**os.environ, "MJ_HOME": str(server.home), "PYTHONIOENCODING": "utf-8"}
    for words in (["show", str(job)], ["ls"], ["ls", "--columns", "id,batch"], ["summary"]):
        shown = subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *words], capture_output=True, env=env, check=False, timeout=120
        )
        text = shown.stdout.decode()
        assert shown.returncode == 0, shown.stderr
        assert not any(letter in text for letter in "\x1b\x07\u202e\u2028"), words
    ask(server, "GET", "/api/v1/nowhere%0d%0a2026-01-01%20ERROR%20forged", token=token)
    ask(server, "GET", "/api/v1/jobs", headers={"Authorization": "Bearer \x1b[31mred"})
    log = (server.home / "up.log").read_text(errors="replace") + "".join(
        path.read_text(errors="replace") for path in (server.home / "logs").rglob("*") if path.is_file()
    )
    assert "\x1b" not in log
    assert not [line for line in log.splitlines() if line.startswith("2026-01-01 ERROR forged")]
