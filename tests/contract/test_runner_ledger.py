"""The ledger of one node: processes are killed at random while jobs write start and end lines to a side file.

Whatever was killed, each attempt comes home exactly once in effect, and what is said of it agrees with the side file.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_runner import bundle
from tests.support.runner_peer import Nothing, Peer

MAIN = """
import os, time
def note(word, n):
    with open(LEDGER, "a") as out:
        out.write("%s %d\\n" % (word, n))
def work(n, s):
    note("start", n)
    if s: time.sleep(s)
    note("end", n)
    return n
"""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    found = Peer(sys.executable, bundle.build(tmp_path / "bundle").path, tmp_path / "root")
    yield found
    found.close()


def ours(root: Path, name: str) -> list[int]:
    """The living processes of this root that carry this name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and (entry / "comm").read_text().strip() == name
                and str((entry / "cwd").readlink()).startswith(str(root))
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("url", ["", None], ids=["reports", "channel"])
def test_the_ledger_balances(peer: Peer, tmp_path: Path, seed: int, url: str | None) -> None:
    chance = random.Random(seed)  # noqa: S311  # not a secret
    ledger = tmp_path / "ledger"
    ledger.touch()
    peer.attach(url=url)
    ref = peer.publish("ledger", 0, {"main.py": MAIN.replace("LEDGER", repr(str(ledger)))})
    version = peer.versions[ref]
    jobs: list[int] = []
    for _ in range(8):
        naps = [chance.choice([0, 0, 0, 0.001, 0.05]) for _ in range(chance.randrange(1, 200))]
        jobs += peer.assign(ref, *[[peer.next_job + at, nap] for at, nap in enumerate(naps)])
        time.sleep(chance.random() * 0.1)
        hit(peer, chance)
        if not peer.is_attached():
            peer.attach_next(url=url)
            peer.know(ref, version)
    collect(peer, url)
    assert_balanced(peer, jobs, ledger)


def hit(peer: Peer, chance: random.Random) -> None:
    """Kill something, or cut the channel, or nothing."""
    name = chance.choice(["mj-runner", "mj-worker", "mj-executor", "mj-courier", "channel", "nothing"])
    if name == "channel":
        peer.detach()
        return
    pids = [peer.hello["pid"]] if name == "mj-runner" else ours(peer.root, name)
    if pids:
        try:
            os.kill(chance.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
    if name == "mj-runner":
        peer.wait_until_left()
        peer.detach()


def collect(peer: Peer, url: str | None) -> None:
    """Attach until nothing is held any more and every old journal has been collected."""
    until = time.monotonic() + 90
    while True:
        peer.detach()
        peer.attach_next(url=url)
        if not peer.hello["held"] and not peer.hello["earlier"]:
            return
        if time.monotonic() > until:
            raise Nothing(f"still held: {peer.hello}")
        time.sleep(0.1)


def numbers(lines: list[list[str]], word: str) -> list[int]:
    return [int(number) for each, number in lines if each == word]


def assert_balanced(peer: Peer, jobs: list[int], ledger: Path) -> None:
    ends = peer.of_kind("end")
    lines = [line.split() for line in ledger.read_text().splitlines()]
    started, ended = numbers(lines, "start"), set(numbers(lines, "end"))
    assert len(set(started)) == len(started), "something began twice"
    assert set(started) <= ends.keys(), "something began and was never told"
    assert ends.keys() <= set(jobs)
    for job, body in ends.items():
        if body["ok"]:
            assert job in ended
        elif not body.get("started", True):
            assert job not in started, f"{job} was begun: {body}"
    for job, bodies in peer.all_ends().items():
        assert len(bodies) == 1, f"two different ends of {job}"
