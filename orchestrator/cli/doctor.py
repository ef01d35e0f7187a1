"""``mj doctor``: look machines and the server over, and say what helps. By the server that answers, else from here."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click

from orchestrator.cli import names
from orchestrator.cli.commands import answer_of, finished
from orchestrator.cli.output import how_of, json_option
from orchestrator.cli.shell import Command, Where, Wrong, client_of
from orchestrator.cli.text import clean, json_text

if TYPE_CHECKING:
    from multijob import Client
    from orchestrator.doctor.plan import Report, Result

#: Machines looked over at once.
AT_ONCE: Final = 8
NOT_FIT: Final = 1


@click.command(cls=Command)
@click.argument("machine_ids", metavar="[MACHINE]...", nargs=-1, shell_complete=names.machines)
@click.option("--server", is_flag=True, help="Only the server itself.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, machine_ids: tuple[str, ...], server: bool) -> None:
    """Look machines over, step by step, and the server itself.

    Each step says what it found, how long that took, and what helps. Without names: the server, then every machine. A
    running server looks from where it stands; where none answers, this computer looks, with the inventory in the home
    here. Exit code 1: something is not fit.

    \b
    mj doctor
    mj doctor lab-1
    mj doctor --server --json
    """
    if machine_ids and server:
        raise Wrong("name machines, or say --server")
    how = how_of(ctx)
    tell: Callable[[Result], None] = (lambda _result: None) if how == "json" else _show
    reports = _looks(ctx, machine_ids, server)(tell)
    if how == "json":
        click.echo(json_text([report.as_dict() for report in reports], indent=2))
    if not all(report.ok for report in reports):
        ctx.exit(NOT_FIT)


Look = Callable[["Callable[[Result], None]"], "list[Report]"]


def _looks(ctx: click.Context, /, machine_ids: Sequence[str], server: bool) -> Look:
    from multijob import Unreachable

    if _names_a_server(ctx):
        client = client_of(ctx)
        try:
            client.me()
        except Unreachable:
            pass  # a server that has just died is what people ask a doctor about
        else:
            return lambda tell: _by_server(client, machine_ids, server, tell)
    return lambda tell: _from_here(ctx, machine_ids, server, tell)


def _names_a_server(ctx: click.Context, /) -> bool:
    """By option or variable, or because one runs in the home here; the usual port may be somebody else's."""
    from multijob.place import home_folder

    where: Where = ctx.obj
    return bool(where.url or os.environ.get("MJ_URL")) or (home_folder(where.home) / "url").exists()


def _by_server(
    client: "Client", machine_ids: Sequence[str], server: bool, tell: "Callable[[Result], None]"
) -> "list[Report]":
    chosen = list(machine_ids)
    if not (machine_ids or server):
        chosen = sorted(str(row["machine_id"]) for row in client.machines())
    abouts = chosen if machine_ids else ["", *chosen]
    return [_asked(client, about, tell) for about in abouts]


def _asked(client: "Client", about: str, tell: "Callable[[Result], None]") -> "Report":
    path = f"/api/v1/machines/{quote(about, safe='')}/doctor" if about else "/api/v1/server/doctor"
    _begin(about, tell)
    ended = finished(client, client.call("POST", path), tell=lambda line: tell(_result(line)))
    report = _report(answer_of(ended, about or "the server"))
    _end(report, tell)
    return report


def _from_here(
    ctx: click.Context, /, machine_ids: Sequence[str], server: bool, tell: "Callable[[Result], None]"
) -> "list[Report]":
    from inventory.file import InventoryInvalid, load
    from orchestrator.config import load_if_there
    from orchestrator.doctor.here import Here
    from orchestrator.doctor.server import examine_server

    where: Where = ctx.obj
    settings = load_if_there({"home": where.home})
    reports = []
    if not machine_ids:
        _begin("", tell)
        reports.append(examine_server(settings, tell))
        _end(reports[0], tell)
    try:
        machines = load(settings.home / "inventory.yml").machines
    except InventoryInvalid as error:
        if machine_ids:
            raise Wrong(str(error)) from error
        return reports
    unknown = [name for name in machine_ids if name not in machines]
    if unknown:
        raise Wrong(f"there is no machine {unknown[0]} in {settings.home / 'inventory.yml'}")
    chosen = [machines[name] for name in (machine_ids or ([] if server else sorted(machines)))]
    with Here(settings) as here, ThreadPoolExecutor(AT_ONCE) as pool:
        for report in pool.map(here.examine, chosen):
            _begin(report.about, tell)
            for result in report.results:
                tell(result)
            _end(report, tell)
            reports.append(report)
    return reports


def _begin(about: str, tell: "Callable[[Result], None]") -> None:
    if tell is _show:
        click.echo(f"{about or 'the server'}:")


def _show(result: "Result") -> None:
    from orchestrator.doctor import words

    click.echo(clean(words.line(result)))


def _end(report: "Report", tell: "Callable[[Result], None]") -> None:
    if tell is _show:
        from orchestrator.doctor import words

        click.echo(clean(words.verdict(report)))


def _report(answer: Mapping[str, Any]) -> "Report":
    """A report as the server tells it."""
    from orchestrator.doctor.plan import Report

    results = [_result(step) for step in answer.get("steps", [])]
    return Report(about=str(answer.get("about", "")), results=results, fingerprint=answer.get("fingerprint") or "")


def _result(step: Mapping[str, Any]) -> "Result":
    from orchestrator.doctor.plan import Result, State

    return Result(
        step=str(step["step"]),
        title=str(step["title"]),
        state=State(step["state"]),
        finding=str(step["finding"]),
        remedy=str(step["remedy"]),
        spend_s=float(step["spend_s"]),
    )


COMMANDS: Final = (doctor,)
