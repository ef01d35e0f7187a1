"""The command ``mj``: words on a terminal for what the server can do.

All commands but ``up`` and ``demo`` speak HTTP through the SDK or read local files, so they work from any laptop.
Nothing heavy is imported before a command needs it: completing and helping must feel instant.
"""

import os

import click

from orchestrator.cli import (
    acting,
    batches,
    completion,
    doctor,
    folders,
    home,
    inventories,
    listing,
    logs,
    machines,
    operations,
    results,
    submitting,
    tokens,
    types,
)
from orchestrator.cli.shell import Shell, where


@click.group("mj", cls=Shell, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help="The server; http://mj:TOKEN@host works too.")
@click.option("--token-file", metavar="FILE", type=click.Path(dir_okay=False), help="Read the token from FILE.")
@click.option("--home", metavar="DIR", help="The server's home on this machine (MJ_HOME).")
@click.version_option(package_name="multijob-server", prog_name="mj", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, /, url: str | None, token_file: str | None, home: str | None) -> None:
    """Run Python jobs on any machines you can SSH to.

    \b
    mj demo                            see it work, here, in a minute
    mj init && mj up                   start your own server
    mj machine add me@10.0.0.5         give it a machine
    mj type add ./crawl                publish a job folder
    mj submit crawl url=http://a.b -w  run it and watch

    The server is the one of --url or MJ_URL, else the one on this machine.

    Exit codes: 0 fine, 1 a job failed, 2 wrong usage, 3 no server answers, 4 not allowed, 130 interrupted.
    """
    ctx.obj = where(url, token_file, home)
    if os.environ.get("NO_COLOR"):
        ctx.color = False


_SECTIONS = (
    ("Server", (home, doctor)),
    ("Jobs", (submitting, listing, logs, results, acting, operations)),
    ("Many jobs", (batches,)),
    ("Code and machines", (folders, types, machines, inventories)),
    ("Around", (tokens, completion)),
)

main.sections = [
    (title, [command.name or "" for module in modules for command in module.COMMANDS]) for title, modules in _SECTIONS
]
for _, _modules in _SECTIONS:
    for _module in _modules:
        for _command in _module.COMMANDS:
            main.add_command(_command)
