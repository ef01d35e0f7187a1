"""Calls of the API that the client has no method of its own for, one function each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from multijob import Client

Answer = dict[str, Any]


def census(client: "Client", which: Mapping[str, Any]) -> dict[str, int]:
    """How many jobs there are of each status among those meant.

    What kill leaves alone has ended or returns, and what rerun leaves alone has not ended: together that is all.
    """
    ended = client.bulk("kill", dry_run=True, **which).skipped
    unended = client.bulk("rerun", dry_run=True, **which).skipped
    return {word: number for word, number in {**unended, **ended}.items() if number}


def failure(client: "Client", fingerprint: str) -> Answer:
    """One group of failures, with the words of its latest one."""
    return client.call("GET", f"/api/v1/failures/{_part(fingerprint)}")


def delete_type(client: "Client", job_type: str) -> Answer:
    return client.call("DELETE", f"/api/v1/job_types/{_part(job_type)}") or {}


def add_machine(client: "Client", entry: Mapping[str, Any]) -> Answer:
    return client.call("POST", "/api/v1/machines", json_body=entry, repeatable=False)


def purge(client: "Client", machine_id: str) -> Answer:
    return client.call("POST", f"/api/v1/machines/{_part(machine_id)}/purge")


def command(client: "Client", command_id: str | int, seen: int) -> Answer:
    """How far a command is, as soon as it has more to say than that many lines."""
    return client.call("GET", f"/api/v1/commands/{_part(command_id)}", {"wait_s": 10, "seen": seen})


def tokens(client: "Client") -> list[Answer]:
    return list(client.call("GET", "/api/v1/tokens")["tokens"])


def new_token(client: "Client", wish: Mapping[str, Any]) -> Answer:
    return client.call("POST", "/api/v1/tokens", json_body=wish, repeatable=False)


def revoke_token(client: "Client", name: str) -> None:
    client.call("DELETE", f"/api/v1/tokens/{_part(name)}")


def _part(name: str | int) -> str:
    return quote(str(name), safe="")
