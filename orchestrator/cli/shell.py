"""What all commands share: where the server is, how errors become exit codes, how notes are said."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import click

from orchestrator.cli.text import clean

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


def _be_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["mj.quiet"] = True


_QUIET: Final = click.Option(
    ["--quiet", "-q"], is_flag=True, expose_value=False, callback=_be_quiet, help="Only data and errors, no notes."
)


class Command(click.Command):
    """A command that can be told to be quiet."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        *own, help_option = super().get_params(ctx)
        return [*own, _QUIET, help_option]


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


class Shell(Group):
    """The top group: shows its commands by subject, and turns every way to end into its exit code."""

    #: (title, names) in the order of the help text; what is in none of them follows at the end.
    sections: Sequence[tuple[str, Sequence[str]]] = ()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        named = {name for _, names in self.sections for name in names}
        rest = ("More", [name for name in self.list_commands(ctx) if name not in named])
        column = max(map(len, self.commands))
        limit = formatter.width - 6 - column
        for heading, names in (*self.sections, rest):
            rows = [
                (name.ljust(column), self.commands[name].get_short_help_str(limit))
                for name in names
                if name in self.commands
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_spacing=2)

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


class Told(click.ClickException):
    """Ends the command with words for its user."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(fitted(f"mj: {self.message}"), file=file, err=file is None)


class Wrong(Told):
    """What was asked makes no sense."""

    exit_code = USAGE


class JobFailed(Told):
    """The job, not the asking, went wrong."""

    exit_code = JOB_FAILED


class NoAnswer(Told):
    """What was waited for did not come."""

    exit_code = UNREACHABLE


class LeftAlone(Told):
    """The person said no."""

    exit_code = INTERRUPTED


def where(url: str | None, token_file: str | None, home: str | None) -> Where:
    """What the global options say."""
    return Where(url=url, token=_line_of(token_file) if token_file else None, home=home)


def client_of(ctx: click.Context) -> "Client":
    """A client for the server that is meant."""
    from multijob import Client

    where: Where = ctx.obj
    return Client(where.url, where.token, home=where.home)


def quiet() -> bool:
    """Whether only data and errors are wanted."""
    ctx = click.get_current_context(silent=True)
    return bool(os.environ.get("MJ_QUIET") or (ctx and ctx.meta.get("mj.quiet")))


def note(message: str, *, style: str = "") -> None:
    """Say something that is not data: on stderr, unless told to be quiet."""
    if not quiet():
        colour = style if style and sys.stderr.isatty() and not os.environ.get("NO_COLOR") else ""
        click.echo(click.style(fitted(message), fg=colour) if colour else fitted(message), err=True)


def fitted(message: str) -> str:
    """A message that the terminal may be given, broken between words where it is one; else as long as it is."""
    text = clean(message)
    if not sys.stderr.isatty():
        return text
    width = min(os.get_terminal_size(sys.stderr.fileno()).columns, 100)
    return "\n".join(line if len(line) <= width else _broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()))
    return click.wrap_text(line.strip(), width, initial_indent=indent, subsequent_indent=f"{indent}    ")


def confirm(question: str) -> None:
    """Go on only if the person at the terminal says yes."""
    if not sys.stdin.isatty():
        raise Wrong(f"{question}  Nobody can be asked here; say it with --yes.")
    if not click.confirm(clean(question), err=True):
        raise LeftAlone("nothing was done")


def confirm_number(question: str, number: int) -> None:
    """The same for what is large and final: the person types the number."""
    if not sys.stdin.isatty():
        raise Wrong(f"{question}  Nobody can be asked here; say it with --yes.")
    typed = click.prompt(f"{clean(question)} Type the number of jobs", default="", show_default=False, err=True)
    if typed.replace(",", "").strip() != str(number):
        raise LeftAlone("nothing was done")


def is_unknown_path(error: Exception) -> bool:
    """Whether the server does not even know what it was asked for: it is of another release."""
    said: str = getattr(error, "message", "")
    return said.startswith(("The requested URL was not found", "The method is not allowed"))


def _exit_code_of(error: Exception) -> int:
    """Say what went wrong and what to do now, and answer the exit code. What nobody foresaw is raised."""
    from multijob import Conflict, Invalid, MultiJobError, NotAllowed, NotFound
    from orchestrator.errors import UserError

    if not isinstance(error, (MultiJobError, UserError)):
        raise error
    if is_unknown_path(error):
        said, remedy = "the server does not know this command yet", "bring it to this release, and start it again"
    else:
        said, remedy = getattr(error, "message", str(error)), _remedy(error)
    click.echo(fitted(f"mj: {said}"), err=True)
    if remedy:
        click.echo(fitted(f"    {remedy}"), err=True)
    if isinstance(error, NotAllowed):
        return NOT_ALLOWED
    if isinstance(error, (Invalid, NotFound, Conflict, UserError)):
        return USAGE
    return UNREACHABLE


def _remedy(error: Exception) -> str:
    """What to do now: in this command's words where the client's own are about Python."""
    from multijob import Conflict, NotAllowed, NotFound

    said: str = getattr(error, "message", "")
    if isinstance(error, NotFound):
        return next((text for noun, text in _LISTS if noun in said), "what there is:  mj --help")
    if isinstance(error, Conflict):
        return "look again, and repeat the command"
    scope = said.partition("with the scope ")[2].partition(";")[0]
    if isinstance(error, NotAllowed) and scope:
        return f"an admin makes one:  mj token new NAME --scope {scope}"
    remedy: str = getattr(error, "remedy", "")
    return remedy


#: What a message about something not found speaks of, and which command lists it. The first that fits counts.
_LISTS: Final = (
    ("job type", "what there is:  mj type list"),
    ("version", "what there is:  mj type versions TYPE"),
    ("machine", "what there is:  mj machine list"),
    ("batch", "what there is:  mj batch list"),
    ("token", "what there is:  mj token list"),
    ("operation", "what there is:  mj operations"),
    ("fail", "what there is:  mj failures"),
    ("attempt", "its attempts:  mj show ID"),
    ("job", "what there is:  mj ls"),
)


def _close_stdout() -> None:
    """The reader has gone (``mj ls | head``): keep the interpreter from complaining about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported before it is needed
            return file.read().strip()
    except OSError as error:
        raise Wrong(f"--token-file: {error.strerror}: {path}") from error
