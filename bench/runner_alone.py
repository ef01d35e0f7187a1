"""How many no-op jobs a second one runner does with nobody but a fake server to talk to. Prints one JSON line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from remote_runner import bundle
from tests.support.runner_peer import Peer

ECHO = "def work(x):\n    return x\n"


def cpu_by_process(root: Path) -> dict[str, float]:
    """CPU seconds of the runner's processes so far, by their names."""
    used: dict[str, float] = {}
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or not str((folder / "cwd").readlink()).startswith(str(root)):
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        used[name] = used.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / 100
    return used


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--ahead", type=int, default=2000, help="how many are assigned before their results are in")
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        peer = Peer(options.python, bundle.build(Path(folder) / "bundle").path, root)
        try:
            print(json.dumps(measure(peer, options)))
        finally:
            peer.close()


def measure(peer: Peer, options: argparse.Namespace) -> dict[str, object]:
    """Keep ``ahead`` jobs assigned until all are done."""
    begun = time.monotonic()
    peer.attach(limit=options.limit)
    attached = time.monotonic() - begun
    ref = peer.publish("echo", 0, {"main.py": ECHO}, fresh_process=options.fresh)
    peer.results(peer.assign(ref, *range(10)))
    alone = [timed(peer, ref) for _ in range(50)]
    before = cpu_by_process(peer.root)
    done = threading.Semaphore(0)
    peer.count_only(done)
    begun = time.monotonic()
    chunk = max(1, options.ahead // 4)
    assigned = finished = 0
    while finished < options.jobs:
        while assigned - finished < options.ahead and assigned < options.jobs:
            peer.assign_same(ref, chunk)
            assigned += chunk
        done.acquire()
        finished = peer.counted
    seconds = time.monotonic() - begun
    after = cpu_by_process(peer.root)
    cpu = {name: round((after[name] - before.get(name, 0.0)) / finished * 1e6, 2) for name in after}
    return {
        "bench": "runner_alone",
        "python": peer.hello["python"],
        "fresh_process": options.fresh,
        "workers": options.limit,
        "jobs_per_s": round(finished / seconds),
        "cpu_us_per_job": cpu,
        "attach_ms": round(attached * 1000),
        "one_job_ms": round(sorted(alone)[len(alone) // 2] * 1000, 2),
    }


def timed(peer: Peer, ref: str) -> float:
    begun = time.monotonic()
    peer.end(peer.assign(ref, 1)[0])
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
