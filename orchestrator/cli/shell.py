"""What all commands share: where the server is, how errors become exit codes, how output is asked for."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from multijob import Client

OK: Final = 0
JOB_FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
NOT_ALLOWED: Final = 4
INTERRUPTED: Final = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Which server is meant; None asks the environment and the local home."""

    url: str | None
    token: str | None
    home: str | None


class Shell(click.Group):
    """The top group: turns every way to end into its exit code, with the reason on stderr."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name or "mj", complete_var, False, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _close_stdout()
            sys.exit(OK)
        except Exception as error:  # noqa: BLE001 - raised again where it is none of ours
            sys.exit(_exit_code_of(error))
        sys.exit(code if isinstance(code, int) else OK)


class Wrong(click.ClickException):
    """What was asked makes no sense."""

    exit_code = USAGE


class JobFailed(click.ClickException):
    """The job, not the asking, went wrong."""

    exit_code = JOB_FAILED


class NoAnswer(click.ClickException):
    """What was waited for did not come."""

    exit_code = UNREACHABLE


def where(url: str | None, token_file: str | None, home: str | None) -> Where:
    """What the global options say."""
    return Where(url=url, token=_line_of(token_file) if token_file else None, home=home)


def client_of(ctx: click.Context) -> "Client":
    """A client for the server that is meant."""
    from multijob import Client

    where: Where = ctx.obj
    return Client(where.url, where.token, home=where.home)


def note(message: str) -> None:
    """Say something that is not data: on stderr, unless told to be quiet."""
    if not os.environ.get("MJ_QUIET"):
        click.echo(message, err=True)


def _exit_code_of(error: Exception) -> int:
    """Say what went wrong, and answer the exit code. What nobody foresaw is raised, with its traceback."""
    from multijob import Conflict, Invalid, MultiJobError, NotAllowed, NotFound
    from orchestrator.errors import UserError

    if not isinstance(error, (MultiJobError, UserError)):
        raise error
    about = f" (request {error.request_id})" if isinstance(error, MultiJobError) and error.request_id else ""
    click.echo(f"mj: {error}{about}", err=True)
    if isinstance(error, NotAllowed):
        return NOT_ALLOWED
    if isinstance(error, (Invalid, NotFound, Conflict, UserError)):
        return USAGE
    return UNREACHABLE


def _close_stdout() -> None:
    """The reader has gone (``mj ls | head``): keep the interpreter from complaining about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported before it is needed
            return file.read().strip()
    except OSError as error:
        raise Wrong(f"--token-file: {error.strerror}: {path}") from error
