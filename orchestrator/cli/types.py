"""Commands about job types: publish a folder, list what there is, start a new one, try it here."""

from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.output import Column, format_options, how_of, moment, show_rows, show_value
from orchestrator.cli.shell import client_of

COLUMNS: Final = (
    Column("TYPE", lambda row: row["job_type"]),
    Column("VERSION", lambda row: str(row["version"]), right=True),
    Column("RETURN_MAIN", lambda row: "yes" if row.get("has_return_main") else ""),
    Column("SIZE", lambda row: f"{row.get('size_bytes', 0) / 1024:.1f} KiB", right=True),
    Column("PUBLISHED", lambda row: moment(row.get("created_at"))),
)


@click.group(name="type")
def type_() -> None:
    """Publish and list job types."""


@type_.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The job type's name (default: the folder's).")
@format_options
@click.pass_context
def add(ctx: click.Context, /, path: Path, name: str | None) -> None:
    """Publish the job folder at PATH; what .mjignore names is left out."""
    job_type = name or path.resolve().name
    published = client_of(ctx).register(job_type, path)
    _say_published(ctx, job_type, published._asdict())


@type_.command()
@click.argument("name")
@format_options
@click.pass_context
def register(ctx: click.Context, /, name: str) -> None:
    """Publish the folder NAME in the server's own jobs folder."""
    _say_published(ctx, name, client_of(ctx).register(name)._asdict())


@type_.command(name="list")
@format_options
@click.pass_context
def list_(ctx: click.Context, /) -> None:
    """List the job types the server knows."""
    empty = "No job types yet. Make one:  mj job new my_job && mj type add my_job"
    show_rows(client_of(ctx).job_types(), COLUMNS, how_of(ctx), empty=empty)


def _say_published(ctx: click.Context, /, job_type: str, published: dict[str, Any]) -> None:
    how = how_of(ctx)
    if how in ("json", "jsonl"):
        show_value({"job_type": job_type, **published}, how)
    else:
        state = "published" if published["changed"] else "unchanged,"
        click.echo(f"{job_type} {state} version {published['version']}")


COMMANDS: Final = (type_,)
