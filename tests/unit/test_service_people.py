"""Tokens, one-time codes, the audit, machines as seen, runners, and what the server keeps about itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import Conflict, InvalidInput
from jobs.model import AuditEntry, MachineState, MachineView
from tests.support.store_kit import Room, a_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        yield room


def test_a_token_is_shown_once_and_kept_as_a_hash(room: Room) -> None:
    text = room.service.create_token("ci", ["read", "submit"])
    found = room.service.check_token(text)
    assert found is not None
    assert (found.name, found.scopes) == ("ci", frozenset({"read", "submit"}))
    assert text not in str(room.sql("SELECT * FROM tokens"))
    for wrong in ("", text[:-1], text + "x", "ci", "\ud800"):
        assert room.service.check_token(wrong) is None


def test_revoked_and_expired_tokens_are_nobodys(room: Room) -> None:
    revoked = room.service.create_token("a", ["read"])
    expiring = room.service.create_token("b", ["read"], expires_at=room.clock.now + 10)
    assert room.service.revoke_token("a")
    assert not room.service.revoke_token("a")
    assert room.service.check_token(revoked) is None
    assert room.service.check_token(expiring) is not None
    room.clock.forward(10)
    assert room.service.check_token(expiring) is None
    assert [one.name for one in room.service.tokens()] == ["a", "b"]


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(room: Room) -> None:
    text = room.service.create_token("ci", ["read"])
    noted = []
    for _ in range(4):
        room.service.check_token(text)
        room.store.write(lambda _tx: None)
        noted.append(room.service.tokens()[0].last_used_at)
        room.clock.forward(40)
    start = room.clock.now - 160
    assert noted == [start, start, start + 80, start + 80]


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("a b", ["read"]), ("a", []), ("a", ["root"])])
def test_odd_tokens_are_refused(room: Room, name: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput):
        room.service.create_token(name, scopes)


def test_a_name_is_given_once(room: Room) -> None:
    room.service.create_token("ci", ["read"])
    room.service.revoke_token("ci")
    with pytest.raises(Conflict, match="another name"):
        room.service.create_token("ci", ["admin"])


def test_a_code_signs_in_once_and_in_time(room: Room) -> None:
    code, late = room.service.create_code(), room.service.create_code(lifetime_s=5)
    assert room.service.redeem_code("guess") is None
    assert room.service.redeem_code(code) == frozenset({"admin"})
    assert room.service.redeem_code(code) is None
    room.clock.forward(5)
    assert room.service.redeem_code(late) is None
    room.service.create_code(lifetime_s=1)
    room.clock.forward(2)
    room.service.housekeeping()
    assert room.sql("SELECT * FROM codes") == []


def test_the_audit_is_read_newest_first(room: Room) -> None:
    entries = [
        AuditEntry(at=float(n), who="ci", source="127.0.0.1", action="kill", detail={"n": n}, rows=n, outcome="ok")
        for n in range(5)
    ]
    for entry in entries:
        room.service.audit(entry)
    page = room.service.audit_log(size=3)
    assert [entry for _, entry in page] == entries[:1:-1]
    assert [entry for _, entry in room.service.audit_log(size=3, after=page[-1][0])] == entries[1::-1]


def test_machines_are_kept_as_last_seen(room: Room) -> None:
    facts: dict[str, Any] = {"tags": frozenset({"b", "a"}), "cpu_ratio": 12.5, "contact_at": 5.0}
    room.service.put_machines([MachineView(machine_id="m2"), MachineView(machine_id="m1", **facts)]).result()
    born = room.clock.now
    later = room.clock.forward(60)
    room.service.put_machines([MachineView(machine_id="m1", state=MachineState.READY, **facts)]).result()
    first, second = room.service.machines()
    assert first == MachineView(machine_id="m1", state=MachineState.READY, **facts, created_at=born, updated_at=later)
    assert (second.machine_id, second.updated_at) == ("m2", born)
    room.service.drop_machines(["m1"])
    assert [one.machine_id for one in room.service.machines()] == ["m2"]


def test_runners_are_known_until_long_after_their_end(room: Room) -> None:
    room.service.open_runner("r1", "m1", "salt")
    runner = room.service.runner("r1")
    assert runner is not None
    assert (runner.machine_id, runner.key_salt, runner.ended_at) == ("m1", "salt", None)
    room.service.close_runner("r1")
    runner = room.service.runner("r1")
    assert runner is not None
    assert runner.ended_at == room.clock.now
    room.clock.forward(31 * 24 * 3600)
    room.service.housekeeping()
    assert room.service.runner("r1") is None


def test_what_the_server_keeps_about_itself(room: Room) -> None:
    assert room.service.meta("server_id") is None
    assert room.service.keep_meta("server_id", "one") == "one"
    assert room.service.keep_meta("server_id", "two") == "one"
    room.service.set_meta("server_id", "three")
    assert room.service.meta("server_id") == "three"
