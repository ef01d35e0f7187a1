"""The plain page's files: ours alone, nothing inline, both languages whole. Also job types, machines and the server."""

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest

from jobs.model import MachineState, MachineView
from jobs.retention import Rule
from jobs.status import Status
from tests.support.fake_service import FakeService
from web import page
from web.accounts import Accounts
from web.app import WebOptions, create_app

PLAIN = Path(page.__file__).parent / "plain"
PROBLEM = {"file": "inventory.yml", "line": 3, "where": "machines.lab-1", "message": "unknown key", "remedy": "remove"}


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def client(service):
    options = WebOptions(auth=False, version="0.1.0", inventory_problems=lambda: [PROBLEM], retention=Rule(days=90))
    return create_app(service, Accounts(service, b"secret"), options).test_client()


# ----------------------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("path", sorted(page.PATHS))
def test_every_file_is_served_and_cached_by_its_content(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response.data
    again = client.get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert client.head(path).status_code == 200


def test_a_built_dashboard_takes_the_place_of_the_plain_page(tmp_path):
    for name in ("index.html", "icon.svg", "manifest.json", ".build-hash", "assets/x-1.js", "assets/x-1.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = page.files_of(tmp_path, PLAIN)
    assert found["/"] == found["/home"] == tmp_path / "index.html"
    assert found["/readme"] == PLAIN / "readme.html"
    new = {path for path in found if not path.startswith("/plain/")}
    assert new == {"/", "/home", "/readme", "/icon.svg", "/assets/x-1.js", "/assets/x-1.css"}


def test_without_a_built_dashboard_the_plain_page_is_there_and_says_how_to_build(tmp_path):
    assert page.files_of(tmp_path, PLAIN)["/"] == PLAIN / "page.html"
    assert "make web" in (PLAIN / "page.html").read_text()


@pytest.mark.parametrize("path", sorted(page.PATHS))
def test_browsers_that_can_get_it_packed(client, path):
    whole = client.get(path, headers={"Accept-Encoding": "identity"})
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert whole.headers.get("Content-Encoding") is None
    if packed.headers.get("Content-Encoding") == "gzip":
        assert gzip.decompress(packed.data) == whole.data
        assert packed.headers["ETag"] != whole.headers["ETag"]
        assert "Accept-Encoding" in packed.headers["Vary"]


def test_home_is_the_page(client):
    assert client.get("/home").data == client.get("/").data


def test_the_page_holds_nothing_inline_and_asks_nobody_else():
    html = (PLAIN / "page.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", html)
    for name in ("page.html", "page.css", "page.js", "words.js"):
        outside = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", (PLAIN / name).read_text().replace("// ", ""))
        assert outside == [], name


def test_the_page_refers_only_to_files_that_are_served():
    for file in {PLAIN / "page.html", page.files_of(page._BUILT, PLAIN)["/"]}:
        named = re.findall(r'(?:src|href)="(?:\./)?([^"]+)"', file.read_text())
        assert {f"/{path}" for path in named} <= page.PATHS


def test_the_script_only_ever_makes_text():
    for name in ("page.js", "words.js"):
        script = (PLAIN / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)


def words(language: str) -> set[str]:
    text = (PLAIN / "words.js").read_text()
    block = text.split(f"\n  {language}: {{", 1)[1].split("\n  },", 1)[0]
    return set(re.findall(r"(?:^|[{,])\s*(\w+): \"", block, re.MULTILINE))


def test_both_languages_have_every_word():
    assert words("en") == words("zh")
    asked = set(re.findall(r'data-word="(\w+)"', (PLAIN / "page.html").read_text()))
    asked |= set(re.findall(r'\bword\("(\w+)"\)', (PLAIN / "page.js").read_text()))
    asked |= {f"state_{state}" for state in MachineState} | {status.name.lower() for status in Status}
    assert asked <= words("en")


def test_every_label_has_its_input_and_every_id_is_used_once():
    html = (PLAIN / "page.html").read_text()
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\bfor="([^"]+)"', html)) <= set(ids)
    assert set(re.findall(r'\$\("([^"]+)"\)', (PLAIN / "page.js").read_text())) <= set(ids)


# ---------------------------------------------------------------------------------------------- machines, the server


def test_machines_as_last_seen(client, service):
    service.machine_rows = [
        MachineView(machine_id="lab-1", tags=frozenset({"gpu", "a"}), state=MachineState.READY, cpu_ratio=12.5)
    ]
    machine = client.get("/api/v1/machines").json["machines"][0]
    assert (machine["tags"], machine["state"], machine["cpu_ratio"]) == (["a", "gpu"], "ready", 12.5)


def test_the_server_about_itself(client):
    facts = client.get("/api/v1/server").json
    assert (facts["version"], facts["server_id"], facts["auth"]) == ("0.1.0", "fake-server", False)
    assert facts["inventory_problems"] == [PROBLEM]
    assert facts["retention"] == {"days": 90.0, "jobs": 0}
    assert facts["uptime_s"] >= 0


# ---------------------------------------------------------------------------------------------------------- job types


def small_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", "def work():\n    return 1\n")
    return buffer.getvalue()


def test_publish_then_look_then_download(client):
    archive = small_zip()
    published = client.post("/api/v1/job_types/crawl/versions", data=archive, content_type="application/zip")
    assert (published.status_code, published.json) == (200, {"version": 0, "changed": True})
    assert client.post("/api/v1/job_types/crawl/register").json == {"version": 1, "changed": True}
    names = [one["job_type"] for one in client.get("/api/v1/job_types").json["job_types"]]
    assert names == ["crawl", "new_job"]
    crawl = client.get("/api/v1/job_types/crawl").json
    assert (crawl["version"], [one["version"] for one in crawl["versions"]]) == (1, [1, 0])
    download = client.get("/api/v1/job_types/crawl/versions/0/zip")
    assert download.data == archive
    assert download.headers["Content-Disposition"].startswith("attachment")


def test_environment_values_of_a_job_type_are_not_shown(client):
    response = client.get("/api/v1/job_types/new_job")
    assert response.json["versions"][0]["settings"]["env"] == ["API_KEY"]
    assert "hidden" not in response.text


def test_publishing_is_in_the_audit_log(client, service):
    client.post("/api/v1/job_types/crawl/versions", data=small_zip(), content_type="application/zip")
    assert [(one.action, one.detail["job_type"]) for one in service.audited] == [("job_types.publish", "crawl")]


def test_an_upload_may_be_larger_than_other_bodies_but_has_a_limit_too(client, service):
    large = b"z" * (17 * 1024 * 1024)
    assert client.post("/api/v1/job_types/x/versions", data=large, content_type="application/zip").status_code == 200
    oversized = b"z" * (64 * 1024 * 1024 + 1)
    response = client.post("/api/v1/job_types/x/versions", data=oversized, content_type="application/zip")
    assert response.status_code == 413
    assert len(service.types["x"]) == 1


def test_an_upload_says_that_it_is_a_zip(client):
    response = client.post("/api/v1/job_types/x/versions", json={})
    assert (response.status_code, response.json["error"]["field"]) == (415, "Content-Type")


@pytest.mark.parametrize("path", ["nothing", "nothing/versions/0/zip", "new_job/versions/9/zip", "a%2fb", "%2e%2e"])
def test_a_job_type_that_is_not_there(client, path):
    assert client.get(f"/api/v1/job_types/{path}").status_code == 404
