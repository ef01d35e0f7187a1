"""Every route, with every credential, by every method: who gets through is what the matrix says."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.fuzzing import Jumping
from tests.support.store_kit import Room, a_room
from web import gate, matrix
from web.accounts import Accounts
from web.app import WebOptions, create_app

SCOPES = ("read", "submit", "publish", "admin")
CREDENTIALS = ("none", "garbage", "expired", "revoked", "cookie of nobody", *SCOPES)
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGE = Path(__file__).parents[2] / "docs" / "security.md"


class House:
    def __init__(self, room: Room) -> None:
        stopping = threading.Event()
        stopping.set()  # nothing waits
        self.app = create_app(
            room.service, Accounts(room.service, b"secret", monotonic=Jumping()), WebOptions(stopping=stopping)
        )
        self.tokens = {scope: room.service.create_token(scope, [scope]) for scope in SCOPES}
        self.tokens["garbage"] = "mj_" + "x" * 43
        self.tokens["expired"] = room.service.create_token("old", ["admin"], expires_at=room.clock.now + 1)
        self.tokens["revoked"] = room.service.create_token("gone", ["admin"])
        room.service.revoke_token("gone")
        room.clock.forward(2)

    def headers(self, credential: str) -> dict[str, str]:
        if credential == "none":
            return {}
        if credential == "cookie of nobody":
            return {"Cookie": f"{gate.COOKIE}={'x' * 43}.{'0' * 64}"}
        return {"Authorization": f"Bearer {self.tokens[credential]}"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with a_room(tmp_path) as room:
        yield House(room)


def paths(app: Flask) -> dict[str, dict[str, str]]:
    """{path with its parameters filled in: {method: what it asks for}}."""
    found: dict[str, dict[str, str]] = {}
    for rule in matrix.rules(app):
        filled = re.sub(r"\{[^}]+\}", "1", rule.path)
        found.setdefault(filled, {})[rule.method] = rule.asks
    for methods in found.values():
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
    return found


def status_of(client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    body = {"json": {}} if method in ("POST", "PUT", "PATCH", "DELETE") else {}
    response = client.open(path, method=method, headers=headers, **body)
    status = response.status_code
    try:
        if status < 400 or not response.is_json or not response.data:
            return status, ""
        return status, str(response.json.get("error", {}).get("code", ""))
    finally:
        response.close()


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_who_gets_through_is_what_the_matrix_says(house: House, credential: str) -> None:
    wrong = []
    for path, asks in paths(house.app).items():
        for method in ALL_METHODS:
            client = house.app.test_client(use_cookies=False)
            status, code = status_of(client, method, path, house.headers(credential))
            expected = expectation(credential, asks.get(method))
            if status >= 500 or not expected(status, code):
                wrong.append((method, path, asks.get(method), status, code))
    assert wrong == []


def expectation(credential: str, asks: str | None):
    """What an answer must be for a credential, where a method asks for that; None: there is no such method."""
    if asks == matrix.PUBLIC:
        return lambda status, code: status not in (401, 403) or code == "sign_in_refused"
    if credential not in SCOPES:
        return lambda status, code: status == 401
    if asks is None:  # OPTIONS is answered where the path has a view that the caller may use
        return lambda status, code: status in (200, 403, 404, 405)
    if credential in (asks, "admin"):
        return lambda status, code: status not in (401, 403)
    return lambda status, code: status == 403


def test_nothing_is_public_but_the_public_list(house: House) -> None:
    public = {(rule.method, rule.path) for rule in matrix.rules(house.app) if rule.asks == matrix.PUBLIC}
    assert public <= gate.PUBLIC
    assert all(rule.asks in (*SCOPES, matrix.PUBLIC) for rule in matrix.rules(house.app))


def test_code_execution_is_never_open_to_readers(house: House) -> None:
    """Whatever brings code or jobs asks for more than read."""
    for rule in matrix.rules(house.app):
        if rule.method in ("PUT", "PATCH", "DELETE") and rule.path != "/api/v1/session":
            assert rule.asks in ("submit", "publish", "admin"), rule


def test_the_documented_matrix_is_the_one_in_force(house: House) -> None:
    written = PAGE.read_text().partition("<!-- matrix -->\n")[2].partition("<!-- end of matrix -->")[0]
    assert written.strip() == matrix.table(matrix.rules(house.app)).strip(), "make it anew: tools/routes --write"
