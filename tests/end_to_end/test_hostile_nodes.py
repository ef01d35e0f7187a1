"""Machines that lie: a fake runner sends garbage, endless frames, others' attempts, and harms itself only.

The hostile machine answers first contact honestly, by way of an interpreter that is a script, and lies from there on.
"""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from multijob import Client, Result, WaitTimeout
from orchestrator.engine.feed import REACH_S
from tests.end_to_end.conftest import StartServer
from tests.support import wait
from tests.support.hosts import Hosts

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

#: Stands where Python should: honest but for the runner.
WRAPPER = """#!/bin/sh
case "$*" in
  *" attach "*) exec {python} {evil} {way} "$@" ;;
  *" -c "*) {python} "$@" | sed 's#"python": "[^"]*"#"python": "{wrapper}"#' ;;
  *) exec {python} "$@" ;;
esac
"""

EVIL = r"""
import json, os, struct, sys, time
way, words = sys.argv[1], sys.argv[2:]
RUNNER = "0123456789abcdef"
token = words[words.index("--token") + 1]
out = sys.stdout.buffer

def say(data):
    try:
        out.write(data); out.flush()
    except OSError:
        sys.exit(0)

def frame(**message):
    text = json.dumps(message).encode()
    say(struct.pack(">I", len(text)) + text)

def hello(held=()):
    frame(t="hello", v=1, runner=RUNNER, pid=1, python="3.11", held=list(held), earlier=[], unread=[])

if way == "no mark":
    while True:
        say(os.urandom(1 << 16))
say(("multijob-stream " + token + "\n").encode())
if way == "garbage":
    while True:
        say(os.urandom(1 << 16))
if way == "endless frame":
    say(struct.pack(">I", (1 << 32) - 1))
    while True:
        say(b"x" * (1 << 16))
if way == "endless frames":
    hello()
    while True:
        frame(t="trouble", reason="x" * 10, text="y" * 60000)
if way == "deep":
    text = b'{"t":"hello","v":' + b"[" * 100000 + b"]" * 100000 + b"}"
    say(struct.pack(">I", len(text)) + text)
    time.sleep(60)
if way == "others":
    hello([[job, attempt, "running"] for job in range(1, 200) for attempt in (1, 2)])
    seq = 0
    while True:
        for job in range(1, 200):
            seq += 2
            body = {"ok": True, "result": '"stolen"', "count": 1, "return_data": None, "spend_s": 0.1}
            frame(t="records", runner=RUNNER, records=[[seq - 1, "start", job, 1, {}], [seq, "end", job, 1, body]])
            frame(t="records", runner=RUNNER, records=[[seq, "back", job, 1, {}]])
        time.sleep(0.2)
if way == "nonsense":
    hello()
    odd = [None, 1, [], "x", {"t": 5}, {"t": "records"}, {"t": "records", "records": 7}, {"t": "ping", "n": "x"},
           {"t": "trouble"}, {"t": "records", "runner": 5, "records": [[1, "end", "x", None, []]]},
           {"t": "hello", "v": 99}, {"t": "leaving", "runner": {"a": 1}}, {"t": "stored", "seq": 10**30}]
    while True:
        for one in odd:
            text = json.dumps(one).encode()
            say(struct.pack(">I", len(text)) + text)
        time.sleep(0.05)
"""

JOB_S = 0.02
JOB = f"import time\n\n\ndef work(n):\n    time.sleep({JOB_S})\n    return {{'result': n}}\n"
#: What a machine of two slots may hold: what it runs, and unstarted work for so long.
HELD = 2 + int(2 * REACH_S / JOB_S)


def hostile(tmp_path: Path, way: str) -> Path:
    """An interpreter that lies this way."""
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(EVIL)
    wrapper = folder / "python3"
    values = {"python": sys.executable, "evil": folder / "evil.py", "way": f"'{way}'", "wrapper": wrapper}
    wrapper.write_text(WRAPPER.format(**values))
    wrapper.chmod(0o755)
    return wrapper


def resident_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.parametrize("way", ["no mark", "garbage", "endless frame", "endless frames", "deep", "others", "nonsense"])
def test_a_hostile_node_harms_itself_only(hosts: Hosts, start_server: StartServer, tmp_path: Path, way: str) -> None:
    hosts.start("good")
    hosts.start("evil")
    lines = hosts.inventory(limit_process=2).splitlines()
    lines[2] = lines[2].replace("limit_process: 2", f"limit_process: 2, python: {hostile(tmp_path, way)}")
    server = start_server("\n".join(lines) + "\n", lost_after_s=5)
    client = server.client()
    server.job("count", main=JOB)
    client.register("count")
    wait.until(lambda: state_of(client, "good") == "ready", what="the good machine")
    submitted = client.submit_many("count", [(n,) for n in range(150)], limit_count=20)
    results: dict[int, Result] = {}
    with contextlib.suppress(WaitTimeout):
        for result in client.results(submitted, timeout_s=60 if way == "others" else 150):
            results[result.id] = result
    by_good = [result for result in results.values() if result.machine_id == "good"]
    for job_id in set(submitted) - set(results):  # what it was given it may pretend to work at for ever
        assert client.job(job_id)["machine_id"] == "evil"
    assert len(results) >= 150 - HELD, "more is held there than it runs and is fed ahead"
    assert all(results[job_id].result == n for n, job_id in enumerate(submitted) if results.get(job_id) in by_good)
    # What answers at once, if only with lies about its own attempts, is given many.
    assert len(by_good) >= (1 if way == "others" else 100), "the good machine did its work all the same"
    assert client.me()["name"]
    assert resident_mb(server.pid) < 600
    for result in results.values():  # what the liar says of its own attempts is its word; of others' it is nothing
        if result.machine_id == "evil":
            assert result.result in ("stolen", None)


def state_of(client: Client, machine_id: str) -> str | None:
    return next((row["state"] for row in client.machines() if row["machine_id"] == machine_id), None)
