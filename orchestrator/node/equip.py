"""Have an environment on a machine: look, send what is missing to build it with, build. Acts through a Transport.

The build goes on when the connection breaks; whoever asks next waits for it, and finds it done.
"""

import contextlib
import json
import math
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.names import is_plain
from orchestrator.errors import NodeUnfit, ProtocolError
from orchestrator.node import deploy
from orchestrator.node.found import Found
from orchestrator.node.site import Site
from orchestrator.node.transport import Channel, Transport
from orchestrator.node.workshop import Tool, Workshop

LOOK_TIMEOUT_S: Final = 60.0
#: A builder ends by its own time limit; so much later nobody waits for its word any more.
PATIENCE_S: Final = 60.0
ANSWER_LIMIT_BYTES: Final = 2 * 1024 * 1024
WORDS_LIMIT: Final = 4000
LOG_LIMIT: Final = 128 * 1024
ROWS_LIMIT: Final = 1000


class CannotEquip(Exception):
    """The packages could not be installed there. ``is_final``: another try would end the same."""

    def __init__(self, why: str, log: str = "", *, is_final: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.log = log
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lock, and its lines."""

    digest: str
    packages: Sequence[str]
    #: The machine's own variables.
    env: Mapping[str, str]


def equip(transport: Transport, site: Site, shop: Workshop, wanted: Wanted) -> Found:
    """The environment, there. Raises CannotEquip, NodeUnreachable, NodeUnfit, ProtocolError."""
    spec = shop.spec(wanted.digest, wanted.packages, wanted.env)
    seen = _ask(transport, site.command("environment", "--root", site.root, "look"), spec, LOOK_TIMEOUT_S)
    if seen.get("ready"):
        return found(seen["ready"])
    spec |= _send_tools(transport, site, shop, seen)
    command = site.lasting("environment", "--root", site.root, "build")
    return judge(_ask(transport, command, spec, shop.timeout_s + PATIENCE_S))


def judge(answer: Mapping[str, Any]) -> Found:
    """What a builder answered. Raises CannotEquip, ProtocolError."""
    if answer.get("ready"):
        return found(answer["ready"])
    why, log = _text(answer.get("why"), WORDS_LIMIT), _text(answer.get("log"), LOG_LIMIT)
    raise CannotEquip(why or "the builder does not say why", log, is_final=answer.get("final") is True)


def found(row: object) -> Found:
    """One environment as a machine describes it. Raises ProtocolError."""
    if not isinstance(row, dict):
        raise ProtocolError("an environment is a table")
    digest, python = row.get("digest"), row.get("python")
    size_bytes, used_at = row.get("size_bytes"), row.get("used_at")
    if not isinstance(digest, str) or not is_plain(digest) or not isinstance(python, str):
        raise ProtocolError("an environment without its name")
    if type(size_bytes) is not int or not 0 <= size_bytes < 2**60:
        raise ProtocolError("an environment without its size")
    if not isinstance(used_at, int | float) or not math.isfinite(used_at):
        raise ProtocolError("an environment without its last use")
    return Found(digest, _text(python, 64).replace("\n", " "), size_bytes, float(used_at))


def all_found(rows: object) -> list[Found]:
    """What a sweep says is there; one row of a Python at a time, for each lock the one used last."""
    if not isinstance(rows, list) or len(rows) > ROWS_LIMIT:
        raise ProtocolError("environments must be a list")
    return sorted((found(row) for row in rows), key=lambda one: one.used_at)


def _send_tools(transport: Transport, site: Site, shop: Workshop, seen: Mapping[str, Any]) -> dict[str, str]:
    """Bring what it takes to build; paths there."""
    paths: dict[str, str] = {}
    uv = shop.uv(str(seen.get("platform")))
    if uv is not None:
        paths["uv"] = f"{_send(transport, site, 'tools', uv, seen)}/uv"
    pip = shop.pip()  # also beside a uv, which may not run there after all
    if pip is not None:
        wheel = next(pip.source.iterdir()).name
        paths["pip"] = f"{_send(transport, site, 'tools', pip, seen)}/{wheel}"
    try:
        wheels = shop.wheelhouse()
    except (OSError, ValueError) as error:
        raise CannotEquip(f"the server's folder of wheels cannot be sent: {error}") from error
    if wheels is not None:
        paths["wheels"] = _send(transport, site, "wheels", wheels, seen)
    return paths


def _send(transport: Transport, site: Site, kind: str, tool: Tool, seen: Mapping[str, Any]) -> str:
    there = seen.get(kind)
    if not isinstance(there, list) or tool.name not in there:
        deploy.send_folder(transport, site, kind, tool.name, tool.digest, tool.source)
    return f"{site.root}/{kind}/{tool.name}"


def _ask(transport: Transport, argv: Sequence[str], spec: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """One line of JSON there, one back."""
    token = secrets.token_hex(8)
    channel = transport.open([*argv, "--token", token])
    timer = threading.Timer(timeout_s, channel.close)
    timer.daemon = True
    timer.start()
    try:
        channel.send(json.dumps(spec).encode() + b"\n")
        line = _answer(channel, token.encode())
    finally:
        timer.cancel()
        words = channel.stderr_tail()
        channel.close()
    if not line:
        raise NodeUnfit(f"packages: no answer from the machine: {words.strip()[-500:] or 'it ended at once'}")
    with contextlib.suppress(ValueError, RecursionError):
        answer = json.loads(line)
        if isinstance(answer, dict):
            return answer
    raise ProtocolError("packages: the machine's answer is not a table")


def _answer(channel: Channel, token: bytes) -> bytes:
    """The line that follows the token, whatever a login printed before; b"": it ended without."""
    seen = b""
    while data := channel.receive():
        seen += data
        if len(seen) > ANSWER_LIMIT_BYTES:
            raise ProtocolError("packages: the machine's answer has no end")
        line, end, _ = seen.partition(token)[2].partition(b"\n")
        if end:
            return line
    return b""


def _text(value: object, limit: int) -> str:
    """Words of a machine: of characters that do nothing to a terminal."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() or char in "\n\t" else " " for char in value[-limit:])
