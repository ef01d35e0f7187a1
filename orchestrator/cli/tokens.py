"""The group ``mj token``: who may call the server, and what for. A token's text is shown once, when it is made."""

import time
from typing import Final

import click

from orchestrator.cli import asks, names
from orchestrator.cli.output import Column, Row, format_options, how_of, json_option, show_rows, show_value
from orchestrator.cli.shell import Group, client_of, note
from orchestrator.cli.text import ago, moment

SCOPES: Final = ("read", "submit", "publish", "admin")


def _state(row: Row) -> str:
    return "revoked" if row.get("revoked_at") else "valid"


def _used(row: Row) -> str:
    return ago(row.get("last_used_at"), time.time()) or "never"


COLUMNS: Final = (
    Column("NAME", lambda row: row["name"]),
    Column("SCOPES", lambda row: ",".join(row["scopes"])),
    Column("STATE", _state),
    Column("LAST USED", lambda row: moment(row.get("last_used_at")) or "never", brief=_used),
    Column("EXPIRES", lambda row: moment(row.get("expires_at")) or "never"),
    Column("CREATED", lambda row: moment(row.get("created_at")), spare=True),
)


@click.group(cls=Group)
def token() -> None:
    """Tokens: who may call the server, and what for."""


@token.command(name="list")
@format_options
@click.pass_context
def list_(ctx: click.Context, /) -> None:
    """List the tokens, without their texts.

    \b
    mj token list
    """
    show_rows(asks.tokens(client_of(ctx)), COLUMNS, how_of(ctx), empty="No tokens but the server's own.")


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "-s",
    "scopes",
    multiple=True,
    default=("read", "submit"),
    type=click.Choice(SCOPES),
    metavar="SCOPE",
    help="read, submit, publish or admin; may be given again (default: read and submit).",
)
@click.option("--days", type=click.IntRange(1, 3650), metavar="N", help="Ends after N days (default: when revoked).")
@json_option
@click.pass_context
def new(ctx: click.Context, /, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a token, and print it: the only time it is shown.

    publish means running any code on your machines; admin may do everything.

    \b
    mj token new laptop
    mj token new ci -s submit -s publish --days 90
    """
    wish = {"name": name, "scopes": sorted(set(scopes)), **({"lifetime_s": days * 86400} if days else {})}
    made, how = asks.new_token(client_of(ctx), wish), how_of(ctx)
    if how == "json":
        show_value(made, how)
        return
    click.echo(made["token"])
    note("It is not shown again. Use it as MJ_TOKEN, or in the URL: http://mj:TOKEN@host:5006")


@token.command()
@click.argument("name", shell_complete=names.tokens)
@click.pass_context
def revoke(ctx: click.Context, /, name: str) -> None:
    """End a token; it is refused everywhere within seconds.

    \b
    mj token revoke laptop
    """
    asks.revoke_token(client_of(ctx), name)
    note(f"revoked {name}")


COMMANDS: Final = (token,)
