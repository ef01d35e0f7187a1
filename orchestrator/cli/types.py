"""The group ``mj type``: job types, their versions, what changed between them; in, out and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.cli import asks, names
from orchestrator.cli.output import (
    Column,
    Row,
    aged,
    coloured,
    format_options,
    how_of,
    json_option,
    show_rows,
    show_value,
)
from orchestrator.cli.shell import Group, Wrong, client_of, confirm, note
from orchestrator.cli.text import clean, duration, moment, size

if TYPE_CHECKING:
    from multijob import Published

VERSION_COLUMNS: Final = (
    Column("VERSION", lambda row: str(row["version"]), right=True),
    Column("RETURN_MAIN", lambda row: "yes" if row.get("has_return_main") else "no"),
    Column("SIZE", lambda row: size(row.get("size_bytes")), right=True),
    Column("PUBLISHED", lambda row: moment(row.get("created_at")), brief=aged("created_at")),
    Column("DIGEST", lambda row: str(row.get("digest", ""))[:16], spare=True),
)
COLUMNS: Final = (Column("TYPE", lambda row: row["job_type"]), *VERSION_COLUMNS[:-1])

job_type_argument: Final = click.argument("job_type", metavar="TYPE", shell_complete=names.job_types)


@click.group(name="type", cls=Group)
def type_() -> None:
    """Job types: publish, compare, go back."""


@type_.command()
@click.argument("path", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The job type's name (default: the folder's).")
@json_option
@click.pass_context
def add(ctx: click.Context, /, path: Path, name: str | None) -> None:
    """Publish a job folder from here.

    What its .mjignore names is left out. The same content makes no new version.

    \b
    mj type add ./crawl
    mj type add ~/crawl --name crawl_test
    """
    job_type = name or path.resolve().name
    published = client_of(ctx).register(job_type, path)
    _say_published(ctx, job_type, published)


@type_.command()
@click.argument("job_type", metavar="TYPE")
@json_option
@click.pass_context
def register(ctx: click.Context, /, job_type: str) -> None:
    """Publish the folder TYPE in the server's own jobs folder.

    \b
    mj type register crawl
    """
    published = client_of(ctx).register(job_type)
    _say_published(ctx, job_type, published)


@type_.command(name="list")
@format_options
@click.pass_context
def list_(ctx: click.Context, /) -> None:
    """List the job types the server knows.

    \b
    mj type list
    """
    empty = "No job types yet. Make one:  mj job new my_job && mj type add my_job"
    show_rows(client_of(ctx).job_types(), COLUMNS, how_of(ctx), empty=empty)


@type_.command()
@job_type_argument
@json_option
@click.pass_context
def show(ctx: click.Context, /, job_type: str) -> None:
    """Show one job type.

    Its newest version, and what its job.yml says.

    \b
    mj type show crawl
    """
    newest, how = client_of(ctx).versions(job_type)[0], how_of(ctx)
    show_value(newest if how == "json" else _readable(newest), how)


def _readable(row: Row) -> dict[str, Any]:
    settings = row.get("settings") or {}
    timed = {key: duration(value) for key, value in settings.items() if key.endswith("_s") and value}
    plain = {key: value for key, value in settings.items() if not key.endswith("_s") and value not in (False, 0)}
    return {
        "type": row["job_type"],
        "version": str(row["version"]),
        "published": moment(row.get("created_at")),
        "size": size(row.get("size_bytes")),
        "return_main": "yes" if row.get("has_return_main") else "no",
        "digest": row.get("digest"),
        **{key.removesuffix("_s"): _flat(value) for key, value in {**timed, **plain}.items()},
    }


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "yes" if value is True else "" if value is None else str(value)


@type_.command()
@job_type_argument
@format_options
@click.pass_context
def versions(ctx: click.Context, /, job_type: str) -> None:
    """List the versions of a job type, newest first.

    \b
    mj type versions crawl
    """
    show_rows(client_of(ctx).versions(job_type), VERSION_COLUMNS, how_of(ctx))


@type_.command()
@job_type_argument
@click.argument("old", type=click.IntRange(0), required=False)
@click.argument("new", type=click.IntRange(0), required=False)
@json_option
@click.pass_context
def diff(ctx: click.Context, /, job_type: str, old: int | None, new: int | None) -> None:
    """Show what changed from version OLD to NEW.

    Without NEW up to the newest; without OLD from the one before.

    \b
    mj type diff crawl
    mj type diff crawl 3 5
    """
    client, how = client_of(ctx), how_of(ctx)
    newest = client.job_type(job_type)["version"] if new is None else new
    before = newest - 1 if old is None else old
    if before < 0:
        raise Wrong(f"{job_type} has one version only; there is nothing to compare it with")
    answer = client.diff(job_type, newest, before)
    if how == "json":
        show_value(answer, how)
        return
    files = answer["files"]
    for file in files:
        click.echo(_file_text(file))
    if not files:
        note(f"versions {before} and {newest} of {job_type} are the same")


def _file_text(file: Row) -> str:
    """The change of one file: unified text, or how large a binary one was and is."""
    if file.get("diff"):
        return "\n".join(map(_diff_line, clean(file["diff"]).rstrip("\n").split("\n")))
    sizes = f"{size(file.get('old_bytes')) or 'none'} → {size(file.get('new_bytes')) or 'none'}"
    modes = file.get("old_executable"), file.get("new_executable")
    mode = "" if None in modes or modes[0] == modes[1] else ", executable now" if modes[1] else ", not executable now"
    return f"{clean(file['path'])}: {file.get('change', 'changed')}, {sizes}{mode}"


def _diff_line(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour and coloured() else line


@type_.command()
@job_type_argument
@click.argument("version", type=click.IntRange(0))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def rollback(ctx: click.Context, /, job_type: str, version: int, yes: bool) -> None:
    """Publish an earlier version again, as the newest.

    Waiting jobs take it; running ones end with the version they have.

    \b
    mj type rollback crawl 3
    """
    if not yes:
        confirm(f"Publish version {version} of {job_type} again?")
    _say_published(ctx, job_type, client_of(ctx).rollback(job_type, version))


@type_.command()
@job_type_argument
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--version", type=click.IntRange(0), metavar="N", help="Which version (default: the newest).")
@click.pass_context
def download(ctx: click.Context, /, job_type: str, folder: Path | None, version: int | None) -> None:
    """Write a job type's folder to FOLDER (default: ./TYPE).

    \b
    mj type download crawl
    mj type download crawl ./crawl-3 --version 3
    """
    target = folder or Path(job_type)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Wrong(f"{target} is there already and not empty; name another folder")
    client_of(ctx).download(job_type, target, version)
    note(f"wrote {target}; try it:  mj job check {target}")


@type_.command()
@job_type_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_context
def delete(ctx: click.Context, /, job_type: str, yes: bool) -> None:
    """Forget a job type; its waiting jobs fail.

    Running ones end as usual.

    \b
    mj type delete crawl_test
    """
    client = client_of(ctx)
    if not yes:
        rows = client.summary(job_type)
        waiting = sum(row["jobs"].get("0", 0) for row in rows)
        confirm(f"Delete the job type {job_type}? {waiting:,} waiting jobs will fail.")
    asks.delete_type(client, job_type)
    note(f"deleted {job_type}")


def _say_published(ctx: click.Context, /, job_type: str, published: "Published") -> None:
    if how_of(ctx) == "json":
        show_value({"job_type": job_type, "version": published.version, "changed": published.changed}, "json")
    else:
        state = "published" if published.changed else "unchanged,"
        click.echo(f"{job_type} {state} version {published.version}")


COMMANDS: Final = (type_,)
