"""``mj job check``: the folder runs here under the real runner, judged as the server would judge it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import wait, wheels
from tests.support.mj import Mj

MAIN = """
import os, sys
import helper

def work(x, y=1):
    print("hello \\x1b[31m", x)
    print("to stderr", file=sys.stderr)
    if x == "bad":
        return {"result": {1, 2}}
    if x == "dies":
        os._exit(7)
    here = sorted(name for name in os.listdir(".") if not name.startswith("."))
    return {"result": [x + y, here, os.environ.get("FROM_JOB_YML")], "count": 2, "return_data": {"x": x}}
"""
RETURN_MAIN = """
def work(data):
    with open("saved.txt", "w") as file:
        file.write(str(data["x"]))
    print("saved", data)
    if data["x"] == 13:
        raise ValueError("thirteen")
"""


@pytest.fixture
def mj(tmp_path: Path) -> Mj:
    """No server is needed, and none is asked."""
    return Mj("http://127.0.0.1:1", "", tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "adding"
    made.mkdir()
    files = {"main.py": MAIN, "helper.py": "", "return_main.py": RETURN_MAIN, "notes.txt": "", ".mjignore": "*.txt\n"}
    for name, text in files.items():
        (made / name).write_text(text)
    (made / "job.yml").write_text("timeout: 60\nenv: {FROM_JOB_YML: 'yes'}\n")
    return made


def test_the_folder_runs_as_on_a_machine(mj: Mj, folder: Path) -> None:
    done = mj("job", "check", str(folder), "x=1", "y=2")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == [3, ["helper.py", "job.yml", "main.py"], "yes"]
    assert r"hello \x1b[31m 1" in done.stderr
    assert "to stderr" in done.stderr
    assert "return_main.py stays on the server" in done.stderr
    assert not (folder / "__pycache__").exists()


def test_the_whole_outcome_as_json(mj: Mj, folder: Path) -> None:
    told = json.loads(mj("job", "check", str(folder), "--args", "[5]", "--json", "--quiet").stdout)
    assert (told["ok"], told["count"], told["return_data"], told["reason"]) == (True, 2, {"x": 5}, "")


@pytest.mark.parametrize(
    ("x", "reason", "said"), [("bad", "bad_result", "set"), ("dies", "died", "7"), ("3", "error", "TypeError")]
)
def test_what_fails_there_fails_here(mj: Mj, folder: Path, x: str, reason: str, said: str) -> None:
    done = mj("job", "check", str(folder), "--text", f"x={x}")
    assert done.exit_code == 1
    assert f"failed ({reason})" in done.stderr
    assert said in done.stderr
    if reason == "error":
        assert f'File "{folder}/main.py"' in done.stderr


def test_return_main_runs_as_on_the_server(mj: Mj, folder: Path) -> None:
    done = mj("job", "check", str(folder), "x=1", "--return-main")
    assert done.exit_code == 0, done.stderr
    assert "saved {'x': 1}" in done.stderr
    assert "it wrote saved.txt" in done.stderr
    assert not (folder / "saved.txt").exists()
    failed = mj("job", "check", str(folder), "x=13", "--return-main")
    assert (failed.exit_code, "thirteen" in failed.stderr) == (1, True)


def test_what_the_server_would_refuse(mj: Mj, folder: Path) -> None:
    (folder / "job.yml").write_text("timeuot: 3\n")
    mistyped = mj("job", "check", str(folder))
    assert (mistyped.exit_code, "did you mean timeout" in mistyped.stderr) == (2, True)
    (folder / "job.yml").write_text('python: ">=3.99"\n')
    assert "asks for Python >=3.99" in mj("job", "check", str(folder)).stderr
    (folder / "job.yml").unlink()
    (folder / "main.py").unlink()
    assert "main.py" in mj("job", "check", str(folder)).stderr


def test_interrupting_ends_the_job_too(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    mark = tmp_path / "pid"
    (folder / "main.py").write_text(
        f"import os, time\ndef work():\n open({str(mark)!r}, 'w').write(str(os.getpid()))\n time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "orchestrator.cli", "job", "check", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    wait.until(lambda: mark.is_file() and mark.read_text(), what="the job's start", timeout_s=60)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.decode().splitlines()[-1]) == (130, "interrupted")
    wait.until(lambda: not Path("/proc", mark.read_text()).exists(), what="the job's end")


def test_its_packages_are_installed_for_the_try(mj: Mj, tmp_path: Path) -> None:
    wheels.make(tmp_path / "home" / "wheels", "mjtiny", mjtiny="SAYS = 'hello'\n")
    (tmp_path / "home" / "config.yml").write_text("package_index: none\n")
    folder = tmp_path / "asking"
    folder.mkdir()
    (folder / "main.py").write_text(
        "import mjtiny\ndef work():\n    return {'result': mjtiny.SAYS, 'return_data': 1}\n"
    )
    (folder / "return_main.py").write_text("import mjtiny\ndef work(data):\n    print('home', mjtiny.SAYS)\n")
    (folder / "requirements.txt").write_text("mjtiny\n")
    done = mj("job", "check", str(folder), "--return-main")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == "hello"
    assert "home hello" in done.stderr
    (folder / "requirements.txt").write_text("mjtiny==99\n")
    done = mj("job", "check", str(folder))
    assert done.exit_code != 0
    assert "its packages cannot be installed" in done.stderr
    assert "mjtiny==99" in done.stderr
