"""What runs on a node to look it over, and how its answers are read. One piece of Python ≥ 3.6, one verb a call.

Answers come from the node, so they are hostile: each fact is turned into the type it should have, texts are cut short.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.errors import ProtocolError
from orchestrator.node import health

_LIMIT_BYTES: Final = 1 << 16
_TEXT_LIMIT: Final = 300

#: Says which interpreter took it.
WHO: Final = "import json, platform, sys; print(json.dumps([sys.executable, platform.python_version()]))"

#: argv: verb, then what it needs. Prints one JSON object.
LOOK: Final = r"""
import errno, json, os, shutil, socket, stat, subprocess, sys, tempfile, time

def root(given, server_id):
    base = os.path.expanduser(given)
    if not os.path.isabs(base):
        return {"homeless": True}
    path = os.path.join(os.path.realpath(base), server_id)
    facts = {"root": path}
    made, above = [], path
    while not os.path.isdir(above) and above != os.path.dirname(above):
        made.append(above)
        above = os.path.dirname(above)
    try:
        os.umask(0o077)
        os.makedirs(path, 0o700, exist_ok=True)
        found = os.stat(path)
        facts["ours"] = found.st_uid == os.getuid()
        facts["mode"] = stat.S_IMODE(found.st_mode)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"x" * 65536)
            probe.flush()
        facts["runs"] = runs(path)
    except OSError as error:
        facts["error"] = error.strerror
        facts["errno"] = errno.errorcode.get(error.errno, "")
    for one in made:
        try:
            os.rmdir(one)
        except OSError:
            break
    return facts

def runs(folder):
    number, path = tempfile.mkstemp(dir=folder)
    try:
        os.write(number, b"#!/bin/sh\nexit 7\n")
        os.close(number)
        os.chmod(path, 0o700)
        return subprocess.call([path]) == 7
    except PermissionError:
        return False
    finally:
        os.unlink(path)

def space(path):
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    disk = os.statvfs(path)
    return {"free": disk.f_bavail * disk.f_frsize, "files": disk.f_favail if disk.f_files else -1, "where": path}

def rsync():
    path = shutil.which("rsync")
    if path is None:
        return {}
    done = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return {"path": path, "version": done.stdout.decode("utf-8", "replace").split("\n")[0], "code": done.returncode}

def reach(port):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as link:
        return {"heard": link.recv(64).decode("ascii", "replace")}

def post(host, port):
    with socket.create_connection((host, int(port)), timeout=10):
        return {"reached": True}

def stay(mark):
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return {"pid": int(os.read(reading, 20))}
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(writing, str(os.getpid()).encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.closerange(3, 256)
    time.sleep(60)
    os._exit(0)

def stayed(mark, pid):
    time.sleep(0.5)
    there = is_ours(int(pid), mark)
    if there:
        os.kill(int(pid), 9)
    return {"stayed": there, "rule": kills_at_logout()}

def is_ours(pid, mark):
    try:
        os.kill(pid, 0)
        if not os.path.isdir("/proc/self"):
            return True
        with open("/proc/%d/cmdline" % pid, "rb") as stream:
            return mark.encode() in stream.read()
    except OSError:
        return False

def kills_at_logout():
    try:
        with open("/etc/systemd/logind.conf", errors="replace") as stream:
            lines = [line.replace(" ", "").strip().lower() for line in stream]
    except OSError:
        return False
    return "killuserprocesses=yes" in lines and not os.path.exists("/var/lib/systemd/linger/" + account()["name"])

def account():
    try:
        import pwd
        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        name = str(os.getuid())
    return {"uid": os.getuid(), "name": name}

def clock():
    return {"now": time.time()}

verb = sys.argv[1]
print(json.dumps(globals()[verb](*sys.argv[2:])))
"""


def found_python(output: bytes, mark: str) -> tuple[str, str] | str:
    """What WHO said: (path, version), or what is there instead: the first that is too old, or nothing."""
    said = health.between_marks(output, mark)
    if said == health.NO_PYTHON:
        return text(health.old_python(output, mark))
    try:
        path, version = json.loads(said)
    except ValueError as error:
        raise ProtocolError("the answer cannot be read") from error
    return text(path), text(version)


def command(python: str, verb: str, *args: str) -> list[str]:
    """The command that looks at one thing."""
    return [python, "-I", "-c", LOOK, verb, *args]


def facts(output: bytes) -> Mapping[str, Any]:
    """What a verb answered. Raises ProtocolError."""
    lines = output[:_LIMIT_BYTES].decode("utf-8", "replace").strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (IndexError, ValueError, RecursionError) as error:
        raise ProtocolError("the machine's answer cannot be read") from error
    if not isinstance(found, dict):
        raise ProtocolError("the machine's answer is not what was asked for")
    return found


def text(value: object) -> str:
    """A text of a node's, on one line and not too long."""
    words = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))
    return words if len(words) <= _TEXT_LIMIT else words[: _TEXT_LIMIT - 1] + "…"


def number(values: Mapping[str, Any], key: str) -> float:
    """A number of a node's. Raises ProtocolError."""
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ProtocolError(f"the machine's answer has no number for {key}")
    return float(found)


def texts(values: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Texts of a node's, empty where there are none."""
    return [text(values.get(key, "")) for key in keys]
