"""A report as lines of text. Pure."""

import textwrap
from typing import Final

from orchestrator.doctor.plan import Report, Result, State

MARKS: Final = {State.FINE: "ok", State.WARNING: "warn", State.FAILED: "FAIL", State.SKIPPED: "skip"}
_WIDTH: Final = 17


def line(result: Result) -> str:
    """One step, with what helps on a line of its own."""
    spent = f"  ({result.spend_s * 1000:.0f} ms)" if result.state is not State.SKIPPED else ""
    shown = f"  {MARKS[result.state]:<5}{result.title:<{_WIDTH}}{result.finding}{spent}"
    return shown if not result.remedy else f"{shown}\n{textwrap.indent(result.remedy, ' ' * (7 + _WIDTH) + '→ ')}"


def verdict(report: Report) -> str:
    """The last line."""
    who = report.about or "the server"
    failed = [result.title for result in report.results if result.state is State.FAILED]
    warned = sum(result.state is State.WARNING for result in report.results)
    if failed:
        return f"{who}: not fit; {', '.join(failed)}"
    return f"{who}: fit" + (f", with {warned} warning{'' if warned == 1 else 's'}" if warned else "")
