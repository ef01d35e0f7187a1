"""Which Pythons a job type takes: job.yml's ``python: ">=3.9"`` against what a machine has. Pure.

Versions are compared as far as the range names them: ``==3.9`` and ``<=3.9`` take any 3.9.x, ``>3.9`` begins at 3.10.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

_CLAUSE: Final = re.compile(r"(==|!=|>=|<=|~=|>|<)\s*([0-9.]+)")
_LEADING: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")

_Parts = tuple[int, ...]

_HOLDS: Final[Mapping[str, Callable[[_Parts, _Parts], bool]]] = {
    "==": lambda have, named: have == named,
    "!=": lambda have, named: have != named,
    ">=": lambda have, named: have >= named,
    "<=": lambda have, named: have <= named,
    ">": lambda have, named: have > named,
    "<": lambda have, named: have < named,
    "~=": lambda have, named: have >= named and have[: len(named) - 1] == named[:-1],
}


def suits(wanted: str, version: str) -> bool:
    """Whether a Python of this version is in the range (checked when the job type was published); "": any is."""
    clauses = _CLAUSE.findall(wanted)
    if not clauses:
        return True
    found = _LEADING.match(version)
    if found is None:
        return False
    have = _parts(found[0])
    return all(_HOLDS[operator](have[: len(_parts(text))], _parts(text)) for operator, text in clauses)


def _parts(text: str) -> _Parts:
    return tuple(int(part) for part in text.split(".") if part)
