"""How commands reach a plain sh past the account's login shell, and how to find that out where it is not as usual.

Normally the login shell runs the line it is given. Some accounts' login files start another shell, which reads our
stdin instead: there the line is sent as input. Talks over one channel; decides nothing else.
"""

import enum
import secrets
import time

import paramiko

from orchestrator.errors import NodeRefused, NodeUnfit, NodeUnreachable
from orchestrator.ssh import quoting
from orchestrator.ssh.stream import Wake, shell_refusal

#: After this long without an answer we suppose another shell is waiting for input; slow login files may still answer.
RESCUE_S = 5.0
_PROBE_S = 25.0


class Shell(enum.Enum):
    """How a command line gets to a shell."""

    BY_COMMAND = "by command"
    BY_INPUT = "by input"


def begin(channel: paramiko.Channel, line: str, shell: Shell) -> None:
    """Make the account's shell run ``line`` on this channel."""
    if shell is Shell.BY_COMMAND:
        channel.exec_command(line)
    else:
        channel.exec_command("exit")
        channel.sendall(line.encode() + b"\n")


def probe(who: str, channel: paramiko.Channel) -> Shell:
    """Try both ways, see which one answers. NodeRefused: the shell runs nothing; NodeUnfit: nothing answers."""
    by_input, by_command = secrets.token_hex(8), secrets.token_hex(8)
    # The shell that took our input may end and let the login shell come to its command: then both have answered.
    marks = {by_input: Shell.BY_INPUT, by_command: Shell.BY_COMMAND}
    wake = Wake()
    channel.in_buffer.set_event(wake)  # type: ignore[arg-type] # it calls set and clear, no more
    channel.exec_command(quoting.framed(["true"], by_command))
    channel.sendall(quoting.framed(["true"], by_input).encode() + b"\n")
    said, found = _listen(channel, wake, marks, time.monotonic() + _PROBE_S)
    if found is not None:
        return found
    if not _is_connected(channel):  # it says nothing about the shell
        raise NodeUnreachable(f"{who}: the connection broke while its login shell was asked")
    if _at_end(channel):
        raise NodeRefused(f"{who}: {shell_refusal(said + _stderr(channel))}", pause=True)
    raise NodeUnfit(f"{who}: the login shell gives no answer; do its login files start another program or wait?")


def _listen(
    channel: paramiko.Channel, wake: Wake, marks: dict[str, Shell], ends_at: float
) -> tuple[bytes, Shell | None]:
    said = b""
    while True:
        at_end = _at_end(channel)
        while channel.recv_ready():
            said += channel.recv(1 << 15)
        found = [shell for mark, shell in marks.items() if quoting.after_mark(said, mark) is not None]
        if found or at_end or not wake.wait(max(0.0, ends_at - time.monotonic())):
            return said, found[0] if found else None


def _at_end(channel: paramiko.Channel) -> bool:
    return bool(channel.eof_received or channel.closed)


def _is_connected(channel: paramiko.Channel) -> bool:
    transport = channel.get_transport()
    return bool(transport.is_active())


def _stderr(channel: paramiko.Channel) -> bytes:
    return channel.recv_stderr(1 << 15) if channel.recv_stderr_ready() else b""
