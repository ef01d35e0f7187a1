"""The service's values under the names and types of the old Multi Job. Pure; times come in as a function to text."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from jobs.model import Attempt, HourRow, Job, JobDetail, JobRow, JobVersion, MachineState, MachineView, Summary
from jobs.status import Status
from web.api.answering import number, spliced

#: From seconds since the epoch to ``YYYY-MM-DD HH:MM:SS`` in the server's time zone.
Time = Callable[[float | None], str]

#: Machines not heard of for so long are shown as silent, and later not at all.
SILENT_S: Final = 5 * 60.0
GONE_S: Final = 30 * 60.0
RUNNING, PAUSED, CLOSED, SILENT = 1, 2, 3, -1
UNKNOWN: Final = -1

# --------------------------------------------------------------------------------------------------------------- jobs


def text_of_detail(detail: JobDetail, time: Time) -> str:
    """One job; the traceback of a failed one stands in ``result`` too (manual 5.7)."""
    error = _error(detail.job, detail.latest)
    texts = {"input_data": detail.input, "result": _result(detail, error)}
    return spliced(_of_job(detail.job, time) | {"error": error}, texts)


def text_of_list(rows: Iterable[JobRow], count: int, time: Time) -> str:
    """A page of the list, without results."""
    shown = (
        spliced(_of_job(row.job, time) | {"result": "", "error": row.error}, {"input_data": row.input}) for row in rows
    )
    return f'{{"data":[{",".join(shown)}],"count":{count}}}'


def _of_job(job: Job, time: Time) -> dict[str, Any]:
    return {
        "id": job.job_id,
        "job_type": job.job_type,
        "priority": job.priority,
        "machine_id": job.machine_id,
        "limit_count": job.limit_count,
        "tag": job.tag,
        "version": job.version,
        "status": int(job.status),
        "return_count": number(job.return_count),
        "clear": int(job.cleared),
        "spend_time": job.spend_s,
        "batch": job.batch,
        "create_time": time(job.created_at),
        "update_time": time(job.updated_at),
    }


def _error(job: Job, latest: Attempt | None) -> str:
    """What went wrong: as the node or return_main said it, else the reason in one word."""
    said = "" if latest is None else latest.return_error or latest.error or ""
    return said or (str(job.reason) if job.status < 0 else "")


def _result(detail: JobDetail, error: str) -> str:
    if detail.job.cleared:
        return '""'
    if detail.job.status < 0:
        return json.dumps(error)
    return '""' if detail.latest is None or detail.latest.result is None else detail.latest.result


# ---------------------------------------------------------------------------------------------------------- summaries


def of_summaries(summaries: Sequence[Summary], time: Time) -> list[dict[str, Any]]:
    """Counts by type or batch, the one that moved last first (manual 5.8)."""
    ordered = sorted(summaries, key=lambda one: -one.updated_at)
    return [_of_summary(one, time) for one in ordered]


def _of_summary(summary: Summary, time: Time) -> dict[str, Any]:
    jobs = summary.jobs
    return {
        "job_type": summary.job_type,
        "batch": summary.batch or "",
        "tag": summary.tag,
        "count": number(summary.return_count),
        "spend_time": _mean(summary.spend_s, jobs.get(Status.DONE, 0)),
        "waiting_task": jobs.get(Status.WAITING, 0),
        "working_task": jobs.get(Status.RUNNING, 0),
        "finished_task": jobs.get(Status.DONE, 0),
        "failed_task": jobs.get(Status.FAILED, 0) + jobs.get(Status.RETURN_FAILED, 0),
        "begin_time": time(summary.begin_at),
        "update_time": time(summary.updated_at),
    }


def _mean(spend_s: float, jobs: int) -> float:
    return round(spend_s / jobs, 4) if jobs else 0.0


def of_type(version: JobVersion, first_at: float, time: Time) -> dict[str, Any]:
    """A job type; its counters stand at zero here, as they always did."""
    zero = {"count": 0, "spend_time": 0, "waiting_task": 0, "working_task": 0, "finished_task": 0, "failed_task": 0}
    return {
        "job_type": version.job_type,
        "version": version.version,
        "create_time": time(first_at),
        "update_time": time(version.created_at),
        "tag": "",
        "batch": "",
        **zero,
    }


# ------------------------------------------------------------------------------------------------------------ history

_TASKS: Final = {
    Status.WAITING: "waiting_task",
    Status.RUNNING: "working_task",
    Status.DONE: "finished_task",
    Status.FAILED: "failed_task",
    Status.RETURN_FAILED: "failed_task",
}
_SUMMED: Final = ("task_num", "count", "failed_task", "waiting_task", "working_task", "finished_task")
_TITLE: Final = (
    "task_num",
    "count",
    "job_type",
    "failed_task",
    "waiting_task",
    "working_task",
    "finished_task",
    "update_time",
    "spend_time",
    "begin_time",
)


def of_history(rows: Iterable[HourRow], hours: Sequence[int], time: Time) -> dict[str, Any]:
    """Jobs by the hour of their latest move: by hour, by series, and in all."""
    data = {label: _empty_hour(label) for label in (time(hour * 3600.0) for hour in hours)}
    spent = dict.fromkeys(data, 0.0)
    for row in rows:
        label = time(row.hour * 3600.0)
        if label in data:
            _add_hour(data[label], row)
            spent[label] += row.spend_s if row.status == Status.DONE else 0.0
    for label, hour in data.items():
        hour["spend_time"] = _mean(spent[label], hour["finished_task"])
    return {
        "data": data,
        "front_end_data": {name: _series(name, [hour[name] for hour in data.values()]) for name in _TITLE},
        "series": list(data),
        "title": list(_TITLE),
        "summary_data": {name: sum(hour[name] for hour in data.values()) for name in _SUMMED},
    }


def _empty_hour(label: str) -> dict[str, Any]:
    zero = dict.fromkeys(_SUMMED, 0)
    return {**zero, "job_type": "", "spend_time": 0.0, "begin_time": label, "update_time": label}


def _add_hour(hour: dict[str, Any], row: HourRow) -> None:
    hour["task_num"] += row.jobs
    if row.status in _TASKS:
        hour[_TASKS[row.status]] += row.jobs
    if row.status == Status.DONE:
        hour["count"] = number(hour["count"] + row.return_count)
    names = {name for name in hour["job_type"].split(",") if name}
    hour["job_type"] = ",".join(sorted(names | {row.job_type}))


def _series(name: str, values: list[Any]) -> dict[str, Any]:
    """As the old page's chart took it."""
    return {"name": name, "type": "bar", "stack": "任务信息", "emphasis": {"focus": "series"}, "data": values}


# ----------------------------------------------------------------------------------------------------------- machines


def of_machines(machines: Iterable[MachineView], now: float, time: Time) -> list[dict[str, Any]]:
    """Machines heard of lately, and those closed on purpose."""
    return [_of_machine(one, now, time) for one in machines if not _gone(one, now)]


def _gone(machine: MachineView, now: float) -> bool:
    return machine.state != MachineState.CLOSED and now - (_heard_at(machine) or machine.updated_at) > GONE_S


def _heard_at(machine: MachineView) -> float | None:
    """When the machine itself answered last; in these states it did when they were written down."""
    held = machine.state in (MachineState.READY, MachineState.PAUSED, MachineState.DRAINING)
    return machine.contact_at or (machine.updated_at if held else None)


def _status(machine: MachineView, now: float) -> int:
    heard_at = _heard_at(machine)
    if machine.state == MachineState.CLOSED:
        return CLOSED
    if heard_at is None or now - heard_at > SILENT_S:
        return SILENT
    if machine.state in (MachineState.READY, MachineState.CONNECTING):
        return RUNNING
    return PAUSED if machine.state in (MachineState.PAUSED, MachineState.DRAINING, MachineState.UNFIT) else SILENT


def _of_machine(machine: MachineView, now: float, time: Time) -> dict[str, Any]:
    ratio = machine.cpu_ratio
    return {
        "machine_id": machine.machine_id,
        "platform": machine.platform,
        "name": machine.name,
        "tag": ",".join(sorted(machine.tags)),
        "count_process": machine.running,
        "limit_process": machine.limit_process,
        "cpu_ratio": UNKNOWN if ratio is None else round(ratio * 100, 1),
        "cpu_core": _known(machine.cpu_cores),
        "memory_used": _known(machine.memory_used_mb),
        "memory_free": _known(machine.memory_free_mb),
        "disk_used": _known(machine.disk_used_mb),
        "disk_free": _known(machine.disk_free_mb),
        "status": _status(machine, now),
        "update_time": time(_heard_at(machine) or machine.updated_at),
        "create_time": time(machine.created_at),
    }


def _known(value: int | None) -> int:
    return UNKNOWN if value is None else value
