"""``mj logs``: what a job printed, and with ``-f`` what it prints, until it ends."""

import time
from typing import TYPE_CHECKING, Final

import click

from orchestrator.cli.output import STATUS_WORDS, Row
from orchestrator.cli.shell import JOB_FAILED, Command, client_of, note
from orchestrator.cli.text import clean, last_line, size, without_overwritten

if TYPE_CHECKING:
    from multijob import Client

PAUSE_S: Final = 0.5
UNFINISHED: Final = (0, 1, 2)
STREAMS: Final = ("stdout", "stderr")


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=int)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Which try (default: the latest).")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended; exit 1 if it failed.")
@click.option("--stderr", "stream", flag_value="stderr", help="Only what went to stderr.")
@click.option("--stdout", "stream", flag_value="stdout", help="Only what went to stdout.")
@click.option("--raw", is_flag=True, help="Exactly as printed; control characters are obeyed.")
@click.pass_context
def logs(ctx: click.Context, /, job_id: int, attempt: int | None, follow: bool, stream: str | None, raw: bool) -> None:
    """Print what a job printed, or prints.

    Its stdout goes to stdout and its stderr to stderr; with --stderr alone to stdout. The first 64 KiB and the last
    192 KiB of each are kept after the end. With -f all its attempts in turn, and what a running one prints, as it
    comes.

    \b
    mj logs 12
    mj logs 12 -f
    mj logs 12 --attempt 1 --stderr
    """
    reader = _Reader(client_of(ctx), job_id, stream, raw)
    if follow:
        ctx.exit(reader.follow(attempt))
    if not reader.show(attempt):
        note(f"job {job_id} printed nothing")


class _Reader:
    """The log of one job, attempt by attempt."""

    def __init__(self, client: "Client", job_id: int, stream: str | None, raw: bool) -> None:
        self._client = client
        self._job_id = job_id
        self._streams = [stream] if stream else STREAMS
        self._split = stream is None
        self._raw = raw

    def show(self, attempt: int | None) -> bool:
        """Print what there is of an attempt; whether there was anything to say."""
        printed = silent = False
        for name in self._streams:
            log = self._client.log(self._job_id, attempt=attempt, stream=name)
            text = text_of(log)
            text = text if self._raw else clean(without_overwritten(text))
            click.echo(
                text,
                nl=bool(text) and not text.endswith("\n"),
                err=name == "stderr" and self._split,
                color=True if self._raw else None,
            )
            printed = printed or bool(text)
            silent = silent or bool(log.get("running") and not log.get("live"))
        if silent:
            note(f"job {self._job_id} runs, but its machine does not answer now; this is what came before")
        return printed or silent

    def follow(self, attempt: int | None) -> int:
        """Print attempt by attempt as they go, until the job (or the one asked for) has ended; the exit code."""
        told, number = "", attempt or 1
        while True:
            job = self._client.job(self._job_id).refresh()
            if int(job.get("attempt") or 0) >= number:
                if attempt is None:
                    note(f"-- attempt {number}{self._where(job, number)} --")
                self._follow_one(number)
                if number == attempt:
                    return self._end(self._client.job(self._job_id).refresh())
                number += 1
            elif job["status"] not in UNFINISHED:
                return self._end(job)
            else:
                told = self._tell(job, told)
                time.sleep(PAUSE_S)

    def _where(self, job: Row, attempt: int) -> str:
        return f" on {job['machine_id']}" if job["attempt"] == attempt and job.get("machine_id") else ""

    def _follow_one(self, attempt: int) -> None:
        """What it prints, and how it ended where that was not well."""
        unfinished = False
        for part in self._client.follow(self._job_id, attempt=attempt, streams=self._streams):
            if part.left_out:
                note(f"… {size(part.left_out)} left out …")
            text = part.text if self._raw else clean(without_overwritten(part.text))
            if unfinished and part.text.startswith("\r") and not self._raw:
                text = f"\n{text}"
            err = part.stream == "stderr" and self._split
            click.echo(text, nl=False, err=err, color=True if self._raw else None)
            unfinished = not text.endswith("\n")
        if unfinished:
            click.echo("", err=self._split)
        for ended in self._client.attempts(self._job_id):
            if ended["attempt"] == attempt and ended.get("reason"):
                note(": ".join(filter(None, [ended["reason"], last_line(ended.get("error"))])))

    def _tell(self, job: Row, told: str) -> str:
        """Say how the job is, when that has changed."""
        where = f" on {job['machine_id']}" if job["status"] == 1 and job.get("machine_id") else ""
        waiting = (job.get("waiting_because") or {}).get("text")
        state = f"{STATUS_WORDS[job['status']]}{where}{f': {waiting}' if waiting else ''}"
        if state != told:
            note(f"-- {state} --")
        return state

    def _end(self, job: Row) -> int:
        return JOB_FAILED if job["status"] in (-1, -2) else 0


def text_of(log: Row) -> str:
    """What is kept, with a word about what is not."""
    if "text" in log:
        return str(log["text"])
    kept_bytes = len(log["head"].encode()) + len(log["tail"].encode())
    left_out = log["total"] - kept_bytes
    gap = f"\n… {size(left_out)} left out …\n" if log["tail"] and left_out > 0 else ""
    return f"{log['head']}{gap}{log['tail']}"


COMMANDS: Final = (logs,)
