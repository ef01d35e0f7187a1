"""What the SDK promises, under every Python from 3.9 on that this machine has, each with packages of its own."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.support.fake_api import TOKEN, FakeApi, small_zip

pytestmark = [pytest.mark.registry, pytest.mark.timeout(600)]

SDK = Path(__file__).parents[2] / "sdk"
FLOOR = (3, 9)

#: What people do, in one script; it says so when all of it went well.
SCRIPT = """
import asyncio, os, sys, tempfile, threading
from pathlib import Path

url, token = sys.argv[1:]
import multijob
from multijob import Client, Invalid, JobFailed, Unreachable, call
from MultiJob import MultiJob

def double(value):
    return value * 2

client = Client(url, token)
first = client.insert("crawl", 4)
job = client.job(first)
assert job.result(timeout_s=30) == 8 and job.wait().ok and job["job_type"] == "crawl"
jobs = client.submit_many("crawl", (n for n in range(25)), chunk=10, batch="many")
assert jobs.wait(timeout_s=30, progress=True).done == 24
assert sorted(row.id for row in jobs.results() if not row.ok) == [list(jobs)[13]]
assert list(client.map("crawl", [1, 2])) == [2, 4]
assert {one.id for one in jobs.as_completed()} == set(jobs)
try:
    list(client.map("crawl", [13]))
except JobFailed as error:
    assert "13 is not wanted" in str(error)
else:
    raise AssertionError("a failure was not told")
try:
    client.kill()
except Invalid as error:
    assert error.field == "filter"
assert client.rerun(jobs, status="3").state == "done"
assert "<table>" in jobs._repr_html_() + job._repr_html_()

threads = [threading.Thread(target=client.insert, args=("crawl", n)) for n in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
child = os.fork()
if not child:
    os._exit(0 if client.job(client.insert("crawl", 5)).result() == 10 else 1)
assert os.waitpid(child, 0)[1] == 0
assert client.job(client.insert("crawl", 6)).result() == 12
async def many():
    return await asyncio.gather(*(asyncio.to_thread(client.insert, "crawl", n) for n in range(5)))
assert len(set(asyncio.run(many()))) == 5

with tempfile.TemporaryDirectory() as name:
    here = Path(name, "mine")
    (here / "数据").mkdir(parents=True)
    (here / "数据" / "x.bin").write_bytes(bytes(range(256)))
    (here / "tool").write_text("#!/bin/sh")
    (here / "tool").chmod(0o755)
    (here / "main.py").write_text("import os\\ndef work(x):\\n    return {'result': x, 'return_data': os.getcwd()}\\n")
    (here / "return_main.py").write_text("def work(data):\\n    return os.path.basename(data)\\nimport os\\n")
    assert client.register("mine", here) == (0, True)
    back = client.download("mine", Path(name, "back"))
    assert (back / "数据" / "x.bin").read_bytes() == bytes(range(256))
    assert os.access(back / "tool", os.X_OK) and not os.access(back / "main.py", os.X_OK)
    assert jobs.to_csv(Path(name, "out.csv")) == jobs.to_jsonl(Path(name, "out.jsonl")) == 25
    old = MultiJob(base_ur=url, token=token)
    old.set_batch("old")
    assert old.insert_job("crawl", 7) > first
    assert old.insert_job("unknown", 7) == -1
    assert old.load_job_file(job_path=str(here)) == 1
    assert old.return_main(old.main(3)) == "mine"
client.close()
print("all went well with", multijob.__version__)
"""


def interpreters() -> list[str]:
    """One interpreter of each version from the floor on, from pyenv and PATH."""
    found: dict[tuple[int, int], str] = {}
    names = [shutil.which(f"python3.{minor}") for minor in range(FLOOR[1], 20)]
    for path in [*Path.home().glob(".pyenv/versions/3.*/bin/python"), *names, sys.executable]:
        version = _version(str(path)) if path else None
        if version and version >= FLOOR:
            found.setdefault(version, str(path))
    return [found[version] for version in sorted(found)]


def _version(python: str) -> tuple[int, int] | None:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"Python (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None


@pytest.fixture(scope="session", params=interpreters(), ids=lambda path: "py{}.{}".format(*(_version(path) or (0, 0))))
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with the SDK's own requirements and nothing else."""
    folder = tmp_path_factory.mktemp("python")
    wanted = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]["dependencies"]
    subprocess.run([request.param, "-m", "venv", folder], check=True, capture_output=True)
    made = str(folder / "bin" / "python")
    command = [made, "-m", "pip", "install", "-q", "--retries", "1", "--disable-pip-version-check", *wanted]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    require([] if fetched.returncode == 0 else [f"a registry that gives {wanted}: {fetched.stderr[-300:]}"])
    return made


@pytest.fixture
def api() -> Iterator[FakeApi]:
    def double(job: dict[str, object]) -> object:
        said = json.loads(json.dumps(job["input"]))["args"][0]
        if said == 13:
            raise ValueError("13 is not wanted")
        return said * 2

    fake = FakeApi().start()
    fake.types["crawl"] = [small_zip()]
    fake.work = double
    yield fake
    fake.stop()


def test_the_sdk_works(python: str, api: FakeApi, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-W", "error", "-X", "dev", "-c", SCRIPT, api.url, TOKEN],
        env={"PYTHONPATH": str(SDK), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.startswith("all went well"), done.stderr
