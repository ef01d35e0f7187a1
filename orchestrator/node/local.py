"""Reach the server's own machine: the same promise as over SSH, kept by subprocesses. No network."""

import contextlib
import filecmp
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from inventory.machine import Machine
from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.node.transport import Completed

#: Files of a job version on a node: for their owner only, and never written again.
FILE_MODE = 0o400
EXECUTABLE_MODE = 0o500
FOLDER_MODE = 0o700

_TAIL_BYTES = 4096
_SEND_S = 30.0
_CLOSE_S = 5.0


class LocalTransport:
    """A Transport whose node is this machine; the Machine only names it."""

    def __init__(self, machine: Machine) -> None:
        self._machine_id = machine.machine_id
        self._lock = threading.Lock()
        self._channels: set[LocalChannel] = set()
        self._connected = False

    def connect(self) -> None:
        self._connected = True

    def alive(self) -> bool:
        return self._connected

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Completed:
        process = self._start(argv)
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            raise NodeUnreachable(f"{self._machine_id}: {argv[0]} did not end within {timeout_s:g} s") from None
        return Completed(process.returncode, stdout, stderr)

    def push(self, source: Path, dest: str, *, link_dest: str | None, timeout_s: float) -> int:
        target = Path(dest)
        sibling = target.parent / link_dest if link_dest else None
        try:
            target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            return _copy_folder(source, target, sibling, time.monotonic() + timeout_s)
        except OSError as error:
            raise NodeUnfit(f"{self._machine_id}: cannot copy to {error.filename or dest}: {error.strerror}") from error

    def open(self, argv: Sequence[str]) -> "LocalChannel":
        channel = LocalChannel(self._machine_id, self._start(argv), self._channels.discard)
        with self._lock:
            self._channels.add(channel)
        return channel

    def forward(self, local_port: int) -> int:
        return local_port

    def close(self) -> None:
        self._connected = False
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.close()

    def _start(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        if not self._connected:
            raise NodeUnreachable(f"{self._machine_id}: not connected")
        return subprocess.Popen(
            ["sh", "-c", 'exec "$@"', "sh", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=Path.home(),
            start_new_session=True,
        )


class LocalChannel:
    """The stream of one long-lived process. ``close`` does what a lost connection does, and waits for its end."""

    def __init__(
        self, machine_id: str, process: "subprocess.Popen[bytes]", on_close: Callable[["LocalChannel"], None]
    ) -> None:
        self._machine_id = machine_id
        self._process = process
        self._stdin, self._stdout, self._stderr = _pipes(process)
        self._on_close = on_close
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._receiving = threading.Lock()
        self._closed = False
        self._tail = bytearray()
        os.set_blocking(self._stdin.fileno(), False)
        self._listener = threading.Thread(target=self._listen_to_stderr, name="local-stderr", daemon=True)
        self._listener.start()

    def send(self, data: bytes) -> None:
        with self._sending:
            try:
                self._write(memoryview(data), time.monotonic() + _SEND_S)
            except (OSError, ValueError) as error:
                raise NodeUnreachable(f"{self._machine_id}: the process is gone: {self.stderr_tail()}") from error

    def receive(self) -> bytes:
        with self._receiving:
            if self._stdout.closed:
                return b""
            return os.read(self._stdout.fileno(), 1 << 16)

    def stderr_tail(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._end_process()
            self._listener.join()
            with self._sending:
                self._stdin.close()
            with self._receiving:
                self._stdout.close()
            self._stderr.close()
            self._on_close(self)

    def _write(self, data: memoryview, ends_at: float) -> None:
        writable = select.poll()  # not select(), which fails from the 1024th descriptor on
        writable.register(self._stdin, select.POLLOUT)
        while data:
            if not writable.poll(max(0.0, ends_at - time.monotonic()) * 1000):
                raise NodeUnreachable(f"{self._machine_id}: the process takes no input")
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._stdin.fileno(), data[: 1 << 16]) :]

    def _end_process(self) -> None:
        """Close its stdin, then insist. Whoever is blocked in ``send`` or ``receive`` is freed by its end."""
        if self._sending.acquire(timeout=0.1):
            with contextlib.suppress(OSError):
                self._stdin.close()
            self._sending.release()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_S)
        _kill(self._process)
        self._process.wait()

    def _listen_to_stderr(self) -> None:
        while data := os.read(self._stderr.fileno(), _TAIL_BYTES):
            self._tail += data
            del self._tail[:-_TAIL_BYTES]


def _pipes(process: "subprocess.Popen[bytes]") -> "tuple[IO[bytes], IO[bytes], IO[bytes]]":
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout, process.stderr


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever stayed in its session's group (a runner has left it and lives on)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _copy_folder(source: Path, target: Path, sibling: Path | None, ends_at: float) -> int:
    """Copy regular files with their executable bit; those equal to the sibling's become links to them."""
    sent_bytes = 0
    target.mkdir(mode=FOLDER_MODE)
    for folder, _, names in os.walk(source):
        relative = Path(folder).relative_to(source)
        (target / relative).mkdir(mode=FOLDER_MODE, exist_ok=True)
        for name in names:
            if time.monotonic() > ends_at:
                raise NodeUnreachable(f"copying to {target} took too long")
            sent_bytes += _copy_file(source / relative / name, target / relative / name, _at(sibling, relative / name))
    return sent_bytes


def _at(sibling: Path | None, relative: Path) -> Path | None:
    return sibling / relative if sibling else None


def _copy_file(source: Path, target: Path, earlier: Path | None) -> int:
    """Bytes copied: 0 for a link."""
    if source.is_symlink() or not source.is_file():
        return 0
    mode = EXECUTABLE_MODE if source.stat().st_mode & 0o100 else FILE_MODE
    if earlier and _same(source, earlier, mode):
        os.link(earlier, target)
        return 0
    shutil.copyfile(source, target)
    target.chmod(mode)
    return target.stat().st_size


def _same(source: Path, earlier: Path, mode: int) -> bool:
    if earlier.is_symlink() or not earlier.is_file() or earlier.stat().st_mode & 0o777 != mode:
        return False
    return filecmp.cmp(source, earlier, shallow=False)
