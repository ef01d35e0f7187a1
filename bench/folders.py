"""Large things on the move: a new version of a folder to many machines; big uploads and results beside small jobs.

JSON lines. N is how many machines get the new version.
"""

import hashlib
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench._many import many, until_ready
from bench._rows import how_many, show, wanted
from bench._stage import NOOP, SLOTS, Spent, a_server, run
from multijob import Client
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

ROWS: Final = ("folder_100", "stalls")
FILES, FILE_BYTES = 20, 5000
#: Answers which version it is, when it began, and a digest of what it sees; long enough that every machine gets some.
MAIN: Final = """import hashlib, pathlib, time
VERSION = %d
def work(sleep_s):
    began = time.time()
    data = b"".join(path.read_bytes() for path in sorted(pathlib.Path(".").glob("file*")))
    time.sleep(sleep_s)
    return [VERSION, began, hashlib.sha256(data).hexdigest()]
"""
#: So long that machines with the new version do not take the processor from those that wait for it.
JOB_S: Final = 2.0
#: Jobs each slot would get in the time that is allowed for a new version, twice over.
ROUNDS: Final = 4
UPLOAD_BYTES, RESULT_BYTES, TIMES = 10 << 20, 5 << 20, 4
#: One long text, and as many bytes of small things.
LARGE_RESULT: Final = "def work(size, seed):\n    return (seed * (size // len(seed) + 1))[:size]\n"
LARGE_ROWS: Final = """def work(rows, seed):
    return [{"id": n, "name": f"row {n}", "of": [n / 8, seed]} for n in range(rows)]
"""
ROWS_IN_RESULT: Final = 100_000
QUIET_S: Final = 8.0


def main() -> None:
    if wanted("folder_100"):
        with many(how_many(100)) as (server, hosts):
            new_version(server, hosts, how_many(100))
    if wanted("stalls"):
        with a_server(4) as (server, _):
            stalls(server, server.client())


# --------------------------------------------------------------------------------------------------------- new version


def new_version(server: RunningServer, hosts: Hosts, count: int) -> None:
    """Two files of twenty change; from publishing them until every machine has begun a job of the new version.

    What the jobs send by themselves is measured with a version that is there already, and taken off.
    """
    until_ready(server, count)
    client = server.client()
    files = {f"file{number:02}": os.urandom(FILE_BYTES) for number in range(FILES - 1)}
    server.job("folder", main=MAIN % 0)
    for name, data in files.items():
        (server.jobs / "folder" / name).write_bytes(data)
    before = sent_bytes(hosts)
    first_s = _until_everywhere(client, count, 0, files)
    first_bytes = sent_bytes(hosts) - before
    before = sent_bytes(hosts)
    _until_everywhere(client, count, 0, files)
    jobs_bytes = sent_bytes(hosts) - before
    files["file07"] = os.urandom(FILE_BYTES)
    server.job("folder", main=MAIN % 1)
    (server.jobs / "folder" / "file07").write_bytes(files["file07"])
    before, spent, began = sent_bytes(hosts), Spent(server, hosts), time.perf_counter()
    version_s = _until_everywhere(client, count, 1, files)
    cores = spent.cores(time.perf_counter() - began)
    changed_bytes = sent_bytes(hosts) - before - jobs_bytes
    show(
        "folder_100",
        {"seconds": ("<=", 4.0), "sent_share_of_whole": ("<=", 0.3)},
        n=count,
        files=FILES,
        folder_bytes=len(MAIN) + (FILES - 1) * FILE_BYTES,
        seconds=round(version_s, 2),
        first_version_s=round(first_s, 2),
        sent_bytes_per_machine=round(changed_bytes / count),
        first_sent_bytes_per_machine=round((first_bytes - jobs_bytes) / count),
        jobs_sent_bytes_per_machine=round(jobs_bytes / count),
        sent_share_of_whole=round(changed_bytes / (first_bytes - jobs_bytes), 3),
        cores=cores,
    )


def _until_everywhere(client: Client, count: int, version: int, files: dict[str, bytes]) -> float:
    """Publish what the server's folder holds, and run jobs; seconds until the last machine began its first of it."""
    digest = hashlib.sha256(b"".join(data for _, data in sorted(files.items()))).hexdigest()
    began_at = time.time()
    assert client.register("folder").version == version
    firsts: dict[str | None, float] = {}
    jobs = client.submit_many("folder", [JOB_S] * (count * SLOTS * ROUNDS))
    for result in client.results(jobs):
        assert result.value()[0] == version, result
        assert result.value()[2] == digest, result
        firsts[result.machine_id] = min(firsts.get(result.machine_id, result.value()[1]), result.value()[1])
    assert len(firsts) == count, f"{count - len(firsts)} machines never had a job of version {version}"
    return max(firsts.values()) - began_at


def sent_bytes(hosts: Hosts) -> int:
    """Bytes that went to the sshds over the connections that are there now."""
    ports = " or ".join(f"dport = :{host.port}" for host in hosts.hosts)
    command = ["ss", "-tinH", "state", "established", f"( {ports} )"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return sum(map(int, re.findall(r"\bbytes_sent:(\d+)", told)))


# -------------------------------------------------------------------------------------------------------------- stalls


class _Probe(NamedTuple):
    """One small job: when it was submitted, and how long its result took."""

    at: float
    took_ms: float


def stalls(server: RunningServer, client: Client) -> None:
    """One small job after the other, from a process of its own, while large things pass by."""
    server.job("small", main=NOOP)
    client.register("small")
    run(client, "small", 100)
    for name, main in (("large", LARGE_RESULT), ("rows", LARGE_ROWS)):
        server.job(name, main=main)
        client.register(name)
        list(client.results(client.submit_many(name, [(10, "x")] * 8)))
    here, there = multiprocessing.get_context("spawn").Pipe()
    token = (server.home / "token").read_text().strip()
    prober = multiprocessing.get_context("spawn").Process(target=_probe, args=(server.url, token, there))
    prober.start()
    try:
        here.recv()
        quiet, *passing = [_span(partial(act, client)) for act in (_nothing, _folder, _result, _rows)]
    finally:
        here.send("stop")
        probes = here.recv()
        prober.join()
    usual = _during(quiet, probes)
    usual_ms = statistics.median(usual)
    sizes = {"upload": UPLOAD_BYTES, "result": RESULT_BYTES, "rows": len(json.dumps(_made_rows(0)))}
    for (name, size), span in zip(sizes.items(), passing, strict=True):
        times = _during(span, probes)
        show(
            f"stalls_{name}",
            {"stall_ms": ("<=", 50.0)},
            n=len(times),
            times=TIMES,
            large_bytes=size,
            stall_ms=round(max(times) - usual_ms, 1),
            p50_ms=round(statistics.median(times), 1),
            quiet_p50_ms=round(usual_ms, 1),
            quiet_worst_ms=round(max(usual), 1),
        )


def _span(act: Callable[[], object]) -> tuple[float, float]:
    """Begin and end; a little longer, for what comes after."""
    began = time.time()
    act()
    time.sleep(1.0)
    return began, time.time()


def _during(span: tuple[float, float], probes: Sequence[_Probe]) -> list[float]:
    """How long those took that were submitted then."""
    return [one.took_ms for one in probes if span[0] < one.at < span[1]]


def _probe(url: str, token: str, said: "Connection[Any, Any]") -> None:
    """Until told to stop."""
    client = Client(url, token=token)
    probes: list[_Probe] = []
    said.send("begun")
    while not said.poll():
        at, began = time.time(), time.perf_counter()
        [result] = client.results(client.submit_many("small", [(len(probes), 1)]))
        probes.append(_Probe(at, (time.perf_counter() - began) * 1000))
        assert result.result == len(probes), result
    said.send(probes)


def _nothing(_: Client) -> None:
    """What is usual."""
    time.sleep(QUIET_S)


def _folder(client: Client) -> None:
    """Upload a folder, as often with other content, and run jobs of it: machines get it too."""
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "main.py").write_text(MAIN % 7)
            data = [os.urandom(UPLOAD_BYTES // 4) for _ in range(4)]
            for number, part in enumerate(data):
                (folder / f"file{number}").write_bytes(part)
            client.register("uploaded", folder)
        digest = hashlib.sha256(b"".join(data)).hexdigest()
        _all_are([one.result[2] for one in client.results(client.submit_many("uploaded", [0.0] * 8))], digest)


def _result(client: Client) -> None:
    """Results of some megabytes, one after the other."""
    for number in range(TIMES):
        seed = json.dumps(list(range(number, number + 1000)))
        [result] = client.results(client.submit_many("large", [(RESULT_BYTES, seed)]))
        _all_are([result.result], (seed * (RESULT_BYTES // len(seed) + 1))[:RESULT_BYTES])


def _rows(client: Client) -> None:
    """The same of many small things, which cost those who read them most."""
    for number in range(TIMES):
        [result] = client.results(client.submit_many("rows", [(ROWS_IN_RESULT, number)]))
        _all_are([result.result], _made_rows(number))


def _made_rows(number: int) -> list[dict[str, object]]:
    return [{"id": n, "name": f"row {n}", "of": [n / 8, number]} for n in range(ROWS_IN_RESULT)]


def _all_are(seen: Sequence[Any], expected: object) -> None:
    assert all(one == expected for one in seen), "a large result is not what it should be"


if __name__ == "__main__":
    main()
