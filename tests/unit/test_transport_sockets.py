"""The byte streams below SSH connections, where they can be looked at without a host."""

import paramiko

from orchestrator.ssh.socket import ChannelSocket


class DyingChannel(paramiko.Channel):
    """A channel whose connection ends while it is being closed."""

    closes = 0

    def close(self) -> None:
        self.closes += 1
        raise EOFError


def test_a_jump_hosts_channel_closes_quietly_when_its_connection_has_died() -> None:
    channel = DyingChannel(7)
    sock = ChannelSocket(channel)
    sock.close()
    assert channel.closes == 1
    assert sock.get_id() == 7
