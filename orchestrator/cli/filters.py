"""The filter grammar of jobs on the command line: short options and ``--filter KEY=VALUE``."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

KEYS: Final = ("status", "job_type", "batch", "machine_id", "tag")
F = TypeVar("F", bound=Callable[..., Any])


def filter_options(command: F) -> F:
    """The options; the command takes them as ``**chosen`` and hands them to ``filters_of``."""
    options = (
        click.option(
            "--status", "-s", metavar="WORDS", help="waiting, running, returning, done, failed, return_failed."
        ),
        click.option("--type", "-t", "job_type", metavar="TYPE", help="Only this job type."),
        click.option("--batch", "-b", metavar="BATCH", help="Only this batch."),
        click.option("--machine", "-m", "machine_id", metavar="MACHINE", help="Only this machine."),
        click.option("--tag", metavar="TAG", help="Only this tag."),
        click.option("--filter", "-f", "pairs", multiple=True, metavar="KEY=VALUE", help=f"Keys: {', '.join(KEYS)}."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def filters_of(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen, without what was not."""
    filters: dict[str, Any] = {key: str(chosen[key]) for key in KEYS if chosen.get(key) is not None}
    for pair in chosen.get("pairs", ()):
        key, equals, value = pair.partition("=")
        if not equals or key not in KEYS:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE with one of {', '.join(KEYS)}", param_hint="--filter")
        filters[key] = value
    return filters
