"""How a machine looks to people, and to whoever reads of a failure later. Pure: a Member in, values out."""

from jobs.model import MachineState, MachineView
from orchestrator.engine.roster import Member


def view(member: Member, now: float) -> MachineView:
    """As people see it."""
    machine, contact, load = member.machine, member.contact, member.load
    return MachineView(
        machine_id=machine.machine_id,
        name=machine.name,
        address="local" if machine.connection == "local" else machine.host,
        user=machine.user,
        port=machine.port,
        gateway=machine.gateway,
        root=machine.root,
        interpreter=contact.python if contact else machine.python or "",
        tags=machine.tags,
        limit_process=machine.limit_process,
        state=_shown_state(member),
        text=member.gate or _notes(member),
        fingerprint=member.fingerprint,
        benched={job_type: member.words(job_type) for job_type in member.benches},
        marks=tuple(text for text, _ in member.marks.values()),
        environments=member.equipment.views(),
        assigned=len(member.held) - len(member.running),
        running=len(member.running),
        platform=contact.platform if contact else "",
        python=contact.python_version if contact else "",
        cpu_cores=contact.cores if contact else None,
        cpu_ratio=load.cpu_ratio if load else None,
        load1=load.load1 if load else None,
        memory_used_mb=load.memory_used_mb if load else None,
        memory_free_mb=load.memory_free_mb if load else None,
        disk_used_mb=load.disk_used_mb if load else None,
        disk_free_mb=load.disk_free_mb if load else None,
        contact_at=member.contact_at,
        updated_at=now,
    )


def _notes(member: Member) -> str:
    """What a person should know though it takes work."""
    benched = [f"gets no {job_type}: {member.words(job_type)}" for job_type in member.benches if job_type]
    return "; ".join([one for one in (member.note, *benched, *(text for text, _ in member.marks.values())) if one])


def snapshot(member: Member) -> dict[str, object]:
    """How it was when it was last seen: kept with attempts that are lost on it."""
    load, contact = member.load, member.contact
    seen: dict[str, object] = {"python": contact.python_version} if contact else {}
    if load is not None:
        seen |= {
            "load1": load.load1,
            "memory_free_mb": load.memory_free_mb,
            "disk_free_mb": load.disk_free_mb,
        }
    return seen


def _shown_state(member: Member) -> MachineState:
    if member.state is not MachineState.READY:
        return member.state
    if member.wants_away:
        return MachineState.DRAINING if member.held else MachineState.CLOSED
    return MachineState.PAUSED if member.wants_empty else MachineState.READY
