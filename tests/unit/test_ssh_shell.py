"""How the way to a shell is chosen, against a channel whose answers come when the test wants them."""

import re
from typing import Any, cast

import paramiko

from orchestrator.ssh import shell
from orchestrator.ssh.shell import Shell


class FakeChannel:
    """An account whose login file starts a shell that reads its input: both lines are run, the input's first."""

    eof_received = closed = False

    def __init__(self) -> None:
        self._command = b""
        self._said = b""
        self.in_buffer = self

    def set_event(self, event: Any) -> None:
        self._event = event

    def exec_command(self, line: str) -> None:
        self._command = _mark(line.encode())

    def sendall(self, line: bytes) -> None:
        self._said = _mark(line) + b"\n" + self._command + b"\n"
        self._event.set()

    def recv_ready(self) -> bool:
        return bool(self._said)

    def recv(self, _size: int) -> bytes:
        said, self._said = self._said, b""
        return said


def _mark(line: bytes) -> bytes:
    found = re.search(rb"\b[0-9a-f]{16}\b", line)
    assert found is not None
    return found[0]


def test_when_both_ways_have_answered_the_shell_that_reads_input_stands_before_the_other() -> None:
    assert shell.probe("lab", cast(paramiko.Channel, FakeChannel())) is Shell.BY_INPUT
