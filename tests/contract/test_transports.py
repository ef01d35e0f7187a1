"""One promise, two transports: the same tests against this machine and against a real sshd."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.machine import Machine
from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.node import health
from orchestrator.node.transport import Transport
from remote_runner import digest
from tests.support import hosts as support_hosts
from tests.support import wait
from tests.support.hosts import Transports

AWKWARD = [
    "",
    "a b",
    "it's",
    'say "hi"',
    "back\\slash",
    "$HOME `id` $(id)",
    "!x!",
    "*?[a]",
    "~",
    "=x",
    "two\nlines",
    "数据",
    "-n",
]


class Place:
    """A connected transport, and where it may write."""

    def __init__(self, transport: Transport, machine: Machine) -> None:
        self.transport = transport
        self.machine = machine
        self.root = machine.root

    def run(self, *argv: str, stdin: bytes = b"") -> str:
        done = self.transport.run(argv, stdin=stdin, timeout_s=30)
        assert done.exit_code == 0, done
        return done.stdout.decode()


@pytest.fixture(autouse=True)
def others() -> frozenset[threading.Thread]:
    """The threads there are before a test makes its own: tests of other files may have theirs still."""
    return frozenset(threading.enumerate())


@pytest.fixture(params=["local", pytest.param("sshd", marks=pytest.mark.sshd)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        machine = Machine(machine_id="here", connection="local", root=str(tmp_path / "root"))
        yield from _connected(support_hosts.Hosts(_new(tmp_path / "hosts")).transports(), machine)
        return
    made = request.getfixturevalue("hosts")
    host = made.start()
    yield from _connected(made.transports(), made.machine(host))


def _connected(transports: Transports, machine: Machine) -> Iterator[Place]:
    try:
        yield Place(transports.connected(machine), machine)
    finally:
        transports.stop()


def _new(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job folder with what people put into one."""
    made = _new(tmp_path / "job folder")
    (made / "main.py").write_text("def work():\n    return 1\n")
    (made / "tool").write_text("#!/bin/sh\necho tool\n")
    (made / "tool").chmod(0o755)
    (made / "empty").write_text("")
    (made / "blob").write_bytes(os.urandom(300_000))
    _new(made / "子 folder")
    (made / "子 folder" / "数据.txt").write_text("数据")
    return made


def test_arguments_arrive_as_they_are(place: Place) -> None:
    assert place.run("printf", "%s\\0", *AWKWARD).split("\0")[:-1] == AWKWARD


def test_exit_codes_and_both_outputs_are_values(place: Place) -> None:
    done = place.transport.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout_s=30)
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_a_missing_command_is_a_value_too(place: Place) -> None:
    assert place.transport.run(["no-such-command"], timeout_s=30).exit_code in (126, 127)


def test_stdin_arrives_whole_while_output_comes(place: Place) -> None:
    data = os.urandom(6 << 20)
    assert place.transport.run(["cat"], stdin=data, timeout_s=60).stdout == data


def test_a_command_that_reads_nothing_does_not_block_us(place: Place) -> None:
    assert place.transport.run(["true"], stdin=b"x" * (6 << 20), timeout_s=60).exit_code == 0


def test_floods_on_both_outputs_are_read(place: Place) -> None:
    script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"
    done = place.transport.run(["sh", "-c", script], timeout_s=60)
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_a_deadline_is_kept(place: Place) -> None:
    with pytest.raises(NodeUnreachable):
        place.transport.run(["sleep", "600"], timeout_s=0.3)
    assert place.run("echo", "still here") == "still here\n"


def test_a_stream_goes_both_ways_until_closed(place: Place) -> None:
    channel = place.transport.open(["cat"])
    channel.send(b"one")
    assert channel.receive() == b"one"
    channel.send(b"x" * 50_000)
    seen = 0
    while seen < 50_000:
        seen += len(channel.receive())
    channel.close()
    with pytest.raises(NodeUnreachable):
        channel.send(b"more")


def test_a_stream_ends_with_its_command(place: Place) -> None:
    channel = place.transport.open(["sh", "-c", "echo bye; echo why >&2"])
    received = b""
    while data := channel.receive():
        received += data
    assert received == b"bye\n"
    wait.until(lambda: channel.stderr_tail() == "why\n", what="stderr")
    channel.close()


def test_closing_frees_a_blocked_receiver(place: Place) -> None:
    channel = place.transport.open(["cat"])
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(channel.receive()))
    reader.start()
    channel.close()
    reader.join(20)
    assert received == [b""]


def test_a_pushed_folder_is_the_same_folder(place: Place, folder: Path) -> None:
    dest = f"{place.root}/versions/crawl/.stage 1"
    sent_bytes = place.transport.push(folder, dest, link_dest=None, timeout_s=60)
    assert sent_bytes >= 300_000
    assert digest.of_folder(dest) == digest.of_folder(str(folder))


def test_pushed_files_are_their_owners_alone_and_not_written_again(place: Place, folder: Path) -> None:
    dest = Path(place.root) / "versions" / "x"
    place.transport.push(folder, str(dest), link_dest=None, timeout_s=60)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in dest.rglob("*")}
    assert {modes["main.py"], modes["tool"], modes["子 folder"]} == {"0o400", "0o500", "0o700"}


def test_equal_files_are_linked_to_the_version_before(place: Place, folder: Path) -> None:
    first, second = Path(place.root) / "1", Path(place.root) / "2"
    place.transport.push(folder, str(first), link_dest=None, timeout_s=60)
    (folder / "main.py").write_text("def work():\n    return 2\n")
    (folder / "blob").touch()
    sent_bytes = place.transport.push(folder, str(second), link_dest="1", timeout_s=60)
    assert sent_bytes < 100_000
    assert (first / "blob").samefile(second / "blob")
    assert not (first / "main.py").samefile(second / "main.py")
    assert digest.of_folder(str(second)) == digest.of_folder(str(folder))


def test_a_tampered_file_is_not_linked(place: Place, folder: Path) -> None:
    first, second = Path(place.root) / "1", Path(place.root) / "2"
    place.transport.push(folder, str(first), link_dest=None, timeout_s=60)
    stat = (first / "main.py").stat()
    (first / "main.py").chmod(0o600)
    (first / "main.py").write_text("def work():\n    return 9\n")
    os.utime(first / "main.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (first / "main.py").chmod(0o400)
    place.transport.push(folder, str(second), link_dest="1", timeout_s=60)
    assert (second / "main.py").read_text() == "def work():\n    return 1\n"


def test_links_never_travel(place: Place, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(".")
    dest = Path(place.root) / "v"
    place.transport.push(folder, str(dest), link_dest=None, timeout_s=60)
    assert not os.path.lexists(dest / "link")
    assert not os.path.lexists(dest / "loop")


def test_a_place_that_cannot_be_written_is_said(place: Place, folder: Path) -> None:
    Path(place.root).mkdir(parents=True)
    (Path(place.root) / "file").write_text("")
    with pytest.raises(NodeUnfit):
        place.transport.push(folder, f"{place.root}/file/below", link_dest=None, timeout_s=60)


def test_the_node_reaches_a_port_of_ours(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_loud, args=(server,))
        thread.start()
        port = place.transport.forward(server.getsockname()[1])
        assert place.transport.forward(server.getsockname()[1]) == port
        script = (
            "import socket,sys\n"
            "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
            "s.sendall(b'x'*1000000); s.shutdown(1)\n"
            "n=0\n"
            "while True:\n"
            "    d=s.recv(65536)\n"
            "    if not d: break\n"
            "    n+=d.count(b'X')\n"
            "print(n)\n"
        )
        assert place.run("python3", "-c", script, str(port)) == "1000000\n"
        thread.join(20)


def _answer_loud(server: socket.socket) -> None:
    """Answer one connection with what it sent, in capitals."""
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data.upper())


def test_first_contact_and_poll(place: Place) -> None:
    contact = health.first_contact(place.transport, place.machine, "server-1", timeout_s=60)
    assert contact.root == f"{place.root}/server-1"
    assert Path(contact.root).stat().st_mode & 0o777 == 0o700
    assert contact.cores >= 1
    assert contact.load.memory_free_mb > 0
    (Path(place.root) / "Pause").touch()
    load = health.poll(place.transport, contact.root, contact.load, timeout_s=30)
    assert load.pause_file
    assert not load.end_file


def test_first_contact_sees_what_is_there(place: Place) -> None:
    root = Path(place.root) / "server-1"
    (root / "runner").mkdir(parents=True)
    (root / "runner" / "abc.pyz").touch()
    (root / "versions" / "crawl" / "3-0123").mkdir(parents=True)
    (root / "versions" / "crawl" / ".stage-1").mkdir(parents=True)
    (root / "run" / "journal").mkdir(parents=True)
    (root / "run" / "journal" / "r1.jnl").touch()
    contact = health.first_contact(place.transport, place.machine, "server-1", timeout_s=60)
    assert contact.runners == {"abc"}
    assert contact.versions == {"crawl": {"3-0123"}}
    assert contact.journals


def test_a_closed_transport_says_so(place: Place) -> None:
    assert place.transport.alive()
    place.transport.close()
    assert not place.transport.alive()
    with pytest.raises(NodeUnreachable):
        place.transport.run(["true"], timeout_s=5)


def test_nothing_is_left_behind(others: frozenset[threading.Thread], place: Place, folder: Path) -> None:
    """Many uses, then closed: no thread, no descriptor stays."""
    place.run("true")
    before = _descriptors()
    for _ in range(20):
        place.run("cat", stdin=b"x")
        place.transport.open(["cat"]).close()
    place.transport.push(folder, f"{place.root}/v", link_dest=None, timeout_s=60)
    wait.until(lambda: _descriptors() <= before, what="descriptors as before")
    place.transport.close()
    wait.until(
        lambda: {thread.name for thread in set(threading.enumerate()) - others} <= {"tunnel"}, what="its threads' end"
    )


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
