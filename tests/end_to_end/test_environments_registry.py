"""Packages from the registry that this machine's pip is configured for, on real SSH machines whose Python has none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multijob import Client
from orchestrator.demo.quotes import Quotes
from tests.conftest import require
from tests.support import wait
from tests.support.hosts import Hosts
from tests.support.server import RunningServer

pytestmark = [pytest.mark.sshd, pytest.mark.registry, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 500
GRID = """
import sys
import joblib, multijob, sklearn
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

multijob.register_joblib()
client = multijob.Client(sys.argv[1], token=sys.argv[2], timeout_s=120)
search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}, cv=3)
with joblib.parallel_config("multijob", client=client, batch="grid", packages=[f"scikit-learn=={sklearn.__version__}"]):
    search.fit(*load_iris(return_X_y=True))
print(search.best_score_ > 0.9, len(search.cv_results_["params"]))
"""


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A Python that has its own library and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    made = str(tmp_path / "bare" / "bin" / "python")
    for name in ("requests", "sklearn", "pip"):
        assert subprocess.run([made, "-c", f"import {name}"], capture_output=True, check=False).returncode
    return made


@pytest.fixture
def server(hosts: Hosts, start_server: Any, bare: str) -> RunningServer:
    for _ in range(2):
        hosts.start()
    return start_server(hosts.inventory(limit_process=2, python=bare))  # type: ignore[no-any-return]


@pytest.fixture
def client(server: RunningServer) -> Client:
    made = server.client()
    wait.until(lambda: [machine["state"] for machine in made.machines()] == ["ready"] * 2, timeout_s=180)
    return made


@pytest.fixture
def quotes() -> Iterator[Quotes]:
    service = Quotes()
    service.start()
    yield service
    service.stop()


def test_the_manuals_example_where_requests_is_not(server: RunningServer, client: Client, quotes: Quotes) -> None:
    folder = server.jobs / "save_stock_data"
    shutil.copytree(ROOT / "examples" / "jobs" / "save_stock_data", folder)
    with (folder / "job.yml").open("a") as settings:
        settings.write(f"env: {{QUOTES_URL: {quotes.url}}}\n")
    (folder / "requirements.txt").write_text("requests\n")
    client.register("save_stock_data")
    jobs = client.submit_many("save_stock_data", [(f"sz{number:06}", 30, 2) for number in range(6)])
    results = list(client.results(jobs, timeout_s=PATIENCE_S))
    assert {row.status for row in results} == {3}, [row.error for row in results]
    assert next(iter(results[0].result.values()))
    assert len(list((server.home / "returns" / "save_stock_data" / "stocks").glob("*.json"))) == 6
    states = [one["state"] for machine in client.machines() for one in machine["environments"]]
    assert "ready" in states  # where the registry did not answer in time, it is tried again in a while


def test_a_grid_search_on_machines_without_scikit_learn(server: RunningServer, client: Client, tmp_path: Path) -> None:
    python = with_scikit_learn(tmp_path / "mine")
    token = (server.home / "token").read_text().strip()
    script = tmp_path / "grid.py"
    script.write_text(GRID)
    known = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
    done = subprocess.run(
        [python, script, server.url, token], env=known, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True 6\n"
    rows = list(client.results("grid", timeout_s=30))
    assert rows
    assert {row.status for row in rows} == {3}


def with_scikit_learn(folder: Path) -> str:
    """A Python like the machines', with what a person who searches has."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "-q", "scikit-learn", "cloudpickle", "requests", "typing_extensions"]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    require([] if fetched.returncode == 0 else [f"a registry that gives scikit-learn: {fetched.stderr[-300:]}"])
    return python
