"""What sockets and libraries raise while connecting, told apart by who must act. Pure."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from inventory.machine import Machine
from orchestrator.errors import HostKeyRefused, NodeRefused, NodeUnreachable

_NOTHING_TO_OFFER: Final = "no authentication methods"
#: Of paramiko, about what it was to log in with.
_ABOUT_KEYS: Final = (_NOTHING_TO_OFFER, "private key", "key file", "expected openssh key")


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
        raise _ssh_failure(machine, error) from error
    except socket.gaierror as error:
        raise NodeUnreachable(f"{who}: cannot resolve {machine.host}: {error.strerror}") from error
    except ConnectionRefusedError as error:
        raise NodeUnreachable(f"{who}: nothing listens at {_where(machine)}; is sshd running there?") from error
    except TimeoutError as error:
        raise NodeUnreachable(f"{who}: no answer from {_where(machine)}") from error
    except (OSError, EOFError) as error:
        raise _broken(machine, error) from error
    except ValueError as error:
        raise NodeRefused(f"{who}: {error}", pause=True) from error


def is_about_login(error: BaseException | None) -> bool:
    """Whether the host key had been found right when this was raised. Paramiko says some of it in words only."""
    match error:
        case paramiko.AuthenticationException():
            return True
        case paramiko.SSHException():
            return any(words in str(error).lower() for words in _ABOUT_KEYS)
        case OSError():  # of sockets, none names a file
            return error.filename is not None
        case _:
            return False


def _login_failure(machine: Machine, error: Exception) -> Exception:
    who, text = machine.machine_id, str(error)
    if "timeout" in text.lower():
        return NodeUnreachable(f"{who}: no answer to the login")
    if _NOTHING_TO_OFFER in text.lower():
        return NodeRefused(f"{who}: there is nothing to log in with: {_what_is_missing(machine)}", pause=True)
    if isinstance(error, paramiko.PasswordRequiredException):
        remedy = "load it into an ssh-agent (ssh-add), or give the machine a key without a passphrase"
        return NodeRefused(f"{who}: the key file is encrypted; {remedy}", pause=True)
    if isinstance(error, OSError):
        return NodeRefused(f"{who}: {error.filename} cannot be read: {error.strerror}; mend identity_file", pause=True)
    remedy = "check user and identity_file, and the account's authorized_keys"
    return NodeRefused(f"{who}: the login was refused ({error}); {remedy}", pause=True)


def _what_is_missing(machine: Machine) -> str:
    path = machine.identity_file
    if path and not Path(path).expanduser().exists():
        return f"identity_file {path} does not exist; correct it"
    return (
        "no key file, no key in an ssh-agent, no password; "
        "make a key (ssh-keygen) and let it in there (ssh-copy-id), or name one as identity_file"
    )


def _ssh_failure(machine: Machine, error: paramiko.SSHException) -> Exception:
    who, text = machine.machine_id, str(error)
    if is_about_login(error):
        return _login_failure(machine, error)
    if "banner" in text:
        return NodeRefused(f"{who}: dropped before the login: the server limits new connections", pause=False)
    return NodeUnreachable(f"{who}: {text or 'the connection failed'}")


def _broken(machine: Machine, error: Exception) -> Exception:
    if is_about_login(error):
        return _login_failure(machine, error)
    return NodeUnreachable(f"{machine.machine_id}: {str(error) or 'the connection was cut'}")


def _where(machine: Machine) -> str:
    return f"{machine.host}:{machine.port}" if machine.port else machine.host
