"""Users with passwords, and the sessions of browsers: what opens them and everything that ends them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import passwords, people
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.model import SessionOrigin
from tests.support.store_kit import Room, a_room

PASSWORD = "correct horse battery"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as room:
        room.service.people.add("ann", PASSWORD, ["read", "submit"])
        yield room


def test_a_password_is_kept_as_a_memory_hard_hash(room: Room) -> None:
    kept = str(room.sql("SELECT * FROM users"))
    assert "scrypt$32768$8$1$" in kept
    assert PASSWORD not in kept
    assert passwords.hashed(PASSWORD) != passwords.hashed(PASSWORD)


def test_the_right_password_signs_in_and_no_other(room: Room) -> None:
    text = room.service.people.sign_in("ann", PASSWORD)
    assert text is not None
    found = room.service.people.session(text)
    assert found is not None
    assert (found.name, found.scopes, found.origin) == ("ann", {"read", "submit"}, SessionOrigin.USER)
    assert text not in str(room.sql("SELECT * FROM sessions"))
    for name, password in (("ann", "x"), ("ann", ""), ("bob", PASSWORD), ("", ""), ("ann", "\ud800\0")):
        assert room.service.people.sign_in(name, password) is None


@pytest.mark.parametrize("password", ["short", "x" * 257, "aaaaaaaaaaaa", "ANN-the-user", 7])
def test_poor_passwords_are_refused(room: Room, password: str) -> None:
    with pytest.raises(InvalidInput, match="password"):
        room.service.people.change("ann", password=password) if password != "ANN-the-user" else (
            room.service.people.add("ann-the-user", password, ["read"])
        )


def test_names_are_given_once_and_unknown_ones_are_said_so(room: Room) -> None:
    with pytest.raises(Conflict):
        room.service.people.add("ann", PASSWORD, ["read"])
    for act in (lambda: room.service.people.change("bob", scopes=["read"]), lambda: room.service.people.remove("bob")):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(InvalidInput):
        room.service.people.add("a b", PASSWORD, ["read"])
    with pytest.raises(InvalidInput):
        room.service.people.add("bob", PASSWORD, ["root"])


def test_a_new_password_ends_all_sessions_of_the_user_and_only_those(room: Room) -> None:
    door = room.service.people
    door.add("bob", PASSWORD, ["read"])
    mine, again, other = door.sign_in("ann", PASSWORD), door.sign_in("ann", PASSWORD), door.sign_in("bob", PASSWORD)
    assert None not in (mine, again, other)
    door.change("ann", password="quite another thing")
    assert door.session(str(mine)) is None
    assert door.session(str(again)) is None
    assert door.session(str(other)) is not None
    assert door.sign_in("ann", PASSWORD) is None
    assert door.sign_in("ann", "quite another thing") is not None


def test_changed_scopes_and_removal_end_sessions_too(room: Room) -> None:
    door = room.service.people
    first = door.sign_in("ann", PASSWORD)
    door.change("ann", scopes=["read"])
    assert door.session(str(first)) is None
    second = door.sign_in("ann", PASSWORD)
    door.remove("ann")
    assert door.session(str(second)) is None
    assert door.users() == []


def test_a_sign_in_that_crosses_a_change_of_password_opens_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    door, right = room.service.people, passwords.right

    def slowly(password: str, kept: str | None) -> bool:
        found = right(password, kept)
        door.change("ann", scopes=["read"], password="quite another thing")
        return found

    monkeypatch.setattr(passwords, "right", slowly)
    assert door.sign_in("ann", PASSWORD) is None
    assert room.sql("SELECT count(*) FROM sessions") == [(0,)]


def test_a_session_ends_idle_and_after_a_week_in_any_case(room: Room) -> None:
    door = room.service.people
    idle = door.sign_in("ann", PASSWORD)
    room.clock.forward(people.IDLE_S)
    assert door.session(str(idle)) is None
    used = door.sign_in("ann", PASSWORD)
    for _ in range(int(people.SESSION_S / people.IDLE_S) * 2 - 1):
        room.clock.forward(people.IDLE_S / 2)
        assert door.session(str(used)) is not None
        room.store.write(lambda _tx: None)
    room.clock.forward(people.IDLE_S / 2)
    assert door.session(str(used)) is None


def test_a_session_by_token_ends_with_the_token(room: Room) -> None:
    room.service.create_token("desk", ["read"])
    room.service.create_token("short", ["read"], expires_at=room.clock.now + 10)
    by_desk = room.service.people.open_session(SessionOrigin.TOKEN, "desk", ["read"])
    by_short = room.service.people.open_session(SessionOrigin.TOKEN, "short", ["read"])
    assert room.service.people.session(by_desk) is not None
    assert room.service.people.session(by_short) is not None
    room.service.revoke_token("desk")
    room.clock.forward(10)
    assert room.service.people.session(by_desk) is None
    assert room.service.people.session(by_short) is None


def test_signing_out_is_for_good(room: Room) -> None:
    text = str(room.service.people.sign_in("ann", PASSWORD))
    assert room.service.people.end_session(text)
    assert not room.service.people.end_session(text)
    assert room.service.people.session(text) is None


def test_sessions_that_have_run_out_are_removed(room: Room) -> None:
    room.service.people.sign_in("ann", PASSWORD)
    room.clock.forward(people.IDLE_S)
    room.service.housekeeping()
    assert room.sql("SELECT count(*) FROM sessions") == [(0,)]
