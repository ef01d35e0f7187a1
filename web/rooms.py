"""What the views of one app have at hand: the service, the accounts, the options. Values only."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from flask import Flask, current_app

from jobs.retention import Rule
from jobs.service import JobService
from web.accounts import Accounts

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_KEY: Final = "multijob"


def _no_problems() -> Sequence[Mapping[str, Any]]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WebOptions:
    """How the app is served; the entrance decides, the app obeys."""

    #: Names a request may ask for in its Host header, without port (S5).
    allowed_hosts: frozenset[str] = LOOPBACK_NAMES
    #: False: everyone is admin. Only for loopback; the entrance sees to that.
    auth: bool = True
    #: Behind TLS: the session's cookie never travels in the clear.
    secure_cookies: bool = False
    version: str = ""
    #: What is wrong with inventory.yml now: mappings of file, line, where, message, remedy.
    inventory_problems: Callable[[], Sequence[Mapping[str, Any]]] = _no_problems
    #: What of finished jobs is kept, for people to see.
    retention: Rule = field(default_factory=Rule)
    #: Requests that may wait for results at once; half of the listener's threads, so that others get through.
    waiting_requests: int = 32
    #: A stream of events that has nothing to tell says so this often.
    keep_alive_s: float = 5.0
    #: Set when the server goes away: waiting requests answer at once.
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rooms:
    """Everything a view may use."""

    service: JobService
    accounts: Accounts
    options: WebOptions
    waiting: threading.BoundedSemaphore
    #: Monotonic seconds.
    started: float = field(default_factory=time.monotonic)


def furnish(app: Flask, rooms: Rooms) -> None:
    """Give the app's views what they need."""
    app.extensions[_KEY] = rooms


def rooms() -> Rooms:
    """What the app that handles this request was given."""
    return cast(Rooms, current_app.extensions[_KEY])


def service() -> JobService:
    """The one door to jobs."""
    return rooms().service
