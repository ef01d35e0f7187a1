"""The nginx configuration that is shipped, tried for real: TLS, cookies, hosts, large uploads, streams."""

import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from urllib3.exceptions import InsecureRequestWarning

from tests.support import wait
from tests.support.hosts import _free_port
from tests.support.server import RunningServer, running

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NAME = "jobs.example.org"

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="this machine lacks nginx"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="this machine lacks openssl"),
]


def configured(folder: Path, server_port: int) -> tuple[Path, int]:
    """The shipped files with ports and paths of this test; where nginx listens for TLS."""
    plain, tls = _free_port(), _free_port()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    proxy = (DEPLOY / "multijob_proxy.conf").read_text().replace("127.0.0.1:5006", f"127.0.0.1:{server_port}")
    (folder / "multijob_proxy.conf").write_text(proxy)
    site = (DEPLOY / "nginx.conf").read_text()
    live = f"/etc/letsencrypt/live/{NAME}"
    changes = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        f"{live}/fullchain.pem": str(certificate),
        f"{live}/privkey.pem": str(key),
        "include multijob_proxy.conf": f"include {folder}/multijob_proxy.conf",
    }
    for old, new in changes.items():
        assert old in site
        site = site.replace(old, new)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "main.conf"
    main.write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; user root;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site} }}\n"
    )
    return main, tls


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[tuple[RunningServer, int]]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    with running(tmp_path / "home", "machines: {}\n", behind_tls_proxy=True, allowed_hosts=[NAME]) as server:
        config, port = configured(folder, int(server.url.rpartition(":")[2]))
        process = subprocess.Popen([str(NGINX), "-c", str(config), "-e", str(folder / "error.log")])
        try:
            wait.until(lambda: answers(port), what="nginx")
            yield server, port
        finally:
            process.terminate()
            process.wait(20)


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthz").status_code == 200
    except requests.ConnectionError:
        return False


def ask(
    port: int, method: str, path: str, session: requests.Session | None = None, **more: object
) -> requests.Response:
    headers = {"Host": NAME, **more.pop("headers", {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        return (session or requests).request(
            method, f"https://127.0.0.1:{port}{path}", headers=headers, verify=False, timeout=30, **more
        )


def test_behind_nginx_with_tls(behind: tuple[RunningServer, int]) -> None:
    server, port = behind
    token = (server.home / "token").read_text().strip()
    bearer = {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        signed_in = ask(port, "POST", "/api/v1/session", session, json={"token": token})
        assert signed_in.status_code == 204
        cookie = signed_in.headers["Set-Cookie"]
        assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Strict"))
        assert signed_in.headers["Strict-Transport-Security"]
        mine = {"Cookie": cookie.partition(";")[0]}
        me = ask(port, "GET", "/api/v1/me", headers=mine).json()
        change = {"X-MJ-CSRF": me["csrf"], "Origin": f"https://{NAME}", **mine}
        assert (
            ask(port, "DELETE", "/api/v1/session", headers={**change, "Origin": "https://evil.example"}).status_code
            == 403
        )
        assert ask(port, "DELETE", "/api/v1/session", headers=change).status_code == 204
    assert ask(port, "GET", "/api/v1/jobs", headers={**bearer, "Host": "evil.example"}).status_code == 421
    large = ask(port, "POST", "/api/v1/jobs", headers=bearer, data=b"x" * (20 << 20))
    assert large.status_code in (413, 415)
    beyond = ask(port, "POST", "/job_file/upload_file", headers=bearer, data=b"x" * (66 << 20))
    assert beyond.status_code == 413
    stream = ask(port, "POST", "/api/v1/results", headers=bearer, json={"cursor": 0, "wait_s": 1})
    assert stream.status_code == 200


def test_guessing_is_counted_by_the_guessers_address(behind: tuple[RunningServer, int]) -> None:
    _, port = behind
    codes = [
        ask(port, "POST", "/api/v1/session", json={"code": "x"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
        for n in range(30)
    ]
    assert 429 in codes or 503 in codes, "what a client claims about its address counts for nothing"
