"""return_main within its bounds, and as an account of its own: what it can reach of the server, and what it can not."""

import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
import remote_runner
from jobs.status import Status
from orchestrator.errors import UserError
from orchestrator.node.workshop import Workshop
from orchestrator.returns import account as return_account
from orchestrator.returns.account import Bounds, Quarters, account_of
from orchestrator.returns.calls import Returns
from orchestrator.returns.packages import HomeEnvironments
from remote_runner import bundle
from tests.support import store_kit, wait, wheels
from tests.support.store_kit import Room

OTHER = "nobody"
SYSTEM_PYTHON = "/usr/bin/python3"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start processes of another account")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with store_kit.a_room(tmp_path) as made:
        yield made


@pytest.fixture
def lent() -> Iterator[Path]:
    """A folder that the other account may look into, as test folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="mj-lent-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def error_of(room: Room, quarters: Quarters, code: str, data: str = "1", **more: str) -> str:
    """Run it once, with ``more`` files beside it; its error, empty where all went well."""
    room.service.publish_folder("back", room.folder("back", {"return_main.py": code, **more}))
    [job] = room.submit(1, "back", limit_count=0)
    [claimed] = room.claim(job, version=room.service.current_versions()["back"].version)
    room.report(("end", job, claimed.attempt, {"ok": True, "reason": "", "result": "1", "return_data": data}))
    quarters.prepare()
    shop = Workshop(cache=room.home / "cache", wheels=room.home / "wheels", index="none")
    environments = HomeEnvironments(room.home, bundle.build(room.home / "cache" / "runner").path, shop)
    returns = Returns(room.service, quarters, room.home / "logs", places=1, environments=environments)
    returns.start()
    try:
        ends = (Status.DONE, Status.RETURN_FAILED)
        wait.until(lambda: room.service.job(job).job.status in ends, what="the end", timeout_s=90)
    finally:
        returns.stop()
    latest = room.service.job(job).latest
    return (latest and latest.return_error) or ""


@pytest.mark.parametrize(
    ("code", "bounds", "says"),
    [
        ("def work(data):\n    bytearray(1 << 30)\n", Bounds(memory_bytes=512 << 20), "MemoryError"),
        ("def work(data):\n    while True:\n        pass\n", Bounds(cpu_s=1), "return_cpu_s"),
        (
            "def work(data):\n    global kept\n    kept = [open('/dev/null') for _ in range(100)]\n",
            Bounds(open_files=64),
            "Too many open files",
        ),
        (
            "import resource as r\ndef work(data):\n    r.setrlimit(r.RLIMIT_NOFILE, (1000, 1000))\n",
            Bounds(open_files=64),
            "",
        ),
    ],
    ids=["memory", "processor", "open files", "cannot be raised"],
)
def test_it_may_use_so_much_and_no_more(room: Room, code: str, bounds: Bounds, says: str) -> None:
    error = error_of(room, Quarters(room.home / "returns", bounds=bounds), code)
    if says:
        assert says in error
    else:
        assert os.geteuid() == 0 or "not allowed to raise" in error  # root may do everything


def test_without_bounds_it_may_use_what_there_is(room: Room) -> None:
    none = Bounds(memory_bytes=0, cpu_s=0, open_files=0)
    code = "def work(data):\n    assert len(bytearray(64 << 20))\n"
    assert error_of(room, Quarters(room.home / "returns", bounds=none), code) == ""


PRY = """
import json, os, pathlib, sys

def tries(path):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read()
    except OSError as error:
        return type(error).__name__
    return "read"

def work(data):
    assert os.getuid() == data["uid"], os.getuid()
    assert os.environ["USER"] == data["name"]
    seen = {path: tries(path) for path in data["paths"]}
    seen["/proc/server"] = tries("/proc/%d/environ" % os.getppid())
    assert set(seen.values()) == {"PermissionError"}, seen
    here = pathlib.Path(__file__).parent
    for change in (lambda: (here / "return_main.py").write_text("x"), lambda: (here / "new").write_text("x"),
                   lambda: (here.parent / "other").mkdir(), lambda: os.kill(os.getppid(), 0)):
        try:
            change()
        except PermissionError:
            continue
        raise AssertionError("it could")
    pathlib.Path("mine").write_text("kept")
"""


def installed_for_all(folder: Path) -> Path:
    """An interpreter with our packages, where every account may read it; the tests' own need not be."""
    code = folder / "code"
    for package in (orchestrator, remote_runner):
        source = Path(package.__file__ or "").parent
        shutil.copytree(source, code / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    wrapper = code / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={code} exec {SYSTEM_PYTHON} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@needs_root
@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason="needs a Python that every account may run")
def test_another_account_works_and_reaches_nothing_of_the_server(room: Room, lent: Path) -> None:
    account = account_of(OTHER)
    assert account is not None
    quarters = Quarters(lent, account, python=str(installed_for_all(lent)))
    room.home.chmod(0o700)
    (room.home / "secret").write_text("x")
    paths = [room.home, room.home / "secret", room.home / "cache", lent, lent / "work", lent / "versions"]
    data = {"uid": account.uid, "name": OTHER, "paths": [str(path) for path in paths]}
    assert error_of(room, quarters, PRY, json.dumps(data)) == ""
    mine = lent / "work" / "back" / "mine"
    assert (mine.read_text(), mine.stat().st_uid, mine.stat().st_mode & 0o077) == ("kept", account.uid, 0)


@needs_root
@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason="needs a Python that every account may run")
def test_another_account_imports_packages_from_a_copy_it_cannot_change(room: Room, lent: Path) -> None:
    wheels.make(room.home / "wheels", "mjhome", mjhome="SAYS = 'at home'\n")
    quarters = Quarters(lent, account_of(OTHER), python=str(installed_for_all(lent)))
    room.home.chmod(0o700)
    code = (
        "import os, pathlib\n\ndef work(data):\n    import mjhome\n"
        f"    assert mjhome.__file__.startswith({str(lent / 'environments')!r}), mjhome.__file__\n"
        "    assert not os.access(mjhome.__file__, os.W_OK)\n"
        "    pathlib.Path('said').write_text(mjhome.SAYS)\n"
    )
    files = {"requirements.txt": "mjhome\n"}
    assert error_of(room, quarters, code, **files) == ""
    assert (lent / "work" / "back" / "said").read_text() == "at home"


@needs_root
def test_a_place_that_others_may_change_is_refused(lent: Path) -> None:
    lent.chmod(0o777)
    (lent / "inner").mkdir()
    with pytest.raises(UserError, match="others than the server may change"):
        Quarters(lent / "inner", account_of(OTHER)).prepare()
    lent.chmod(0o700)
    with pytest.raises(UserError, match="may not pass"):
        Quarters(lent / "inner", account_of(OTHER)).prepare()


def test_accounts_that_are_none_are_refused() -> None:
    assert account_of("") is None
    with pytest.raises(UserError, match="there is no account"):
        account_of("nobody-of-that-name")
    with pytest.raises(UserError, match="the server's own account"):
        account_of(pwd.getpwuid(os.geteuid()).pw_name)


@needs_root
def test_old_versions_do_not_pile_up(room: Room, lent: Path) -> None:
    quarters = Quarters(lent, account_of(OTHER))
    for number in range(return_account.VERSIONS_KEPT + 2):
        source = room.folder(f"v{number}", {"return_main.py": "x"})
        (lent / "versions").mkdir(exist_ok=True)
        assert quarters.readable(source, "back").name == source.name
    kept = sorted(path.name for path in (lent / "versions" / "back").iterdir())
    assert kept == ["v2", "v3", "v4"]
