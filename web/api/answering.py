"""Turn the service's values into JSON. Pure. Texts that hold JSON are spliced in as they are, never parsed again."""

import json
from collections.abc import Mapping
from typing import Any, Final

from flask import Response

from jobs import filters
from jobs.doors.actions import Acted
from jobs.model import (
    Action,
    ActionResult,
    Attempt,
    EnvironmentView,
    Job,
    JobDetail,
    JobVersion,
    MachineView,
    Operation,
    Progress,
    Summary,
    WaitingBecause,
)
from jobs.outcomes import last_line
from jobs.status import PLUMBING, Status

JSON_TYPE: Final = "application/json"


def answer(value: object, status: int = 200) -> Response:
    """A value as the response's body."""
    return Response(json.dumps(value, separators=(",", ":")), status, content_type=JSON_TYPE)


def answer_text(text: str) -> Response:
    """JSON text as the response's body."""
    return Response(text, content_type=JSON_TYPE)


def spliced(values: Mapping[str, Any], texts: Mapping[str, str | None]) -> str:
    """A JSON object of values, followed by members that are JSON text already (None: null)."""
    members = json.dumps(values, separators=(",", ":"))[1:-1]
    more = ",".join(f'"{name}":{"null" if text is None else text}' for name, text in texts.items())
    return f"{{{members},{more}}}"


def number(value: float) -> float | int:
    """A count as people gave it: 6 stays 6."""
    return int(value) if value % 1 == 0 else value


def of_job(job: Job, excerpt: str, waiting: WaitingBecause | None, progress: Progress | None) -> dict[str, Any]:
    """One job without its texts: with the last line of its failure, why it waits, how far it says it is."""
    return {
        "id": job.job_id,
        "job_type": job.job_type,
        "batch": job.batch,
        "tag": job.tag,
        "priority": job.priority,
        "limit_count": job.limit_count,
        "status": int(job.status),
        "reason": job.reason,
        "attempt": job.attempt,
        "starts": job.starts,
        "kill_requested": job.kill_requested,
        "unreachable": job.unreachable,
        "machine_id": job.machine_id,
        "version": job.version,
        "count": number(job.return_count),
        "spend_s": job.spend_s,
        "cleared": job.cleared,
        "due_at": job.due_at,
        "created_at": job.created_at,
        "claimed_at": job.claimed_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "excerpt": excerpt,
        "waiting_because": None if waiting is None else waiting._asdict(),
        "progress": None if progress is None else progress._asdict(),
    }


def text_of_detail(detail: JobDetail, progress: Progress | None) -> str:
    """One job with its input and its result."""
    latest = detail.latest
    failed = detail.job.status in (Status.FAILED, Status.RETURN_FAILED)
    excerpt = last_line(latest.return_error or latest.error) if latest is not None and failed else ""
    values = of_job(detail.job, excerpt, detail.waiting, progress) | {
        "avoid": sorted(detail.avoid),
        "error": None if latest is None else latest.error,
        "return_error": None if latest is None else latest.return_error,
    }
    texts = {"input": detail.input, "result": latest and latest.result, "return_data": latest and latest.return_data}
    return spliced(values, texts)


def text_of_attempt(attempt: Attempt) -> str:
    """One ended attempt; its log has a path of its own."""
    values = {
        "attempt": attempt.attempt,
        "machine_id": attempt.machine_id,
        "version": attempt.version,
        "claimed_at": attempt.claimed_at,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "spend_s": attempt.spend_s,
        "reason": attempt.reason,
        "started": attempt.started,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "count": number(attempt.return_count),
        "error": attempt.error,
        "return_error": attempt.return_error,
        "has_log": attempt.log is not None,
        "plumbing": attempt.reason in PLUMBING,
    }
    texts = {"result": attempt.result, "return_data": attempt.return_data, "machine": attempt.machine}
    return spliced(values, texts)


def of_foreseen(result: ActionResult) -> dict[str, Any]:
    """What an action would do."""
    return {"matched": result.matched, "changed": result.changed, "skipped": result.skipped}


def of_acted(acted: Acted) -> dict[str, Any]:
    """What an action did; an operation besides, where it was on several jobs."""
    values = of_foreseen(acted.result)
    if acted.ids:
        values["ids"] = acted.ids
    if acted.operation is None:
        return values
    return values | {"operation_id": acted.operation.operation_id, "state": acted.operation.state.value}


def of_operation(found: Operation) -> dict[str, Any]:
    """An operation, and how far it is; the ids of copies once they are all made."""
    values = {
        "operation_id": found.operation_id,
        "action": found.action.value,
        "filter": filters.words(found.filter),
        "named": found.named,
        "elsewhere": found.elsewhere,
        "priority": found.priority,
        "total": found.total,
        "matched": found.matched,
        "changed": found.changed,
        "skipped": dict(found.skipped),
        "made": [list(one) for one in found.made],
        "state": found.state.value,
        "why": found.why,
        "who": found.who,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "ended_at": found.ended_at,
    }
    return values if found.action != Action.COPY or found.ended_at is None else values | {"ids": found.made_ids}


def of_version(version: JobVersion) -> dict[str, Any]:
    """One version of a job type with its settings."""
    settings = version.settings
    return {
        "job_type": version.job_type,
        "version": version.version,
        "digest": version.digest,
        "has_return_main": version.has_return_main,
        "size_bytes": version.size_bytes,
        "created_at": version.created_at,
        "folder": version.folder,
        "settings": {
            "timeout_s": settings.timeout_s,
            "return_timeout_s": settings.return_timeout_s,
            "tag": settings.tag,
            "limit_count": settings.limit_count,
            # Values may be secrets: the names say enough.
            "env": sorted(settings.env),
            "fresh_process": settings.fresh_process,
            "max_jobs_per_worker": settings.max_jobs_per_worker,
            "exclusive": settings.exclusive,
            "python": settings.python,
            "environment": settings.environment,
        },
    }


def of_machine(machine: MachineView) -> dict[str, Any]:
    """One machine as last seen."""
    return {
        "machine_id": machine.machine_id,
        "name": machine.name,
        "address": machine.address,
        "user": machine.user,
        "port": machine.port,
        "gateway": machine.gateway,
        "root": machine.root,
        "interpreter": machine.interpreter,
        "tags": sorted(machine.tags),
        "limit_process": machine.limit_process,
        "state": machine.state,
        "text": machine.text,
        "fingerprint": machine.fingerprint,
        "benched": dict(machine.benched),
        "marks": list(machine.marks),
        "environments": [_of_environment(one) for one in machine.environments],
        "assigned": machine.assigned,
        "running": machine.running,
        "platform": machine.platform,
        "python": machine.python,
        "cpu_cores": machine.cpu_cores,
        "cpu_ratio": machine.cpu_ratio,
        "load1": machine.load1,
        "memory_used_mb": machine.memory_used_mb,
        "memory_free_mb": machine.memory_free_mb,
        "disk_used_mb": machine.disk_used_mb,
        "disk_free_mb": machine.disk_free_mb,
        "contact_at": machine.contact_at,
        "created_at": machine.created_at,
        "updated_at": machine.updated_at,
    }


def _of_environment(environment: EnvironmentView) -> dict[str, Any]:
    """The packages of one lock on one machine."""
    return {
        "digest": environment.digest,
        "python": environment.python,
        "state": environment.state,
        "size_bytes": environment.size_bytes,
        "used_at": environment.used_at,
        "job_types": list(environment.job_types),
        "why": environment.why,
    }


def of_summary(summary: Summary) -> dict[str, Any]:
    """The counters of one job type or batch, by the manual's meaning of each status."""
    return {
        "job_type": summary.job_type,
        "batch": summary.batch,
        "jobs": {str(int(status)): summary.jobs.get(status, 0) for status in Status},
        "count": number(summary.return_count),
        "spend_s": summary.spend_s,
        "success_rate": summary.success_rate,
        "mean_s": summary.mean_s,
        **summary.percentiles._asdict(),
        "tag": summary.tag,
        "begin_at": summary.begin_at,
        "updated_at": summary.updated_at,
    }
