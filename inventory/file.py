"""inventory.yml → Machines, with every mistake at once: its line, what is wrong, what can stand there.

Reads one file; ``append_machine`` adds to it. Never rewrites what a person wrote.
"""

import difflib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from inventory import fields, yaml_nodes
from inventory.machine import Machine
from inventory.yaml_nodes import BadYaml, Entry

LIMIT_BYTES: Final = 16 << 20
_TOP_KEYS: Final = ("defaults", "machines")
_EXAMPLE: Final = "lab-1: {host: 10.0.0.5, user: worker}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The machines of a valid file. ``digest`` tells one content from another."""

    machines: Mapping[str, Machine]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. ``where`` is the path in the file, as machines.lab-1.port."""

    file: str
    line: int
    where: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{self.file}:{self.line}: {place}{self.message}; {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class InventoryInvalid(Exception):
    """The file cannot be taken over. All its mistakes, by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


def load(path: Path) -> Inventory:
    """The inventory in this file; none there means no machines. Raises InventoryInvalid."""
    return parse(read(path), str(path))


def read(path: Path) -> bytes:
    """The file's content, empty if there is none. Raises InventoryInvalid where it cannot be read."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InventoryInvalid(
            [Problem(str(path), 1, "", f"cannot be read: {error.strerror}", "look at it")]
        ) from error
    if len(content) > LIMIT_BYTES:
        raise InventoryInvalid([Problem(str(path), 1, "", "is larger than 16 MiB", "this cannot be an inventory")])
    return content


def parse(content: bytes, file: str) -> Inventory:
    """The inventory in this text. Raises InventoryInvalid."""
    reader = _Reader(file)
    machines = reader.inventory(content)
    if reader.problems:
        raise InventoryInvalid(reader.problems)
    return Inventory(machines, hashlib.sha256(content).hexdigest())


def append_machine(path: Path, machine_id: str, settings: Mapping[str, Any]) -> None:
    """Add a machine after the last one. Raises InventoryInvalid and leaves the file alone if the result were bad."""
    content = read(path)
    parse(content, str(path))
    grown = _with_line(content.decode("utf-8"), str(path), machine_id, settings).encode("utf-8")
    parse(grown, str(path))
    _replace(path, grown)


@dataclass(slots=True)
class _Reader:
    """Collects problems while it reads."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def inventory(self, content: bytes) -> dict[str, Machine]:
        try:
            root = yaml_nodes.compose(content.decode("utf-8-sig"))
            return self._top(root) if root is not None else {}
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            self._problem(line, "", "this is not UTF-8", "save the file as UTF-8")
        except BadYaml as error:
            self._problem(error.line, "", f"not YAML: {error}", "mind indentation, colons and quotes")
        return {}

    def _top(self, root: yaml.Node) -> dict[str, Machine]:
        lines = {entry.key: entry for entry in self._mapping(root, "", "defaults: and machines:")}
        for entry in lines.values():
            if entry.key not in _TOP_KEYS:
                self._unknown(entry, entry.key, _TOP_KEYS)
        common = self._defaults(lines["defaults"]) if "defaults" in lines else {}
        return self._machines(lines["machines"], common) if "machines" in lines else {}

    def _defaults(self, defaults: Entry) -> dict[str, Any]:
        found = {}
        for entry in self._mapping(defaults.value, "defaults", "settings, as user: worker"):
            where = f"defaults.{entry.key}"
            if entry.key in fields.OWN_KEYS:
                self._problem(entry.line, where, "belongs to one machine", "say it there")
            else:
                found.update(self._field(entry, where))
        return found

    def _machines(self, machines: Entry, common: Mapping[str, Any]) -> dict[str, Machine]:
        found = {}
        for entry in self._mapping(machines.value, "machines", f"one line a machine, as {_EXAMPLE}"):
            machine = self._machine(entry, common)
            if machine is not None:
                found[machine.machine_id] = machine
        return found

    def _machine(self, entry: Entry, common: Mapping[str, Any]) -> Machine | None:
        before = len(self.problems)
        where = f"machines.{entry.key}"
        try:
            fields.machine_id(entry.key)
        except fields.FieldInvalid as error:
            self._problem(entry.line, where, str(error), error.remedy)
        own: dict[str, Any] = {}
        lines = self._mapping(entry.value, where, f"its settings, as {_EXAMPLE}")
        for line in lines:
            own.update(self._field(line, f"{where}.{line.key}"))
        self._fitting(entry, own, lines, common)
        if len(self.problems) > before:
            return None
        merged = {**common, **own}
        if merged.get("connection") == "local":
            merged = {key: value for key, value in merged.items() if key not in fields.SSH_KEYS}
        return Machine(machine_id=entry.key, **{"name": entry.key, **merged})

    def _fitting(self, entry: Entry, own: Mapping[str, Any], lines: list[Entry], common: Mapping[str, Any]) -> None:
        """What is said must go together."""
        where = f"machines.{entry.key}"
        local = {**common, **own}.get("connection") == "local"
        for line in lines:
            if local and line.key in fields.SSH_KEYS:
                self._problem(line.line, f"{where}.{line.key}", "means nothing with connection: local", "leave it out")
        if not local and not any(line.key == "host" for line in lines):
            self._problem(entry.line, where, "has no host", "add host:, or connection: local for this machine here")

    def _field(self, entry: Entry, where: str) -> dict[str, Any]:
        """Field and value of one line; empty after a mistake."""
        if entry.key not in fields.KEYS:
            self._unknown(entry, where, tuple(fields.KEYS))
            return {}
        try:
            return {fields.KEYS[entry.key][0]: fields.parse(entry.key, yaml_nodes.value(entry.value))}
        except fields.FieldInvalid as error:
            self._problem(entry.line, where, str(error), error.remedy)
        except BadYaml as error:
            self._problem(error.line, where, str(error), "put it in quotes")
        return {}

    def _mapping(self, node: yaml.Node, where: str, expected: str) -> list[Entry]:
        """The lines of a mapping; nothing said is an empty one."""
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return []
        if not isinstance(node, yaml.MappingNode):
            self._problem(yaml_nodes.line_of(node), where, "this is no mapping", f"expected {expected}")
            return []
        entries, repeated = yaml_nodes.entries(node)
        for again in repeated:
            place = f"{where}.{again.key}".lstrip(".")
            self._problem(
                again.line, place, f"stands there twice, first in line {again.first_line}", "keep one of them"
            )
        return entries

    def _unknown(self, entry: Entry, where: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(entry.key, known, n=1)
        remedy = f"did you mean {close[0]}?" if close else "known are " + ", ".join(known)
        self._problem(entry.line, where, "no such key", remedy)

    def _problem(self, line: int, where: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, line, where, message, remedy))


def _with_line(text: str, file: str, machine_id: str, settings: Mapping[str, Any]) -> str:
    """The text with one line more, in the style of those before it."""
    said = yaml.safe_dump(dict(settings), default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 16)
    line = f"{machine_id}: {said.strip()}"
    machines = _machines_entry(text)
    if machines is None:
        return f"{_ended(text)}machines:\n  {line}\n"
    node = machines.value
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        problem = Problem(file, machines.line, "machines", "is written in braces", f"add by hand: {line}")
        raise InventoryInvalid([problem])
    indent, at = 2, machines.line
    if isinstance(node, yaml.MappingNode):
        indent, at = node.start_mark.column, _last_line(node)
    lines = _ended(text).splitlines(keepends=True)
    return "".join([*lines[:at], " " * indent + line + "\n", *lines[at:]])


def _machines_entry(text: str) -> Entry | None:
    root = yaml_nodes.compose(text.removeprefix("\ufeff"))
    if not isinstance(root, yaml.MappingNode):
        return None
    return next((entry for entry in yaml_nodes.entries(root)[0] if entry.key == "machines"), None)


def _last_line(node: yaml.Node) -> int:
    """The number of the last line with content of this node: its end mark lies beyond comments and empty lines."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end = node.end_mark
    return end.line if end.column == 0 and end.line > node.start_mark.line else end.line + 1


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all; a link keeps pointing where it did, and the file keeps its mode."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(beside).chmod(mode)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
