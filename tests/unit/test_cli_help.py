"""The help texts: readable at 80 columns, an example for each command; and nothing heavy is loaded to show them."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import main

#: Loading one of these takes longer than showing a help text may.
HEAVY = ("requests", "rich", "yaml", "sqlalchemy", "paramiko", "flask", "pydantic", "asyncio", "multijob")


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


EVERYTHING = list(commands(main))


def help_of(path: tuple[str, ...]) -> str:
    done = CliRunner().invoke(main, [*path, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize(("path", "command"), EVERYTHING, ids=[" ".join(path) or "mj" for path, _ in EVERYTHING])
def test_every_command_explains_itself(path: tuple[str, ...], command: click.Command) -> None:
    text = help_of(path)
    lines = text.splitlines()
    assert lines[0].startswith(f"Usage: mj {' '.join(path)}".rstrip())
    assert max(map(len, lines)) <= 80
    described = text.partition("\nOptions:")[0]
    if isinstance(command, click.Group):
        listed = text.partition("Options:")[2]
        assert not [line for line in listed.splitlines() if line.endswith("...")]
    else:
        assert f"  mj {' '.join(path)}" in described.partition("\n")[2]
        assert all(help_text for _, help_text in options(path, command))


def options(path: tuple[str, ...], command: click.Command) -> list[tuple[str, str]]:
    with click.Context(command, info_name=path[-1]) as ctx:
        shown = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
        return [record for param in shown if (record := param.get_help_record(ctx))]


def test_the_top_lists_each_command_once() -> None:
    listed = [line.split()[0] for line in help_of(()).partition("Server:")[2].splitlines() if line.startswith("  ")]
    assert sorted(listed) == sorted(main.commands)


def test_every_command_can_be_quiet() -> None:
    without = [
        path for path, command in EVERYTHING if not isinstance(command, click.Group) and "--quiet" not in help_of(path)
    ]
    assert not without


def test_nothing_heavy_is_loaded_to_help() -> None:
    code = (
        "import sys\nfrom orchestrator.cli import main\n"
        "try:\n main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_mistyped_commands_are_met_with_the_near_one() -> None:
    done = CliRunner().invoke(main, ["summry"])
    assert done.exit_code == 2
    assert "summary" in done.stderr
