"""``make bench``: run every benchmark, or those that ONLY names; each prints JSON lines on stdout.

ONLY is a module of this package (all its rows) or a row, or several with commas between. Each module runs in a process
of its own, so that none inherits what another left in memory. The box is measured first, for the others to be read by.
"""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import bench

#: The first says how fast this machine is; what only looks closer at one part comes when asked for.
FIRST, ASKED_ONLY = "box", {"daemon_profile", "pages", "runner_alone", "soak", "store", "transport", "web"}


def main(only: str, options: Sequence[str]) -> int:
    """Run, and say at the end what does not hold. 1: a benchmark failed, or its results were wrong."""
    rows = {name: getattr(importlib.import_module(f"bench.{name}"), "ROWS", ()) for name in _modules()}
    try:
        plan = _plan(only, rows)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    lines: list[dict[str, Any]] = []
    failed = [name for name, chosen in plan.items() if not _run(name, chosen, options, lines)]
    _sum_up(lines, failed)
    return 1 if failed else 0


def _modules() -> list[str]:
    names = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    return sorted(names, key=lambda name: name != FIRST)


def _plan(only: str, rows: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The modules to run, each with its chosen rows (none: all). LookupError: there is no such thing."""
    if not only:
        return {name: [] for name in rows if name not in ASKED_ONLY}
    plan: dict[str, list[str]] = {}
    for name in only.split(","):
        if name in rows:
            plan[name] = []
        elif owner := next((module for module, theirs in rows.items() if name in theirs), ""):
            plan.setdefault(owner, []).append(name)
        else:
            known = "\n".join(f"  {module}: {', '.join(theirs)}".rstrip(": ") for module, theirs in rows.items())
            raise LookupError(f"no benchmark {name!r}; there are, with their rows:\n{known}")
    return plan


def _run(name: str, chosen: Sequence[str], options: Sequence[str], lines: list[dict[str, Any]]) -> bool:
    print(f"# {name} {','.join(chosen)}".rstrip(), file=sys.stderr, flush=True)
    environment = {**os.environ, "WORKLOAD": ",".join(chosen)} if chosen else dict(os.environ)
    command = [sys.executable, "-m", f"bench.{name}", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            if text.startswith("{"):
                lines.append(json.loads(text))
    if name == FIRST and lines and "factor" in lines[-1]:
        os.environ.setdefault("FACTOR", str(lines[-1]["factor"]))
    return process.returncode == 0


def _sum_up(lines: Sequence[Mapping[str, Any]], failed: Sequence[str]) -> None:
    aimed = [line for line in lines if "holds" in line]
    missed = [line for line in aimed if not line["holds"]]
    print(f"# {len(aimed)} targets, {len(aimed) - len(missed)} hold", file=sys.stderr)
    for line in missed:
        besides = ", but in proportion to this box" if line.get("holds_for_this_box") else ""
        print(f"#   not: {line.get('workload') or line.get('budget')}{besides}", file=sys.stderr)
    for line in lines:
        if "skipped" in line:
            print(f"#   SKIPPED {line['workload']}: {line['skipped']}", file=sys.stderr)
    for name in failed:
        print(f"#   FAILED: {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
