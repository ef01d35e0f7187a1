"""How fast a node is reached: connects, commands, folders, the tunnel, and what idle connections cost.

Against a private sshd on this machine. Prints one JSON line a measurement: ``python -m bench transport``.
"""

import json
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from inventory.machine import Machine
from orchestrator.node.transport import Transport
from tests.support.hosts import Host, Hosts, Transports, running

REPEATS = 30
IDLE = 100
IDLE_S = 20.0
POSTS = 2000

_POST = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
body = b"x" * int(sys.argv[3])
for _ in range(int(sys.argv[2])):
    s.sendall(body)
    s.recv(100)
"""


def main() -> None:
    with running() as hosts, tempfile.TemporaryDirectory() as scratch:
        host = hosts.start()
        user = hosts.user("sh") if "sh" in hosts.shells() else hosts.user()
        machine = hosts.machine(host, user=user, root="/tmp/" + os.urandom(6).hex())  # noqa: S108
        transports = hosts.transports()
        transport = transports.connected(machine)
        for measure in (_commands, _stream, _folders, _tunnel):
            measure(transport, machine, Path(scratch))
        transport.run(["rm", "-rf", machine.root], timeout_s=60)
        _connects(transports, machine)
        _idle(hosts, host, machine)


def _commands(transport: Transport, _machine: Machine, _scratch: Path) -> None:
    _report("run true, ms", _times_ms(lambda: transport.run(["true"], timeout_s=10)))
    data = b"x" * (16 << 20)
    took_ms = _times_ms(lambda: transport.run(["cat"], stdin=data, timeout_s=60), repeats=3)
    _report("16 MiB there and back, ms", took_ms)


def _stream(transport: Transport, _machine: Machine, _scratch: Path) -> None:
    channel = transport.open(["cat"])

    def there_and_back() -> None:
        channel.send(b"x" * 200)
        channel.receive()

    _report("stream round trip, ms", _times_ms(there_and_back, repeats=500))
    channel.close()


def _folders(transport: Transport, machine: Machine, scratch: Path) -> None:
    """Twenty files, 100 KB in all."""
    for number in range(20):
        (scratch / f"file{number}").write_bytes(os.urandom(5000))
    names = iter(range(10**6))
    for label, link in (("rsync", None), ("rsync with link-dest", "v0")):
        _report(f"push by {label}, ms", _times_ms(lambda link=link: _push(transport, machine, scratch, names, link)))  # type: ignore[misc]
    transport._rsync_missing = True  # type: ignore[attr-defined] # noqa: SLF001 - as on a node without it
    _report("push by tar, ms", _times_ms(lambda: _push(transport, machine, scratch, names, None)))


def _push(transport: Transport, machine: Machine, source: Path, names: Iterator[int], link: str | None) -> None:
    transport.push(source, f"{machine.root}/v{next(names)}", link_dest=link, timeout_s=60)


def _tunnel(transport: Transport, _machine: Machine, _scratch: Path) -> None:
    """Requests and answers of a report's size, one after the other, over one connection."""
    for size in (200, 20_000):
        with _answering(size) as port:
            near = transport.forward(port) if size == 200 else _forward_again(transport, port)
            started = time.perf_counter()
            transport.run(["python3", "-c", _POST, str(near), str(POSTS), str(size)], timeout_s=120)
            _report(f"tunnel, requests of {size} bytes, 1/s", [POSTS / (time.perf_counter() - started)])


def _forward_again(transport: Transport, port: int) -> int:
    transport._forwarded = None  # type: ignore[attr-defined] # noqa: SLF001 - a forward lasts as long as its connection
    return transport.forward(port)


@contextmanager
def _answering(size: int) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, size))
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def _answer(server: socket.socket, size: int) -> None:
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        got = 0
        while data := connection.recv(1 << 16):
            got += len(data)
            while got >= size:
                got -= size
                connection.sendall(b"ok")


def _connects(transports: Transports, machine: Machine) -> None:
    _report("connect, ms", _times_ms(lambda: transports.connected(machine).close()))
    with ThreadPoolExecutor(8) as pool:
        started = time.perf_counter()
        list(pool.map(lambda _: transports.connected(machine).close(), range(40)))
        _report("connects, 8 threads to one address, 1/s", [40 / (time.perf_counter() - started)])


def _idle(hosts: Hosts, host: Host, machine: Machine) -> None:
    transports = hosts.transports()
    for _ in range(IDLE):
        transports.connected(machine)
    before = time.process_time()
    time.sleep(IDLE_S)
    share = (time.process_time() - before) / IDLE_S * 100
    _report(f"{IDLE} idle connections to {host.name}, % of a core", [share])


def _times_ms(work: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    work()
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        took.append((time.perf_counter() - started) * 1000)
    return took


def _report(what: str, values: list[float]) -> None:
    line = {"what": what, "median": round(statistics.median(values), 3), "max": round(max(values), 3), "n": len(values)}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
