"""A second account on a node while jobs run there: it reads nothing of ours and gets nothing from the tunnel's port."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import StartServer
from tests.support import hosts as support_hosts
from tests.support import wait
from tests.support.hosts import Host, Hosts

pytestmark = [
    pytest.mark.sshd,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not support_hosts.has_accounts(), reason="needs root for accounts of its own"),
    pytest.mark.skipif(not all(map(shutil.which, ("setpriv", "ss"))), reason="needs setpriv and ss"),
]

OTHER = 61999
SLOW = "import time\n\n\ndef work():\n    time.sleep(60)\n"

KNOCK = """
import http.client, json, sys
answers = {}
for method, path in [("GET", "/"), ("GET", "/healthz"), ("GET", "/api/v1/jobs"), ("GET", "/api/v1/machines"),
                     ("POST", "/api/v1/session"), ("POST", "/api/v1/jobs"), ("GET", "/report"), ("POST", "/report")]:
    link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
    link.request(method, path, body=b"{}" if method == "POST" else None)
    answer = link.getresponse()
    answers[method + " " + path] = [answer.status, answer.read().decode()]
print(json.dumps(answers))
"""


def as_other(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run as an account that has nothing to do with ours."""
    command = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")


def tunnel_port(host: Host) -> int | None:
    """Where the sshd of our connection listens for the tunnel."""
    pids = {f"pid={pid}," for pid in host.connections()}
    listing = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        address = line.split()[3]
        if any(pid in line for pid in pids) and address.startswith("127.0.0.1:") and int(address[10:]) != host.port:
            return int(address[10:])
    return None


def test_another_account_sees_and_gets_nothing(hosts: Hosts, start_server: StartServer) -> None:
    host = hosts.start()
    line = hosts.inventory().replace(f"user: {hosts.user()},", f"user: {hosts.user('sh')},")
    line = line.replace(hosts.root_of(host), "~/.multijob")
    server = start_server(line)
    client = server.client()
    server.job("slow", main=SLOW)
    client.register("slow")
    job_id = client.insert("slow")
    wait.until(lambda: client.job(job_id)["started_at"], what="a running job", timeout_s=60)

    home = hosts.user_home("sh")
    home.chmod(0o755)  # people leave their homes open
    root = home / ".multijob"
    assert as_other("ls", str(home)).returncode == 0
    for path in (root, *root.rglob("*")):
        tried = as_other("sh", "-c", 'ls "$1" >/dev/null && [ -d "$1" ] || head -c 1 "$1"', "sh", str(path))
        assert tried.returncode != 0, path
    ours = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and belongs(entry, hosts.uid("sh"))
    ]
    assert ours
    for pid in ours:
        assert as_other("cat", f"/proc/{pid}/environ").returncode != 0
    secrets = [(server.home / name).read_text().strip() for name in ("secret", "token")]
    shown = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert not [secret for secret in secrets if secret in shown]

    port = wait.until(lambda: tunnel_port(host), what="the tunnel")
    knocked = as_other(
        str(Path(sys.executable).resolve()) if readable() else "/usr/bin/python3", "-c", KNOCK, str(port)
    )
    answers = json.loads(knocked.stdout)
    assert {status for status, _ in answers.values()} <= {403, 404, 405}, answers
    assert answers["POST /report"][0] == 403
    assert not any("multijob" in text.lower() or "lab" in text for _, text in answers.values()), answers
    client.kill(job_id)


def belongs(entry: Path, uid: int) -> bool:
    try:
        return entry.stat().st_uid == uid
    except OSError:
        return False


def readable() -> bool:
    """Whether other accounts can run the interpreter of the tests."""
    return as_other(str(Path(sys.executable).resolve()), "-c", "").returncode == 0
