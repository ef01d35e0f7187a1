"""The group ``mj job``: begin a job folder, and run it here exactly as a machine would."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.output import how_of, json_option, styled
from orchestrator.cli.reading import arguments
from orchestrator.cli.shell import JOB_FAILED, Group, Wrong, note
from orchestrator.cli.text import clean, counted, duration, json_text, size

if TYPE_CHECKING:
    from orchestrator.cli.trial import Found, Trial


@click.group(cls=Group)
def job() -> None:
    """Job folders: begin one, check one."""


@job.command()
@click.argument("path", metavar="FOLDER", type=click.Path(path_type=Path))
def new(path: Path) -> None:
    """Make a job folder with a main.py to fill in.

    \b
    mj job new crawl
    """
    from orchestrator.cli import starter

    if path.exists():
        raise Wrong(f"{path} is there already; name another folder")
    path.mkdir(parents=True)
    (path / "main.py").write_text(starter.MAIN_PY, "utf-8")
    (path / "job.yml").write_text(starter.JOB_YML, "utf-8")
    note(f"made {path}; try it:  mj job check {path} x=1 y=2")


@job.command()
@click.argument("path", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--args", "args_text", metavar="JSON", help="Arguments: a JSON list by position, an object by name.")
@click.option("--text", "as_text", is_flag=True, help="Values are text, whatever they look like.")
@click.option(
    "--python",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run work() with this interpreter (default: the one mj runs on).",
)
@click.option("--return-main", is_flag=True, help="Then call return_main with its return_data.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    path: Path,
    words: tuple[str, ...],
    args_text: str | None,
    as_text: bool,
    python: Path | None,
    return_main: bool,
) -> None:
    """Run a job folder here, exactly as a machine would.

    The folder is copied without what .mjignore names and without return_main.py, sealed, and run by the runner that
    machines get, with the timeout and environment of its job.yml; the result must be strict JSON. No server is needed.

    \b
    mj job check ./crawl url=http://a.b depth=2
    mj job check ./crawl --args '["http://a.b"]' --return-main
    """
    from orchestrator.cli import trial

    given = arguments(args_text, words, as_text=as_text)
    how = how_of(ctx)
    with trial.preparing(path) as found:
        _say_found(path, found)
        ended = trial.run(found, given._asdict(), str(python) if python else None, printed=_say_printed, said=note)
        if how == "json":
            click.echo(json_text(ended.as_dict(), indent=2))
        else:
            _say_end(ended)
        if not ended.ok:
            ctx.exit(JOB_FAILED)
        if return_main:
            _call_return_main(found, ended)


def _say_found(path: Path, found: "Found") -> None:
    note(f"{path}: {counted(found.files, 'file')}, {size(found.size_bytes)} go to a machine")
    for name, value in found.settings_given.items():
        note(f"  job.yml: {name} {value}")
    if found.has_return_main:
        note("  return_main.py stays on the server")
    if found.settings.environment:
        note("  its packages are installed first, for this one try")


def _say_printed(text: str) -> None:
    """What the job prints is not the result: all of it goes to stderr."""
    click.echo(clean(text), err=True, nl=False)


def _say_end(ended: "Trial") -> None:
    if ended.ok:
        click.echo(ended.result_text)
        data = f", return_data {size(len(ended.return_data))}" if ended.return_data else ""
        note(f"{styled('done')} in {duration(ended.spend_s) or '0s'}: count {ended.count:g}{data}")
    else:
        note(f"{styled('failed')} ({ended.reason})")
        click.echo(clean((ended.error or "").rstrip()), err=True)


def _call_return_main(found: "Found", ended: "Trial") -> None:
    from orchestrator.cli import trial

    if not found.has_return_main:
        raise Wrong(f"{found.path} holds no return_main.py; leave --return-main out")
    if ended.return_data is None:
        note("return_data is null: the server would not call return_main")
        return
    called: Any = trial.call_return_main(found, ended.return_data)
    click.echo(clean(called.printed), err=True, nl=False)
    if called.error:
        note(f"{styled('return_failed')}")
        click.echo(clean(called.error.rstrip()), err=True)
        raise click.exceptions.Exit(JOB_FAILED)
    wrote = f"; it wrote {', '.join(called.wrote)} (in a scratch folder that is gone now)" if called.wrote else ""
    note(f"return_main {styled('done')}{wrote}")


COMMANDS: Final = (job,)
