"""The doors for people and commands over plain dictionaries: what the web needs of them, for tests without a store."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from jobs import passwords, people, submitting
from jobs.commands import KINDS
from jobs.errors import Conflict, InvalidInput, NotFound
from jobs.model import Command, CommandState, SessionInfo, SessionOrigin, UserInfo


class FakePeople:
    """As jobs.people.People; passwords are kept as they are, because hashing them takes its time."""

    def __init__(self, token_lives: Callable[[str], bool], clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.rows: dict[str, UserInfo] = {}
        self.passwords: dict[str, str] = {}
        self.opened: dict[str, SessionInfo] = {}
        self.lookups = 0
        self._token_lives = token_lives

    def add(self, name: str, password: str, scopes: Iterable[str]) -> UserInfo:
        if name in self.rows:
            raise Conflict(f"there is already a user {name!r}")
        wanted = submitting.check_scopes(name, scopes)
        self.passwords[name] = passwords.check(password, name)
        self.rows[name] = UserInfo(name=name, scopes=wanted, created_at=self.clock(), changed_at=self.clock())
        return self.rows[name]

    def change(self, name: str, *, password: str | None = None, scopes: Iterable[str] | None = None) -> UserInfo:
        row = self.user(name)
        if password is not None:
            self.passwords[name] = passwords.check(password, name)
        if scopes is not None:
            self.rows[name] = replace(row, scopes=submitting.check_scopes(name, scopes))
        self._end_sessions_of(name)
        return self.rows[name]

    def remove(self, name: str) -> None:
        self.user(name)
        del self.rows[name], self.passwords[name]
        self._end_sessions_of(name)

    def _end_sessions_of(self, name: str) -> None:
        self.opened = {text: one for text, one in self.opened.items() if (one.origin, one.name) != ("user", name)}

    def user(self, name: str) -> UserInfo:
        if name not in self.rows:
            raise NotFound(f"there is no user {name!r}")
        return self.rows[name]

    def users(self) -> list[UserInfo]:
        return list(self.rows.values())

    def password_right(self, name: str, password: str) -> bool:
        return self.passwords.get(name) == password

    def sign_in(self, name: str, password: str) -> str | None:
        right = self.password_right(name, password)
        return self.open_session(SessionOrigin.USER, name, self.rows[name].scopes) if right else None

    def open_session(self, origin: SessionOrigin, name: str, scopes: Iterable[str]) -> str:
        text, now = secrets.token_hex(16), self.clock()
        self.opened[text] = SessionInfo(
            origin=origin,
            name=name,
            scopes=frozenset(scopes),
            created_at=now,
            used_at=now,
            expires_at=now + people.SESSION_S,
        )
        return text

    def session(self, text: str) -> SessionInfo | None:
        self.lookups += 1
        found, now = self.opened.get(text), self.clock()
        if found is None or now >= found.expires_at or now >= found.used_at + people.IDLE_S:
            return None
        if found.origin is SessionOrigin.TOKEN and not self._token_lives(found.name):
            return None
        self.opened[text] = replace(found, used_at=now)
        return found

    def end_session(self, text: str) -> bool:
        return self.opened.pop(text, None) is not None


class FakeCommands:
    """As jobs.commands.Commands, for those who ask."""

    def __init__(self) -> None:
        self.rows: dict[int, Command] = {}

    def ask(self, kind: str, machine_id: str = "", args: Mapping[str, Any] | None = None, *, who: str) -> int:
        if kind not in KINDS:
            raise InvalidInput("kind", "unknown")
        number = len(self.rows) + 1
        self.rows[number] = Command(
            command_id=number,
            kind=kind,
            machine_id=machine_id,
            args=dict(args or {}),
            asked_by=who,
            state=CommandState.WAITING,
            progress=[],
            answer=None,
            created_at=time.time(),
            begun_at=None,
            ended_at=None,
        )
        return number

    def command(self, number: int) -> Command:
        if number not in self.rows:
            raise NotFound(f"there is no command {number}")
        return self.rows[number]

    def wait(self, number: int, *, seen: int, timeout_s: float) -> Command:
        return self.command(number)

    def newest(self, size: int, *, machine_id: str | None = None, kind: str | None = None) -> list[Command]:
        if not 1 <= size <= 100:
            raise InvalidInput("size", "must be from 1 to 100")
        return [
            row
            for row in reversed(self.rows.values())
            if machine_id in (None, row.machine_id) and kind in (None, row.kind)
        ][:size]
