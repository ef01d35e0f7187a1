"""Where the server's time goes at full rate: py-spy looks which code holds the interpreter's lock. JSON lines.

No-op jobs go round as in ``noop``; shares are of the samples, microseconds of what the server used for a job. N is how
many jobs a round. Looking at it from outside slows it a little, so the rate here is not the rate.
"""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench._rows import how_many, show
from bench._stage import NOOP, Spent, a_server, run

ROWS: Final = ("daemon_profile",)
SECONDS, RATE = 20, 200
#: The first that a stack passes through is its room; within the writer, which kind of write.
ROOMS: Final = (
    ("writer: reports settled, results and history written", ("store/writer.py", "store/attempts.py")),
    ("writer: claims", ("store/writer.py", "store/queue.py:")),
    ("writer: submits", ("store/writer.py", "store/submissions.py")),
    ("writer: counters, events, the commit", ("store/writer.py",)),
    ("reports: received, checked, decoded", ("web/reports.py",)),
    ("results read and sent to clients", ("web/api", "results")),
    ("submits and other requests", ("web/api",)),
    ("HTTP", ("waitress",)),
    ("engine: choosing", ("orchestrator/engine/beat.py", "scheduler.py")),
    ("engine: reading the queue", ("orchestrator/engine/beat.py", "backlog.py")),
    ("engine: events, what machines hold", ("orchestrator/engine/beat.py",)),
    ("sessions: assignments to machines", ("orchestrator/node/session.py",)),
    ("SSH, the tunnel of reports", ("paramiko",)),
    ("SSH, the tunnel of reports", ("tunnel.py",)),
)
ELSE: Final = "threads that wake up, and the rest"
DEEPEST: Final = 12


def main() -> None:
    n = how_many(50_000)
    with a_server(4) as (server, hosts), tempfile.TemporaryDirectory() as folder:
        client = server.client()
        server.job("noop", main=NOOP)
        client.register("noop")
        run(client, "noop", 2000)
        seen = Path(folder) / "stacks"
        spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "-f", "raw", "-o", str(seen)]
        spy += ["-p", str(server.pid), "-d", str(SECONDS), "-r", str(RATE)]
        spent, rounds = Spent(server, hosts), 0
        with subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                run(client, "noop", n)
                rounds += 1
            _, said = process.communicate()
        assert seen.exists(), f"py-spy could not look: {said}"
        _say(seen.read_text().splitlines(), spent.seconds()["server"] * 1e6 / (rounds * n))


def _say(lines: Iterable[str], server_us: float) -> None:
    rooms: Counter[str] = Counter()
    deepest: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        rooms[room(stack)] += int(count)
        deepest[stack.rpartition(";")[2]] += int(count)
    samples = rooms.total()
    for name, taken in rooms.most_common():
        share = taken / samples
        show("daemon_profile", None, room=name, share=round(share, 3), us_per_job=round(share * server_us, 1))
    top = {name: round(taken / samples, 3) for name, taken in deepest.most_common(DEEPEST)}
    show("daemon_profile", None, samples=samples, server_us_per_job=round(server_us, 1), deepest=top)


def room(stack: str) -> str:
    """Where in the house a stack is."""
    return next((name for name, parts in ROOMS if all(part in stack for part in parts)), ELSE)


if __name__ == "__main__":
    main()
