"""Commands about a server's home on this machine: make one, start a server in it, show the demo."""

from pathlib import Path
from typing import Any, Final

import click

from orchestrator.cli.shell import Command, Where, Wrong, note


@click.command(cls=Command)
@click.option("--home", metavar="DIR", help="Where to make it (MJ_HOME, else ~/.local/share/multijob).")
@click.pass_context
def init(ctx: click.Context, /, home: str | None) -> None:
    """Make a server's home, with this machine in it.

    \b
    mj init
    mj init --home ./multijob
    """
    from orchestrator.cli import starter

    folder = _home(ctx, home)
    inventory, new_job = folder / "inventory.yml", folder / "jobs" / "new_job"
    if inventory.exists():
        raise Wrong(f"{inventory} is there already and was left as it is; start the server:  mj up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    inventory.write_text(starter.INVENTORY_YML, "utf-8")
    if not new_job.exists():
        new_job.mkdir(parents=True)
        (new_job / "main.py").write_text(starter.MAIN_PY, "utf-8")
    note(
        f"made {folder}\n"
        "next:  mj up\n"
        "and in another terminal:\n"
        "       mj type register new_job && mj submit new_job x=1 -w\n"
        "       mj machine add me@host"
    )


@click.command(cls=Command)
@click.option("--home", metavar="DIR", help="The server's home (MJ_HOME, else ~/.local/share/multijob).")
@click.option("--host", metavar="ADDRESS", help="Where to listen (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="The port; 0 is any free one (default 5006).")
@click.option("--db", metavar="URL", help="The database (default: SQLite in the home).")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.pass_context
def up(ctx: click.Context, /, home: str | None, **flags: Any) -> None:
    """Start the server; stays until interrupted.

    Running jobs outlive it.

    Every setting can stand in HOME/config.yml or in an MJ_ variable as well; flags win.

    \b
    mj up
    mj up --home ./multijob --port 8080
    """
    from orchestrator.app import run
    from orchestrator.config import load

    given = {name: value for name, value in {**flags, "home": _given_home(ctx, home)}.items() if value is not None}
    ctx.exit(run(load(given)))


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="End after the results, and leave no process behind.")
@click.option("--home", metavar="DIR", help="Where the demo lives (default ~/.local/share/multijob-demo).")
@click.option(
    "--jobs", "count", type=click.IntRange(10, 100_000), default=200, metavar="N", help="How many jobs (default 200)."
)
@click.option("--local", is_flag=True, help="Without SSH, even if this machine has an SSH server.")
@click.pass_context
def demo(ctx: click.Context, /, once: bool, home: str | None, count: int, local: bool) -> None:
    """See it work: three sandbox machines, 200 jobs.

    The machines are private SSH servers on this computer; some of the jobs fail on purpose. Nothing of it touches your
    own server or your SSH settings.

    \b
    mj demo
    mj demo --once
    """
    from orchestrator.demo.show import run

    ctx.exit(run(home=Path(home).expanduser() if home else None, once=once, count=count, local=local))


def _given_home(ctx: click.Context, /, home: str | None) -> str | None:
    where: Where = ctx.obj
    return home or where.home


def _home(ctx: click.Context, /, home: str | None) -> Path:
    from multijob.place import home_folder

    return home_folder(_given_home(ctx, home))


COMMANDS: Final = (up, demo, init)
