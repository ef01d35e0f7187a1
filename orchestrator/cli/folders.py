"""The group ``mj job``: begin and try a job folder here, and act on jobs that are at the server."""

import sys
from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.filters import filter_options, filters_of
from orchestrator.cli.output import format_options, how_of, json_text, show_value
from orchestrator.cli.reading import ids_of, keyword_arguments, positional_arguments
from orchestrator.cli.shell import JobFailed, Wrong, client_of, note


@click.group()
def job() -> None:
    """New, try; stop, rerun, copy, delete."""


@job.command()
@click.argument("path", type=click.Path(path_type=Path))
def new(path: Path) -> None:
    """Make a job folder with a main.py to fill in."""
    from orchestrator.cli import starter

    if path.exists():
        raise Wrong(f"{path} is there already")
    path.mkdir(parents=True)
    (path / "main.py").write_text(starter.MAIN_PY, "utf-8")
    (path / "job.yml").write_text(starter.JOB_YML, "utf-8")
    note(f"made {path}; try it:  mj job try {path} x=1 y=2")


@job.command(name="try")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--args", "args_text", metavar="JSON", help="Positional arguments, as a JSON list.")
@click.option("--return-main", is_flag=True, help="Then call return_main with its return_data.")
def try_(path: Path, words: tuple[str, ...], args_text: str | None, return_main: bool) -> None:
    """Run a job folder here, without a server.

    Prints what work() returns.
    """
    from multijob import LoadedJob

    loaded = LoadedJob(path)
    answer = loaded.main(*positional_arguments(args_text), **keyword_arguments(words))
    click.echo(_as_json(answer))
    if not return_main:
        return
    if loaded.return_main is None:
        raise Wrong(f"{path} holds no return_main.py")
    click.echo(_as_json(loaded.return_main(answer)))


def _as_json(value: Any) -> str:
    try:
        return json_text(value)
    except (TypeError, ValueError) as error:
        raise JobFailed(f"work() returned what is not JSON: {error}") from error


def _action(name: str, words: str, *, destructive: bool) -> click.Command:
    @click.command(name, help=words)
    @click.argument("ids", nargs=-1)
    @filter_options
    @click.option("--dry-run", is_flag=True, help="Only say how many are meant.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @format_options
    @click.pass_context
    def act(ctx: click.Context, /, ids: tuple[str, ...], dry_run: bool, yes: bool, **chosen: Any) -> None:
        client, filters = client_of(ctx), filters_of(chosen)
        if bool(ids) == bool(filters):
            raise Wrong("say which jobs: either ids (3 5-9) or filters (-s failed -b monday)")
        meant = ids_of(ids) if ids else [row["id"] for row in client.jobs(size=1000, **filters)]
        if dry_run:
            click.echo(f"would {name} {len(meant)} jobs")
            return
        if (filters or destructive) and not yes:
            _confirm(f"{name} {len(meant)} jobs?")
        counts = client.act("kill" if name == "stop" else name, meant) if meant else {"matched": 0, "changed": 0}
        show_value(counts, how_of(ctx))

    return act


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Wrong("this needs --yes where nobody can be asked")
    click.confirm(question, abort=True)


job.add_command(_action("stop", "Stop waiting and running jobs; others are left alone.", destructive=False))
job.add_command(_action("rerun", "Run finished jobs again, under their ids.", destructive=False))
job.add_command(_action("copy", "Insert the same jobs anew, under new ids.", destructive=False))
job.add_command(_action("delete", "Delete jobs for good; running ones are left alone.", destructive=True))


COMMANDS: Final = (job,)
