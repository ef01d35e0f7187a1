"""What one orchestrator carries: a small model, put together from measured costs. Pure arithmetic and a command line.

    python -m bench capacity                          # the tables of docs/en/performance.md
    python -m bench capacity --fsync-ms 10 --trip-ms 50 --machines 500 --job-s 2 --server-us 60

Jobs are bounded by whichever comes first: the slots of the machines, the server's processor, the commits of its
database, or what a machine may hold ahead while the network answers. Each of these is one function below.
"""

import argparse
import json
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

from orchestrator.engine import feed
from orchestrator.engine.beat import PICKS_PER_BEAT

#: Commits from one round of claims to the next, by the row slow_disk: its own and those the engine waits for besides.
COMMITS_A_CLAIM: Final = 4.0
#: Of a job that is alone, by the same row: submit, claim, report, and what of others is under way then.
COMMITS_A_JOB: Final = 3.0
#: From a job's end at the node until the next one for its place is sent: the report's commit, then the claim's.
COMMITS_A_REFILL: Final = 1.0 + COMMITS_A_CLAIM
#: Round trips until a machine is ready: TCP, version, keys, account, channel, questions, the runner's folder.
TRIPS_A_CONNECT: Final = 13
CONNECTS_AT_ONCE: Final = 32
#: How full a core may be before everything waits for it.
FULL: Final = 0.9
#: Within so much of it, what machines could do is what they do.
NEARLY: Final = 0.97


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measured; see the rows of the bench named in each line. A millisecond here is one of the server's processor."""

    #: noop: the server's processor time for a job, from submit to result; it is one process, so one core is all it has.
    server_us: float = 60.0
    #: sleep10, machines_200: a claim, a message and a report, shared by jobs that travel together; threads that wake.
    lone_us: float = 8000.0
    #: noop: of that, what takes part in HTTP: submits and results. A web process of its own takes it away.
    web_us: float = 6.0
    #: store: rows of a job in the writer's transactions, without the fsync.
    write_us: float = 15.0
    #: machines_1000: a measurement of load, and what an idle machine costs besides, in a second.
    poll_ms: float = 2.2
    idle_us: float = 5.0
    #: machines_1000: until a machine is ready.
    connect_ms: float = 13.0
    #: machines_1000: memory of the server without machines, and for each that is connected.
    base_mb: float = 110.0
    machine_mb: float = 0.15
    #: one: a job alone, without commits and the network.
    alone_ms: float = 6.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it runs and what it is asked to do."""

    machines: int = 4
    slots: int = 2
    job_s: float = 0.0
    fsync_ms: float = 1.0
    trip_ms: float = 1.0
    poll_s: float = 30.0


class Answer(NamedTuple):
    """Jobs a second, and what bounds them."""

    jobs_per_s: float
    bound: str


def carries(place: Place, costs: Costs) -> Answer:
    """The least of the bounds."""
    bounds = {
        "network": network_bound(place),
        "disk": disk_bound(place, costs),
        "processor": processor_bound(place, costs),
    }
    name = min(bounds, key=lambda one: bounds[one])
    most = slots_bound(place)
    return Answer(min(bounds[name], most), "slots" if bounds[name] >= NEARLY * most else name)


def slots_bound(place: Place) -> float:
    """Nothing lost at all. A job that does nothing still takes a worker its overhead."""
    return place.machines * place.slots / (place.job_s + feed.OVERHEAD_S)


def ahead(place: Place) -> int:
    """Jobs a machine may hold, by the rule that feeds it."""
    appetite = feed.Appetite(place.job_s + feed.OVERHEAD_S, known=True)
    held = 0
    while appetite.takes(place.slots, held, held * appetite.job_s):
        held += 1
    return held


def network_bound(place: Place) -> float:
    """What a machine holds is used up while the word of it travels, is stored, and the next are claimed and sent."""
    refill_s = (place.trip_ms + COMMITS_A_REFILL * place.fsync_ms) / 1000
    return place.machines * ahead(place) / (refill_s + place.job_s + feed.OVERHEAD_S)


def disk_bound(place: Place, costs: Costs) -> float:
    """Claims are taken so many at a time, one after the other; each waits for its commits, and rows cost besides."""
    claim_s = COMMITS_A_CLAIM * place.fsync_ms / 1000 + PICKS_PER_BEAT * costs.write_us / 1e6
    return PICKS_PER_BEAT / claim_s


def processor_bound(place: Place, costs: Costs) -> float:
    """What the machines leave of the one core. The busier it is, the more jobs travel together, up to what is held."""
    job_us = costs.server_us + costs.lone_us / ahead(place)
    return max(0.0, FULL - idle_share(place, costs)) / (job_us / 1e6)


def idle_share(place: Place, costs: Costs) -> float:
    """Of a core, with machines that are only connected and measured."""
    return place.machines * (costs.poll_ms / 1000 / place.poll_s + costs.idle_us / 1e6)


def alone_ms(place: Place, costs: Costs) -> float:
    """One job from submit to result, nothing else going on; the submitter is near."""
    return costs.alone_ms + COMMITS_A_JOB * place.fsync_ms + place.trip_ms + place.job_s * 1000


def ready_s(place: Place, costs: Costs) -> float:
    """Until all machines are connected."""
    trips_s = place.machines / CONNECTS_AT_ONCE * TRIPS_A_CONNECT * place.trip_ms / 1000
    return max(trips_s, place.machines * costs.connect_ms / 1000)


def memory_mb(place: Place, costs: Costs) -> float:
    return costs.base_mb + place.machines * costs.machine_mb


def most_machines(place: Place, costs: Costs, *, share: float = 0.5) -> int:
    """Machines that keep less than such a share of the core busy while they idle."""
    one = idle_share(replace(place, machines=1), costs)
    return int(share / one)


def then(answer: Answer, place: Place, costs: Costs) -> str:
    """What helps against this bound."""
    if answer.bound == "slots":
        return "more machines or slots: the server has room"
    if answer.bound == "network":
        return "longer jobs, or several calls in one job: the machines run dry while the network answers"
    if answer.bound == "disk":
        return "a disk whose fsync is quick (one with power-loss protection), or a database server that has one"
    apart = carries(place, replace(costs, server_us=costs.server_us - costs.web_us)).jobs_per_s
    return f"web processes of their own on a database server: about {apart:,.0f} /s; above that, several orchestrators"


# --------------------------------------------------------------------------------------------------------------- tables

FSYNCS_MS, TRIPS_MS = (0.1, 1.0, 10.0, 100.0), (1.0, 10.0, 100.0)
LOADS: Final = (
    Place(machines=4),
    Place(machines=100),
    Place(machines=100, job_s=0.01),
    Place(machines=1000, slots=4, job_s=0.5),
    Place(machines=1000, slots=8, job_s=10.0),
)
CROWDS: Final = (100, 1000, 3000)


def tables(costs: Costs) -> str:
    """As the pages show them: the same numbers in each language."""
    lines = [_row("a job takes", "machines × slots", "fsync ms", *(f"trip {trip_ms:g} ms" for trip_ms in TRIPS_MS))]
    lines.append(_row(*["---"] * (3 + len(TRIPS_MS))))
    for place in LOADS:
        for fsync_ms in FSYNCS_MS:
            answers = [carries(replace(place, fsync_ms=fsync_ms, trip_ms=trip_ms), costs) for trip_ms in TRIPS_MS]
            told = [f"{one.jobs_per_s:,.0f} {one.bound}" for one in answers]
            job = f"{place.job_s * 1000:,.0f} ms"
            lines.append(_row(job, f"{place.machines:,} × {place.slots}", f"{fsync_ms:g}", *told))
    lines += [
        "",
        _row("machines", "idle, of a core", "memory", "all ready, trip 1 ms", "trip 100 ms"),
        _row(*["---"] * 5),
    ]
    for machines in CROWDS:
        near, far = Place(machines=machines), Place(machines=machines, trip_ms=100.0)
        ready = [f"{ready_s(place, costs):.0f} s" for place in (near, far)]
        told = [f"{idle_share(near, costs):.0%}", f"{memory_mb(near, costs):,.0f} MB"]
        lines.append(_row(f"{machines:,}", *told, *ready))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """The tables; or, where a place is given, what holds there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in (Place, Costs):
        for one in fields(kind):
            parser.add_argument(f"--{one.name.replace('_', '-')}", type=type(one.default), default=None)
    said = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    costs = Costs(**{one.name: said.pop(one.name) for one in fields(Costs) if one.name in said})
    if not said:
        print(tables(costs))
        return
    place = Place(**said)
    answer = carries(place, costs)
    told = {
        "bench": "capacity",
        "jobs_per_s": round(answer.jobs_per_s),
        "bound": answer.bound,
        "then": then(answer, place, costs),
        "one_job_ms": round(alone_ms(place, costs), 1),
        "idle_core_share": round(idle_share(place, costs), 3),
        "ready_s": round(ready_s(place, costs), 1),
        "memory_mb": round(memory_mb(place, costs)),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
