"""How a benchmark says what it measured: a JSON line, what was aimed at, and whether it holds.

Targets are meant for the machine on which the design was measured. ``FACTOR`` in the environment says how fast this one
is against that (bench.box measures it): then a line says besides whether the target holds in that proportion.
"""

import json
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_WAYS: Final = {">=": operator.ge, "<=": operator.le}
#: For a figure: at least, or at most, so much.
Targets = Mapping[str, tuple[str, float]]
#: What a slower machine does not change: shares and ratios, memory, bytes, and the pace that jobs keep by themselves.
_UNSCALED: Final = ("share", "ratio", "_mb", "_kb", "_bytes")


def show(workload: str, targets: Targets | None = None, **figures: object) -> None:
    """Print the line; ``targets`` by the name of the figure they are about."""
    line: dict[str, object] = {"system": "multijob", "workload": workload, **figures}
    if targets:
        line["target"] = {name: f"{way} {value:g}" for name, (way, value) in targets.items()}
        line["holds"] = _hold(targets, figures, 1.0)
        factor = float(os.environ.get("FACTOR", "1"))
        if factor < 1.0:
            line["holds_for_this_box"] = _hold(targets, figures, factor)
    print(json.dumps(line), flush=True)


def skip(workload: str, why: str) -> None:
    """A row that cannot be measured here is a line too."""
    print(json.dumps({"workload": workload, "skipped": why}), flush=True)


def wanted(row: str) -> bool:
    """Whether WORKLOAD names it, or nothing."""
    names = set(os.environ.get("WORKLOAD", "").split(",")) - {""}
    return not names or row in names


def how_many(default: int) -> int:
    """How many: N of the environment."""
    return int(os.environ.get("N") or default)


def busy_s() -> float:
    """Processor time of the whole box so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _hold(targets: Targets, figures: Mapping[str, object], factor: float) -> bool:
    return all(
        _WAYS[way](_number(figures[name]), _scaled(name, way, value, factor)) for name, (way, value) in targets.items()
    )


def _scaled(name: str, way: str, value: float, factor: float) -> float:
    """What may be expected of a machine that is ``factor`` as fast."""
    if any(part in name for part in _UNSCALED):
        return value
    return value * factor if way == ">=" else value / factor


def _number(figure: object) -> float:
    assert isinstance(figure, int | float)
    return figure
