"""The settings as each part of the orchestrator takes them. Pure: Settings in, small frozen values out."""

from typing import Final

from jobs import retention
from jobs.rules import Backoff
from orchestrator.config import Settings
from orchestrator.engine.benching import Rule
from orchestrator.engine.pace import Patience, Timing
from orchestrator.node.pace import Pace
from orchestrator.node.workshop import Workshop

#: Between the end of an exclusive attempt on a silent node and its start elsewhere: time to end it with all its
#: processes. Half of lost_after where that is short.
MARGIN_S: Final = 60.0


def of_fleet(settings: Settings) -> Timing:
    """For the engine and its machines."""
    return Timing(
        poll_s=settings.poll_s,
        lost_after_s=settings.lost_after_s,
        grace_s=settings.grace_s,
        end_look_s=settings.end_look_s,
        disk_rest_s=settings.disk_rest_s,
        sweep_s=settings.sweep_s,
        look_s=settings.look_s,
        housekeeping_s=settings.housekeeping_s,
        deploy=Patience(first_s=settings.deploy_first_s, longest_s=settings.deploy_longest_s),
        bench=Rule(after=settings.bench_after, first_s=settings.bench_first_s, longest_s=settings.bench_longest_s),
    )


def of_sessions(settings: Settings) -> Pace:
    """For the connections."""
    return Pace(
        retry_first_s=settings.connect_first_s,
        retry_longest_s=settings.connect_longest_s,
        retry_refused_s=settings.connect_refused_s,
        contact_s=settings.contact_s,
        poll_timeout_s=settings.poll_timeout_s,
    )


def of_jobs(settings: Settings) -> Backoff:
    """For failed jobs."""
    return Backoff(settings.retry_first_s, settings.retry_longest_s)


def of_retention(settings: Settings) -> retention.Rule:
    """For finished jobs."""
    return retention.Rule(settings.retention_days, settings.retention_jobs)


def of_packages(settings: Settings) -> Workshop:
    """For environments, on machines and here."""
    return Workshop(
        cache=settings.home / "cache",
        wheels=settings.wheels or settings.home / "wheels",
        index=settings.package_index,
        sends_uv=settings.send_uv,
        timeout_s=settings.environment_timeout_s,
        unused_s=settings.environment_unused_days * 86400,
        limit_bytes=int(settings.environment_gb * 2**30),
    )


def silence_s(settings: Settings) -> float:
    """How long a node may be without an answer before it ends what must not run twice: well before lost_after."""
    return max(settings.lost_after_s / 2, settings.lost_after_s - MARGIN_S)
