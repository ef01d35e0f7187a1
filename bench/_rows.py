"""How a benchmark says what it measured: a JSON line, what was aimed at, and whether it holds."""

import json
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_WAYS: Final = {">=": operator.ge, "<=": operator.le}
#: For a figure: at least, or at most, so much.
Targets = Mapping[str, tuple[str, float]]


def show(workload: str, targets: Targets | None = None, **figures: object) -> None:
    """Print the line; ``targets`` by the name of the figure they are about."""
    line: dict[str, object] = {"system": "multijob", "workload": workload, **figures}
    if targets:
        line["target"] = {name: f"{way} {value:g}" for name, (way, value) in targets.items()}
        line["holds"] = all(_WAYS[way](_number(figures[name]), value) for name, (way, value) in targets.items())
    print(json.dumps(line), flush=True)


def _number(figure: object) -> float:
    assert isinstance(figure, int | float)
    return figure


def busy_s() -> float:
    """Processor time of the whole box so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
