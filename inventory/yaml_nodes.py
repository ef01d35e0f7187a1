"""YAML with the line of everything kept: keys in order, duplicates told. Pure; knows nothing of machines."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml


class Entry(NamedTuple):
    """One line "key: value" of a mapping."""

    key: str
    line: int
    value: yaml.Node


class Repeated(NamedTuple):
    """A key that stands twice in one mapping."""

    key: str
    line: int
    first_line: int


class BadYaml(Exception):
    """Not YAML at all, or not a kind we take."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def compose(text: str) -> yaml.Node | None:
    """The document's tree; None for an empty one."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(error.problem or str(error), mark.line + 1 if mark else 1) from error
    except yaml.YAMLError as error:
        raise BadYaml(str(error), 1) from error
    except RecursionError as error:
        raise BadYaml("nested too deeply", 1) from error


def line_of(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def entries(node: yaml.MappingNode) -> tuple[list[Entry], list[Repeated]]:
    """The mapping's own lines, then what it merges with ``<<`` and does not say itself."""
    seen: dict[str, Entry] = {}
    repeated = []
    for key_node, value in node.value:
        key = _key(key_node)
        if key in seen:
            repeated.append(Repeated(key, line_of(key_node), seen[key].line))
        elif key_node.tag != "tag:yaml.org,2002:merge":
            seen[key] = Entry(key, line_of(key_node), value)
    for merged in _merged(node):
        for entry in entries(merged)[0]:
            seen.setdefault(entry.key, entry)
    return list(seen.values()), repeated


def value(node: yaml.Node) -> Any:
    """The plain Python value of a node."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise BadYaml(str(error).splitlines()[0], line_of(node)) from error
    finally:
        loader.dispose()


def _key(node: yaml.Node) -> str:
    """Keys as written: a machine may well be called 07 or on."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def _merged(node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    for key_node, found in node.value:
        if key_node.tag != "tag:yaml.org,2002:merge":
            continue
        for candidate in found.value if isinstance(found, yaml.SequenceNode) else [found]:
            if isinstance(candidate, yaml.MappingNode) and candidate is not node:
                yield candidate
