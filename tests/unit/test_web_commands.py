"""What the API asks of the engine: which commands it writes down, and what it answers meanwhile."""

import pytest

from jobs.model import MachineView
from tests.support.fake_service import FakeService
from web.accounts import Accounts
from web.app import WebOptions, create_app

KEY = "SHA256:" + "a" * 43


class House:
    def __init__(self) -> None:
        self.service = FakeService()
        self.service.machine_rows = [MachineView(machine_id="lab-1")]
        self.overridden: list[tuple[str, str, str]] = []
        self.service.override = lambda rows: self.overridden.extend((r.machine_id, r.key, r.value) for r in rows)
        self.client = create_app(self.service, Accounts(self.service, b"s"), WebOptions(auth=False)).test_client()

    def post(self, path: str, body: object = None):
        return self.client.post(f"/api/v1{path}", json=body) if body is not None else self.client.post(f"/api/v1{path}")


@pytest.fixture
def house():
    return House()


def test_a_machine_is_added_by_a_command(house):
    line = {"machine_id": "lab-2", "host": "10.0.0.5", "tag": ["gpu"], "limit_process": 4, "accept": KEY}
    response = house.post("/machines", line)
    assert (response.status_code, response.json) == (202, {"command_id": 1, "state": "waiting", "answer": None})
    command = house.service.commands.command(1)
    assert (command.kind, command.machine_id, command.asked_by) == ("machine.add", "lab-2", "anyone")
    assert command.args == {
        "settings": {"host": "10.0.0.5", "tag": ["gpu"], "limit_process": 4},
        "accept": KEY,
        "check": True,
        "force": False,
    }


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"host": "h"}, "machine_id"),
        ({"machine_id": "../x", "host": "h"}, "machine_id"),
        ({"machine_id": "a", "host": "me@h"}, "host"),
        ({"machine_id": "a", "host": "-oProxyCommand=x"}, "host"),
        ({"machine_id": "a", "port": 0}, "port"),
        ({"machine_id": "a", "password": "hunter2"}, "password"),
        ({"machine_id": "a", "colour": "red"}, "colour"),
        ({"machine_id": "a", "env": {"1": "2"}}, "env"),
        ({"machine_id": "a", "root": "relative"}, "root"),
    ],
)
def test_a_bad_line_is_refused_with_its_field(house, line, field):
    response = house.post("/machines", line)
    assert response.status_code == 422
    assert response.json["error"]["field"].split(".")[0] == field
    assert house.service.commands.rows == {}


@pytest.mark.parametrize(
    ("path", "body", "kind", "args"),
    [
        ("/machines/lab-1/doctor", None, "doctor", {}),
        ("/machines/lab-1/doctor", {}, "doctor", {}),
        ("/machines/lab-1/trust", {"fingerprint": KEY}, "trust", {"fingerprint": KEY}),
        ("/machines/lab-1/purge", None, "purge", {}),
        ("/machines/lab-1/admit", None, "admit", {}),
        ("/server/doctor", None, "doctor", {}),
    ],
)
def test_commands_are_written_down(house, path, body, kind, args):
    assert house.post(path, body).status_code == 202
    command = house.service.commands.command(1)
    assert (command.kind, command.args) == (kind, args)
    assert command.machine_id == ("" if "server" in path else "lab-1")
    assert [entry.action for entry in house.service.audited] == [f"machines.{kind}"]


@pytest.mark.parametrize("verb", ["doctor", "trust", "admit", "purge"])
def test_unknown_machines_are_said_to_be_unknown(house, verb):
    body = {"fingerprint": KEY} if verb == "trust" else None
    assert house.post(f"/machines/lab-9/{verb}", body).status_code == 404


@pytest.mark.parametrize("fingerprint", ["", "MD5:aa", "SHA256:short", KEY + "\n", 7])
def test_only_a_fingerprint_can_be_trusted(house, fingerprint):
    assert house.post("/machines/lab-1/trust", {"fingerprint": fingerprint}).status_code == 422


def test_a_command_without_body_takes_none(house):
    assert house.post("/machines/lab-1/purge", {"all": True}).status_code == 422


@pytest.mark.parametrize(
    ("lever", "set_"),
    [
        ("pause", {"paused": "true"}),
        ("resume", {"paused": "false", "closed": "false"}),
        ("drain", {"paused": "true", "closed": "true"}),
        ("close", {"closed": "true"}),
    ],
)
def test_levers_set_values_on_top_of_the_inventory_at_once(house, lever, set_):
    response = house.post(f"/machines/lab-1/{lever}")
    assert response.json == {"command_id": None, "state": "done", "answer": {"changed": list(set_)}}
    assert {key: value for _, key, value in house.overridden} == set_


def test_a_command_can_be_looked_at(house):
    house.post("/machines/lab-1/doctor")
    shown = house.client.get("/api/v1/commands/1").json
    assert (shown["kind"], shown["state"], shown["progress"], shown["answer"]) == ("doctor", "waiting", [], None)
    assert house.client.get("/api/v1/commands/2").status_code == 404
    assert house.client.get("/api/v1/commands/1?wait_s=26").status_code == 422
    assert house.client.get("/api/v1/commands/1?wait_s=0.01").json == shown
    assert house.client.get("/api/v1/commands?machine_id=lab-1").json == {"commands": [shown]}
    assert house.client.get("/api/v1/commands?size=0").status_code == 422
