"""The filter grammar of jobs on the command line: short options and ``--filter KEY=VALUE``, as in API and page."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from orchestrator.cli import names

KEYS: Final = ("status", "job_type", "batch", "machine_id", "tag", "version", "q", "since", "until", "ids", "cleared")
_OPTIONS: Final = ("status", "job_type", "batch", "machine_id", "tag", "since", "until")
#: No tag is a tag of its own; any other empty value is a mistake (of a script's variable, often).
_MAY_BE_EMPTY: Final = frozenset({"tag"})
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """The options; the command takes them as ``**chosen`` and hands them to ``filters_of``."""
    options = (
        click.option(
            "--status",
            "-s",
            metavar="WORDS",
            shell_complete=names.statuses,
            help="waiting, running, returning, done, failed, return_failed.",
        ),
        click.option(
            "--type", "-t", "job_type", metavar="TYPE", shell_complete=names.job_types, help="Only these job types."
        ),
        click.option("--batch", "-b", metavar="BATCH", shell_complete=names.batches, help="Only these batches."),
        click.option(
            "--machine",
            "-m",
            "machine_id",
            metavar="MACHINE",
            shell_complete=names.machines,
            help="Only these machines.",
        ),
        click.option("--tag", metavar="TAG", help="Only these tags."),
        click.option("--since", metavar="TIME", help="Changed since: 2h, 3d, 2026-11-22, …"),
        click.option("--until", metavar="TIME", help="Changed until then."),
        click.option("--filter", "-f", "pairs", multiple=True, metavar="KEY=VALUE", help=f"Keys: {', '.join(KEYS)}."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def filters_of(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen, without what was not."""
    filters: dict[str, Any] = {key: str(chosen[key]) for key in _OPTIONS if chosen.get(key) is not None}
    for pair in chosen.get("pairs", ()):
        key, equals, value = pair.partition("=")
        if not equals or key not in KEYS:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE with one of {', '.join(KEYS)}", param_hint="--filter")
        if key in filters:
            raise click.BadParameter(f"{key} is given twice; commas mean or: {key}=a,b", param_hint="--filter")
        filters[key] = value
    for key, value in filters.items():
        if not value.strip() and key not in _MAY_BE_EMPTY:
            raise click.BadParameter(f"{key} is empty; leave it out, or name a value", param_hint="--filter")
    now = time.time()
    return {key: when(value, now, key) if key in ("since", "until") else value for key, value in filters.items()}


def when(text: str, now: float, hint: str = "since") -> float:
    """A time as people give it (2h ago, a date, a date and time, unix seconds) in unix seconds."""
    span = _SPAN.fullmatch(text.strip())
    if span:
        return round(now - float(span[1]) * _SECONDS[span[2]], 3)
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() and len(text) > 8 else _dated(text)
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is no time; give 30min, 2h, 3d, 2026-11-22 or 2026-11-22T08:30"
        raise click.BadParameter(message, param_hint=f"--{hint}") from error


def _dated(text: str) -> float:
    return datetime.fromisoformat(text.strip()).astimezone().timestamp()
