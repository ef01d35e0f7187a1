"""job.yml: what a job type asks for, checked. Pure but for reading the one file; every mistake names its line."""

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from jobs import packages
from jobs.errors import InvalidInput
from jobs.model import JobSettings
from jobs.names import check_label
from jobs.submitting import LIMIT_COUNT_LIMIT, check_number

FILE: Final = "job.yml"
FILE_LIMIT_BYTES: Final = 64 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ONE_PYTHON = r"(?:==|!=|>=|<=|~=|>|<)\s*3(?:\.\d+){0,2}"
_PYTHON = re.compile(rf"{_ONE_PYTHON}(?:\s*,\s*{_ONE_PYTHON})*")
_YEAR_S: Final = 366 * 24 * 3600


def read(folder: Path) -> JobSettings:
    """The settings of a job folder, with what its packages ask for. Raises InvalidInput."""
    wanted, said = packages.read(folder), read_file(folder)
    if not wanted.lines:
        return said
    pythons = [one for one in (said.python, wanted.python, packages.PYTHON) if one]
    return replace(said, environment=wanted.digest, python=",".join(pythons))


def read_file(folder: Path) -> JobSettings:
    """What its job.yml says; the defaults where it has none. Raises InvalidInput."""
    path = folder / FILE
    if not path.is_file():
        return JobSettings()
    if path.stat().st_size > FILE_LIMIT_BYTES:
        raise InvalidInput(FILE, f"is over {FILE_LIMIT_BYTES} bytes")
    try:
        return parse(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(FILE, f"is not UTF-8 text: {error.reason}") from None


def parse(text: str) -> JobSettings:
    """The settings in the text of a job.yml. Raises InvalidInput."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        return JobSettings(**_fields(loader, root)) if root is not None else JobSettings()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{FILE}:{line}", f"is not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(FILE, f"is not YAML: {error}") from None
    finally:
        loader.dispose()


def _fields(loader: yaml.SafeLoader, root: yaml.Node) -> dict[str, Any]:
    if not isinstance(root, yaml.MappingNode):
        raise InvalidInput(f"{FILE}:{root.start_mark.line + 1}", "must be a mapping of settings")
    fields: dict[str, Any] = {}
    for key_node, value_node in root.value:
        key, where = key_node.value, f"{FILE}:{key_node.start_mark.line + 1}"
        name, check = _known(key, where)
        if name in fields:
            raise InvalidInput(where, f"{key} is given twice")
        fields[name] = check(f"{where} {key}", loader.construct_object(value_node, deep=True))
    return fields


def _known(key: object, where: str) -> "tuple[str, Callable[[str, Any], Any]]":
    if isinstance(key, str) and key in _SETTINGS:
        return _SETTINGS[key]
    near = difflib.get_close_matches(str(key), _SETTINGS, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_SETTINGS)}"
    raise InvalidInput(where, f"{key!s:.64} is not a setting{hint}")


# ------------------------------------------------------------------------------------------------------------- checks


def _seconds(where: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _YEAR_S:
        raise InvalidInput(where, "must be a number of seconds above 0")
    return float(value)


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(where, "must be true or false")
    return value


def _tag(where: str, value: Any) -> str:
    return check_label(where, "" if value is None else value)


def _limit_count(where: str, value: Any) -> int:
    return check_number(where, value, 0, LIMIT_COUNT_LIMIT)


def _jobs_per_worker(where: str, value: Any) -> int:
    return check_number(where, value, 0, 1_000_000)


def _python(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _PYTHON.fullmatch(value.strip()):
        raise InvalidInput(where, 'must be a version range in quotes, such as ">=3.9" or ">=3.8,<3.12"')
    return value.strip()


def _env(where: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidInput(where, "must be a mapping of names to values")
    return {_variable(where, name): _text(where, name, item) for name, item in value.items()}


def _variable(where: str, name: Any) -> str:
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name.startswith("MJ_"):
        raise InvalidInput(where, f"{name!s:.64} cannot be a variable: letters, digits and _, and not MJ_ at its start")
    return name


def _text(where: str, name: str, item: Any) -> str:
    if isinstance(item, bool) or not isinstance(item, str | int | float) or "\0" in str(item):
        raise InvalidInput(where, f"{name} must be a text or a number; put it in quotes")
    return str(item)


_SETTINGS: Final[dict[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "timeout": ("timeout_s", _seconds),
    "return_timeout": ("return_timeout_s", _seconds),
    "tag": ("tag", _tag),
    "limit_count": ("limit_count", _limit_count),
    "env": ("env", _env),
    "fresh_process": ("fresh_process", _flag),
    "max_jobs_per_worker": ("max_jobs_per_worker", _jobs_per_worker),
    "exclusive": ("exclusive", _flag),
    "python": ("python", _python),
}
