"""What sockets and libraries raise while connecting, told apart by who must act. Pure."""

import contextlib
import socket
from collections.abc import Iterator

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from inventory.machine import Machine
from orchestrator.errors import HostKeyRefused, NodeRefused, NodeUnreachable


@contextlib.contextmanager
def told_apart(machine: Machine) -> Iterator[None]:
    """Wrap what sockets and libraries raise, by who must act."""
    who = machine.machine_id
    try:
        yield
    except HostKeyRefused as error:
        raise HostKeyRefused(f"{who}: {error}", fingerprint=error.fingerprint, changed=error.changed) from None
    except paramiko.AuthenticationException as error:
        raise _login_failure(machine, error) from error
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize) as error:
        raise NodeRefused(f"{who}: ~/.ssh/config: {error}", pause=True) from error
    except IncompatiblePeer as error:
        raise NodeRefused(f"{who}: no algorithm in common with its SSH server: {error}", pause=True) from error
    except paramiko.ChannelException as error:
        raise NodeUnreachable(f"{who}: the gateway cannot reach it: {error.text}") from error
    except paramiko.SSHException as error:
        raise _ssh_failure(who, error) from error
    except socket.gaierror as error:
        raise NodeUnreachable(f"{who}: cannot resolve {machine.host}: {error.strerror}") from error
    except ConnectionRefusedError as error:
        raise NodeUnreachable(f"{who}: nothing listens at {_where(machine)}; is sshd running there?") from error
    except TimeoutError as error:
        raise NodeUnreachable(f"{who}: no answer from {_where(machine)}") from error
    except (OSError, EOFError) as error:
        raise NodeUnreachable(f"{who}: {str(error) or 'the connection was cut'}") from error
    except ValueError as error:
        raise NodeRefused(f"{who}: {error}", pause=True) from error


def _login_failure(machine: Machine, error: paramiko.AuthenticationException) -> Exception:
    who = machine.machine_id
    if "timeout" in str(error).lower():
        return NodeUnreachable(f"{who}: no answer to the login")
    remedy = "check user and identity_file, and the account's authorized_keys"
    return NodeRefused(f"{who}: the login was refused ({error}); {remedy}", pause=True)


def _ssh_failure(who: str, error: paramiko.SSHException) -> Exception:
    text = str(error)
    if "banner" in text:
        return NodeRefused(f"{who}: dropped before the login: the server limits new connections", pause=False)
    return NodeUnreachable(f"{who}: {text or 'the connection failed'}")


def _where(machine: Machine) -> str:
    return f"{machine.host}:{machine.port}" if machine.port else machine.host
