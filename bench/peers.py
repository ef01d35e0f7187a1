"""What people would pick instead, with the same two jobs on the same machine: GNU parallel over SSH, Celery with Redis.

JSON lines; last of all how many times as fast we are here and now. ``make peers`` installs them; what is not installed
is skipped, and said. Eight slots each: four machines with two, or eight workers. N is how many jobs of parallel; Celery
gets thirty times as many, we two hundred times. Everything is on our side but this: none of them keeps its jobs on a
disk, and parallel starts an interpreter for each, as whoever runs a script by SSH does.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench._rows import busy_s, how_many, show, skip, wanted
from bench._stage import NOOP, a_server, run
from tests.support import hosts as ssh_hosts
from tests.support import wait
from tests.support.hosts import Hosts

ROWS: Final = ("peer_parallel", "peer_celery", "against_peers")
MACHINES, SLOTS = 4, 2
BODIES: Final = {"noop": "return x + y", "sleep10": "time.sleep(0.01); return x + y"}
#: Where ``make peers`` puts Celery, apart from the product's packages.
CELERY: Final = Path(__file__).parent / ".peers" / "bin" / "celery"
SCRIPT: Final = "import sys, time\ndef work(x, y):\n    {body}\nprint(work(int(sys.argv[1]), int(sys.argv[2])))\n"
APP: Final = """
import json, sys, time
from celery import Celery, group

app = Celery("peer", broker=URL, backend=URL)
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

@app.task(name="noop")
def noop(x, y):
    return x + y

@app.task(name="sleep10")
def sleep10(x, y):
    time.sleep(0.01)
    return x + y

def timed(task, n):
    began = time.perf_counter()
    answers = group(task.s(number, 1) for number in range(n))().get(timeout=600)
    took_s = time.perf_counter() - began
    assert answers == [number + 1 for number in range(n)], "wrong answers"
    return took_s

if __name__ == "__main__":
    timed(noop, 200)
    for task in (noop, sleep10):
        print(json.dumps([task.name, timed(task, int(sys.argv[1]))]), flush=True)
"""


def main() -> None:
    n = how_many(100)
    rates: list[float] = []
    if wanted("peer_parallel") or wanted("against_peers"):
        rates += _parallel(n)
    if wanted("peer_celery") or wanted("against_peers"):
        rates += _celery(n * 30)
    if wanted("against_peers"):
        _against(rates, n * 200)


def _say(system: str, workload: str, n: int, wall_s: float, **figures: object) -> float:
    show(workload, None, system=system, n=n, jobs_per_s=round(n / wall_s, 1), wall_s=round(wall_s, 2), **figures)
    return n / wall_s


def _against(rates: list[float], n: int) -> None:
    """Our no-op jobs, durable, against the best rate of any peer."""
    if not rates:
        return skip("against_peers", "no peer is installed: make peers")
    with a_server(MACHINES) as (server, _):
        server.job("noop", main=NOOP)
        client = server.client()
        client.register("noop")
        run(client, "noop", 1000)
        began = time.perf_counter()
        run(client, "noop", n)
        rate = n / (time.perf_counter() - began)
    ratio = round(rate / max(rates), 1)
    show(
        "against_peers",
        {"ratio": (">=", 1.0)},
        n=n,
        jobs_per_s=round(rate),
        best_peer_per_s=round(max(rates)),
        ratio=ratio,
    )
    return None


# ------------------------------------------------------------------------------------------------------- GNU parallel


def _parallel(n: int) -> list[float]:
    """Its no-op rates, with a connection a job and with one that is shared."""
    if shutil.which("parallel") is None or "GNU" not in _version("parallel"):
        skip("peer_parallel", "GNU parallel is not installed: make peers")
        return []
    rates = []
    with ssh_hosts.running() as hosts:
        for _ in range(MACHINES):
            hosts.start()
        for system, shared in (("GNU parallel", False), ("GNU parallel, ControlMaster", True)):
            for workload, body in BODIES.items():
                script = hosts.folder / f"{workload}.py"
                script.write_text(SCRIPT.format(body=body))
                busy, began = busy_s(), time.perf_counter()
                _run_parallel(hosts, script, n, shared=shared)
                wall_s = time.perf_counter() - began
                cpu_ms = round((busy_s() - busy) * 1000 / n, 1)
                rates.append(_say(system, workload, n, wall_s, durable=False, cpu_ms_per_job=cpu_ms))
    return rates


def _run_parallel(hosts: Hosts, script: Path, n: int, *, shared: bool) -> None:
    config = hosts.folder / f"config-{'shared' if shared else 'own'}"
    lines = [
        "Host *",
        f"IdentityFile {hosts.identity}",
        f"UserKnownHostsFile {hosts.home}/known_hosts",
        "LogLevel ERROR",
    ]
    if shared:
        lines += ["ControlMaster auto", f"ControlPath {hosts.folder}/%n.sock", "ControlPersist 30"]
    for host in hosts.hosts:
        lines += [f"Host {host.name}", f"HostName {host.address}", f"Port {host.port}", f"User {hosts.user()}"]
    config.write_text("\n".join(lines) + "\n")
    logins = ",".join(f"{SLOTS}/{host.name}" for host in hosts.hosts)
    command = [
        "parallel",
        "--will-cite",
        "-k",
        "--ssh",
        f"ssh -F {config}",
        "-S",
        logins,
        f"{sys.executable} {script} {{}} 1",
    ]
    given = "".join(f"{number}\n" for number in range(n))
    environment = {**os.environ, "HOME": str(hosts.home)}
    done = subprocess.run(command, input=given, capture_output=True, check=False, text=True, env=environment)
    if shared:
        for host in hosts.hosts:
            subprocess.run(["ssh", "-F", str(config), "-O", "exit", host.name], capture_output=True, check=False)
    assert done.stdout.split() == [str(number + 1) for number in range(n)], done.stderr[-2000:]


def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], capture_output=True, check=False, text=True).stdout


# -------------------------------------------------------------------------------------------------------------- Celery


def _celery(n: int) -> list[float]:
    """Its no-op rate with eight workers; Redis keeps the jobs in memory."""
    if not CELERY.exists() or shutil.which("redis-server") is None:
        skip("peer_celery", "Celery or Redis is not installed: make peers")
        return []
    rates = []
    with tempfile.TemporaryDirectory(prefix="mj-peer-") as name, _redis(Path(name)) as address:
        (Path(name) / "peer.py").write_text(APP.replace("URL", repr(address)))
        with _workers(Path(name)):
            command = [str(CELERY.with_name("python")), "peer.py", str(n)]
            busy = busy_s()
            told = subprocess.run(command, cwd=name, capture_output=True, check=True, text=True).stdout
            cpu_ms = round((busy_s() - busy) * 1000 / (2 * n), 2)
            for workload, wall_s in map(json.loads, told.splitlines()):
                rates.append(_say("Celery with Redis", workload, n, wall_s, durable=False, cpu_ms_per_job=cpu_ms))
    return rates


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with _process(command, folder):
        wait.until(socket.exists, what="redis-server")
        yield f"redis+socket://{socket}"


@contextmanager
def _workers(folder: Path) -> Iterator[None]:
    command = [str(CELERY), "-A", "peer", "worker", "-c", str(MACHINES * SLOTS), "-l", "error", "--without-mingle"]
    with _process(command, folder):
        yield


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[Any]:
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
        try:
            yield process
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
