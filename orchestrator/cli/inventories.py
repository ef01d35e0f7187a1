"""The group ``mj inventory``: check the file that says which machines there are."""

from pathlib import Path
from typing import Final

import click

from orchestrator.cli.adding import inventory_path
from orchestrator.cli.output import how_of, json_option
from orchestrator.cli.shell import USAGE, Group, Wrong
from orchestrator.cli.text import clean, counted, json_text


@click.group(cls=Group)
def inventory() -> None:
    """The file inventory.yml: check it."""


@inventory.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def check(ctx: click.Context, /, path: Path | None) -> None:
    """Check an inventory, without a server.

    Shows all mistakes at once, with their lines. PATH is the home's inventory.yml if left out.

    \b
    mj inventory check
    mj inventory check ./inventory.yml --json
    """
    from inventory.file import InventoryInvalid, load

    chosen, is_json = path or inventory_path(ctx), how_of(ctx) == "json"
    if not chosen.exists():
        raise Wrong(f"there is no {chosen}; make one:  mj init")
    try:
        found = load(chosen)
    except InventoryInvalid as error:
        if is_json:
            click.echo(json_text({"problems": [problem.as_dict() for problem in error.problems]}, indent=2))
        else:
            click.echo(clean(str(error)), err=True)
        ctx.exit(USAGE)
    if is_json:
        click.echo(json_text({"problems": [], "machines": sorted(found.machines)}, indent=2))
    else:
        click.echo(f"{chosen}: fine, {counted(len(found.machines), 'machine')}")


COMMANDS: Final = (inventory,)
