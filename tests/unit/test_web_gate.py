"""The guard in front of every view: who gets in, with what, and who does not."""

from pathlib import Path

import pytest
from flask import Flask

from jobs import people
from tests.support.fake_service import FakeService
from web import gate, page
from web.accounts import Accounts
from web.app import WebOptions, create_app

JSON_POST = {"method": "POST", "json": {}}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class House:
    """An app on a fake service, and the clocks that drive its accounts."""

    def __init__(self, **options: object) -> None:
        self.service = FakeService()
        self.clock = Clock()
        self.monotonic = Clock()
        self.service.people.clock = self.clock
        self.accounts = Accounts(self.service, b"secret", monotonic=self.monotonic)
        self.app = create_app(self.service, self.accounts, WebOptions(**options))
        self.client = self.app.test_client()

    def bearer(self, *scopes: str, name: str = "tester") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.service.create_token(name, scopes)}"}

    def sign_in(self, *scopes: str) -> str:
        """A session in the client's cookies; its CSRF token."""
        code = self.service.create_code(scopes=scopes)
        assert self.client.post("/api/v1/session", json={"code": code}).status_code == 204
        return self.client.get("/api/v1/me").json["csrf"]


@pytest.fixture
def house():
    return House()


def routes(app: Flask):
    for rule in app.url_map.iter_rules():
        path = (
            rule.rule.replace("<id:job_id>", "1")
            .replace("<id:version>", "0")
            .replace("<job_type>", "new_job")
            .replace("<name>", "x")
            .replace("<machine_id>", "lab-1")
        )
        for method in rule.methods - {"HEAD"}:
            yield method, path


def test_every_route_needs_a_credential_unless_public(house):
    seen = set()
    for method, path in routes(house.app):
        response = house.client.open(path, method=method, json={} if method == "POST" else None)
        seen.add((method, path))
        if (method, path) in gate.PUBLIC:
            assert response.status_code != 401 or path == "/api/v1/session"
        else:
            assert response.status_code == 401, (method, path)
            assert response.json.get("error", response.json)["code"] in ("not_signed_in", 401)
            assert "Basic" not in response.headers["WWW-Authenticate"]
    assert seen >= gate.PUBLIC


def test_the_public_list_is_short_and_known():
    files = {("GET", path) for path in page.PATHS}
    assert gate.PUBLIC - files == {("GET", "/healthz"), ("POST", "/api/v1/session")}
    assert all(path in ("/", "/home", "/readme") or Path(path).suffix in page._TYPES for path in page.PATHS)


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/plain/", "/plain/../app.py", "/x//y", "/healthz/"])
def test_unknown_paths_tell_strangers_nothing(house, path):
    assert house.client.get(path).status_code == 401
    assert house.client.get(path, headers=house.bearer("admin")).status_code == 404


def test_a_route_nobody_decided_about_keeps_the_app_from_being_made(house):
    house.app.view_functions["forgotten"] = lambda: "hello"
    house.app.url_map.add(house.app.url_rule_class("/forgotten", endpoint="forgotten", methods=["GET"]))
    with pytest.raises(RuntimeError, match="/forgotten"):
        gate.check_marks(house.app)


# ------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_taken_as_bearer_and_as_basic_password(house):
    token = house.service.create_token("laptop", ["read"])
    assert house.client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json["name"] == "laptop"
    assert house.client.get("/api/v1/me", auth=("mj", token)).json["name"] == "laptop"


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer ", "Bearer", "Basic !!", "Basic bWo6", "Digest x", "", "\xff"]
)
def test_wrong_credentials_are_refused(house, header):
    assert house.client.get("/api/v1/me", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"read"}),
        (["submit"], {"submit"}),
        (["publish"], {"publish"}),
        (["admin"], {"read", "submit", "publish"}),
    ],
)
def test_scopes(house, scopes, allowed):
    asks = {
        "read": ("GET", "/api/v1/jobs", None),
        "submit": ("POST", "/api/v1/jobs", {"job_type": "new_job", "inputs": [{}]}),
        "publish": ("POST", "/api/v1/job_types/new_job/register", None),
    }
    headers = house.bearer(*scopes)
    for scope, (method, path, body) in asks.items():
        status = house.client.open(path, method=method, json=body, headers=headers).status_code
        assert (status < 300) == (scope in allowed)
        assert status < 300 or status == 403


def test_a_revoked_token_ends_within_five_seconds(house):
    headers = house.bearer("read", name="gone")
    assert house.client.get("/api/v1/me", headers=headers).status_code == 200
    house.service.revoke_token("gone")
    house.monotonic.now += 5
    assert house.client.get("/api/v1/me", headers=headers).status_code == 401


def test_a_good_token_is_not_looked_up_for_every_request(house):
    headers = house.bearer("read")
    for _ in range(10):
        house.client.get("/api/v1/me", headers=headers)
    assert house.service.token_checks == 1


def test_guessing_becomes_slow_while_known_tokens_go_on(house):
    good = house.bearer("read")
    assert house.client.get("/api/v1/me", headers=good).status_code == 200
    answers = [house.client.get("/api/v1/me", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(40)]
    assert answers == [401] * 20 + [429] * 20
    checks = house.service.token_checks
    assert house.client.get("/api/v1/me", headers={"Authorization": "Bearer x"}).headers["Retry-After"] == "60"
    assert house.service.token_checks == checks
    house.monotonic.now += 3
    assert house.client.get("/api/v1/me", headers=good).status_code == 200
    house.monotonic.now += 60
    assert house.client.get("/api/v1/me", headers={"Authorization": "Bearer x"}).status_code == 401


# ----------------------------------------------------------------------------------------------------------- sessions


def test_a_code_opens_a_session_once(house):
    code = house.service.create_code(scopes=["read"])
    response = house.client.post("/api/v1/session", json={"code": code})
    cookie = response.headers["Set-Cookie"]
    assert response.status_code == 204
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert house.client.get("/api/v1/me").json["scopes"] == ["read"]
    assert house.client.post("/api/v1/session", json={"code": code}).status_code == 401


def test_the_cookie_is_secure_behind_tls():
    house = House(secure_cookies=True)
    response = house.client.post("/api/v1/session", json={"code": house.service.create_code()})
    assert "Secure" in response.headers["Set-Cookie"]


def test_a_token_opens_a_session_that_ends_with_it(house):
    token = house.service.create_token("desk", ["read"])
    assert house.client.post("/api/v1/session", json={"token": token}).status_code == 204
    assert house.client.get("/api/v1/me").status_code == 200
    house.service.revoke_token("desk")
    house.monotonic.now += 5
    assert house.client.get("/api/v1/me").status_code == 401


def test_signing_out_ends_the_session_and_not_only_the_cookie(house):
    csrf = house.sign_in("read")
    cookie = house.client.get_cookie(gate.COOKIE).value
    assert house.client.delete("/api/v1/session", headers={gate.CSRF_HEADER: csrf}).status_code == 204
    house.client.set_cookie(gate.COOKIE, cookie)
    assert house.client.get("/api/v1/me").status_code == 401


def test_an_idle_session_ends_and_a_used_one_goes_on_for_a_week(house):
    house.sign_in("read")
    for _ in range(14):
        house.clock.now += people.IDLE_S - 1
        house.monotonic.now += people.IDLE_S - 1
        assert house.client.get("/api/v1/me").status_code == 200
    house.clock.now += 14
    house.monotonic.now += 14
    assert house.client.get("/api/v1/me").status_code == 401
    house.sign_in("read")
    house.clock.now += people.IDLE_S
    house.monotonic.now += people.IDLE_S
    assert house.client.get("/api/v1/me").status_code == 401


def test_a_cookie_that_was_not_made_here_costs_no_look_at_the_database(house):
    house.sign_in("read")
    text, _, mac = house.client.get_cookie(gate.COOKIE).value.rpartition(".")
    before, stranger = house.service.people.lookups, house.app.test_client()
    for cookie in (text, f"{text}.", f"{text}x.{mac}", f"{text}.{mac[:-1]}0", "x" * 4000):
        assert stranger.get("/api/v1/me", headers={"Cookie": f"{gate.COOKIE}={cookie}"}).status_code == 401
    assert house.service.people.lookups == before


@pytest.mark.parametrize("cookie", ["", "x", "a.b", "a.1.00", "mj_x.1e999.00", "é.1.x"])
def test_a_made_up_cookie_opens_nothing(house, cookie):
    assert house.client.get("/api/v1/me", headers={"Cookie": f"{gate.COOKIE}={cookie}"}).status_code == 401


@pytest.mark.parametrize("body", [{}, {"code": "a", "token": "b"}, {"code": 1}, {"code": "a", "more": 1}, []])
def test_a_sign_in_of_the_wrong_shape_is_refused(house, body):
    assert house.client.post("/api/v1/session", json=body).status_code == 422


def test_guessing_codes_becomes_slow(house):
    answers = [house.client.post("/api/v1/session", json={"code": str(n)}).status_code for n in range(30)]
    assert answers == [401] * 20 + [429] * 10


def test_signing_in_and_out_is_in_the_audit_log(house):
    csrf = house.sign_in("read")
    house.client.post("/api/v1/session", json={"code": "wrong"})
    house.client.delete("/api/v1/session", headers={gate.CSRF_HEADER: csrf})
    told = [(entry.who, entry.action, entry.outcome) for entry in house.service.audited]
    assert told == [
        ("sign-in-link", "session.sign_in", "ok"),
        ("unknown", "session.sign_in", "refused"),
        ("sign-in-link", "session.sign_out", "ok"),
    ]


# -------------------------------------------------------------------------------------------------------------- users

PASSWORD = "correct horse battery"


def signed_in(house: House, *scopes: str, name: str = "ann") -> str:
    """A user signed in with the password; the CSRF token."""
    house.service.people.add(name, PASSWORD, scopes)
    assert house.client.post("/api/v1/session", json={"user": name, "password": PASSWORD}).status_code == 204
    return house.client.get("/api/v1/me").json["csrf"]


def test_a_user_signs_in_with_a_password(house):
    signed_in(house, "read")
    assert house.client.get("/api/v1/me").json["name"] == "ann"
    assert house.client.get("/api/v1/tokens").status_code == 403
    assert [entry.who for entry in house.service.audited] == ["ann"]


@pytest.mark.parametrize("wrong", [{"user": "ann", "password": "x"}, {"user": "bob", "password": PASSWORD}])
def test_a_wrong_password_and_an_unknown_user_look_alike(house, wrong):
    house.service.people.add("ann", PASSWORD, ["read"])
    response = house.client.post("/api/v1/session", json=wrong)
    assert response.status_code == 401
    assert response.json["error"]["code"] == "sign_in_refused"
    assert wrong["user"] not in response.text


def test_a_password_is_guessed_slowly_from_many_addresses_too(house):
    house.service.people.add("ann", PASSWORD, ["read"])
    answers = []
    for n in range(25):
        sent = {"user": "ann", "password": str(n)}
        source = {"REMOTE_ADDR": f"10.0.0.{n}"}
        answers.append(house.client.post("/api/v1/session", json=sent, environ_base=source).status_code)
    assert answers == [401] * 20 + [429] * 5
    house.monotonic.now += 60
    assert house.client.post("/api/v1/session", json={"user": "ann", "password": PASSWORD}).status_code == 204


def test_changing_ones_password_ends_all_ones_sessions(house):
    csrf = signed_in(house, "read")
    other = house.app.test_client()
    assert other.post("/api/v1/session", json={"user": "ann", "password": PASSWORD}).status_code == 204
    headers = {gate.CSRF_HEADER: csrf}
    wrong = {"old": "not this one", "new": "another good one"}
    assert house.client.post("/api/v1/me/password", json=wrong, headers=headers).json["error"]["field"] == "old"
    right = {"old": PASSWORD, "new": "another good one"}
    assert house.client.post("/api/v1/me/password", json=right, headers=headers).status_code == 204
    assert house.client.get("/api/v1/me").status_code == 401
    house.monotonic.now += 5
    assert other.get("/api/v1/me").status_code == 401
    assert house.client.post("/api/v1/session", json={"user": "ann", "password": "another good one"}).status_code == 204


def test_only_a_user_has_a_password_to_change(house):
    body = {"old": PASSWORD, "new": "another good one"}
    assert house.client.post("/api/v1/me/password", json=body, headers=house.bearer("admin")).status_code == 409


def test_admins_add_change_and_remove_users(house):
    headers = house.bearer("admin")
    new = {"name": "ann", "password": PASSWORD, "scopes": ["read"]}
    assert house.client.post("/api/v1/users", json=new, headers=headers).status_code == 201
    assert house.client.post("/api/v1/users", json=new, headers=headers).status_code == 409
    poor = {"name": "bob", "password": "short", "scopes": ["read"]}
    assert house.client.post("/api/v1/users", json=poor, headers=headers).json["error"]["field"] == "password"
    changed = house.client.patch("/api/v1/users/ann", json={"scopes": ["submit"]}, headers=headers)
    assert changed.json["scopes"] == ["submit"]
    assert house.client.patch("/api/v1/users/ann", json={}, headers=headers).status_code == 422
    shown = house.client.get("/api/v1/users", headers=headers)
    assert [user["name"] for user in shown.json["users"]] == ["ann"]
    assert PASSWORD not in shown.text
    assert house.client.delete("/api/v1/users/ann", headers=headers).status_code == 204
    assert house.client.delete("/api/v1/users/ann", headers=headers).status_code == 404
    actions = [entry.action for entry in house.service.audited]
    assert actions == ["users.create", "users.change", "users.delete"]
    assert PASSWORD not in str(house.service.audited)


# --------------------------------------------------------------------------------------------------------- cross-site


def test_a_change_by_cookie_needs_the_csrf_token(house):
    csrf = house.sign_in("admin")
    body = {"action": "kill", "ids": [1]}
    assert house.client.post("/api/v1/jobs/actions", json=body).json["error"]["code"] == "csrf"
    for wrong in ("", "x", "é"):
        headers = {gate.CSRF_HEADER: wrong}
        assert house.client.post("/api/v1/jobs/actions", json=body, headers=headers).status_code == 403
    assert house.client.post("/api/v1/jobs/actions", json=body, headers={gate.CSRF_HEADER: csrf}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("auth", [True, False])
def test_changes_from_other_sites_are_refused(auth, headers):
    house = House(auth=auth)
    csrf = house.sign_in("admin") if auth else ""
    body = {"action": "kill", "ids": [1]}
    response = house.client.post("/api/v1/jobs/actions", json=body, headers={gate.CSRF_HEADER: csrf or "", **headers})
    assert response.status_code == 403
    assert response.json["error"]["code"] == "cross_site"


def test_our_own_page_may_change_things(house):
    csrf = house.sign_in("admin")
    headers = {gate.CSRF_HEADER: csrf, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    body = {"action": "kill", "ids": [1]}
    assert house.client.post("/api/v1/jobs/actions", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.2",
        "[::2]:80",
        "localhost:80:80",
        "[::1",
        "localhost:x",
        "a@localhost",
    ],
)
def test_other_hosts_are_refused(house, host):
    response = house.client.get("/healthz", headers={"Host": host})
    assert response.status_code == 421
    assert response.json["error"]["field"] == "Host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:5006", "127.0.0.1:5006", "[::1]:5006", "[::1]"])
def test_own_hosts_are_served(house, host):
    assert house.client.get("/healthz", headers={"Host": host}).status_code == 200


def test_no_cors_anywhere(house):
    response = house.client.get("/api/v1/me", headers={"Origin": "http://evil.example"} | house.bearer("read"))
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_without_authentication_everyone_is_admin():
    house = House(auth=False)
    answer = house.client.get("/api/v1/me")
    assert answer.json == {"name": "anyone", "scopes": ["admin"], "csrf": None}
    assert answer.headers["X-MJ-Auth"] == "off", "a standing word to programs; the page has its banner"
    assert "X-MJ-Auth" not in House().client.get("/healthz").headers


# ------------------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/jobs", "/nowhere"])
def test_every_answer_carries_the_safe_headers(house, path):
    headers = house.client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Request-Id"]


def test_a_bug_shows_its_id_and_not_its_story(house, caplog):
    def broken() -> None:
        raise ValueError("the secret detail")

    house.service.machines = broken
    response = house.client.get("/api/v1/machines", headers=house.bearer("read"))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json["error"]["request_id"] == response.headers["X-Request-Id"]
    assert caplog.records[0].request_id == response.headers["X-Request-Id"]


def test_the_csrf_token_and_the_scopes_of_me_match_the_session(house):
    assert house.sign_in("read", "submit")
    assert house.client.get("/api/v1/me").json["scopes"] == ["read", "submit"]
