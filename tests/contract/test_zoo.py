"""The job zoo (B1 to B7) on the real runner: whatever a job does, its end says so, and the next job is not hurt.

A table: what main.work does, what its end must say. After each animal a plain job runs in the same place, the runner is
the same process still, and nothing of the animal lives. More ways of changing one's process stand in
test_runner_under_every_python.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from remote_runner import bundle
from remote_runner.protocol import RESULT_LIMIT_BYTES
from tests.support import wait
from tests.support.processes import processes_below
from tests.support.runner_peer import Peer

End = Mapping[str, Any]


class Animal(NamedTuple):
    name: str
    #: The body of main.work(); ``note`` is a path for what the test wants to know.
    code: str
    check: Callable[[End], bool]
    settings: Mapping[str, Any] = {}
    #: Ended with a kill, once it has written its note.
    killed: bool = False


def result(value: Any) -> Callable[[End], bool]:
    return lambda end: end["ok"] and json.loads(end["result"]) == value


def fails(reason: str, *words: str, **more: Any) -> Callable[[End], bool]:
    def check(end: End) -> bool:
        said = end.get("error", "")
        return end["reason"] == reason and all(word in said for word in words) and more.items() <= end.items()

    return check


def a_log(total: int) -> Callable[[End], bool]:
    def check(end: End) -> bool:
        log = end["log"]["stdout"]
        return end["ok"] and log["total"] == total and len(log["head"]) == 65536 and len(log["tail"]) == 196608

    return check


#: A child that forgets everything we could know it by, and will not be told.
DAEMON = """
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.chdir("/")
            os.closerange(0, 300)
            code = "import os, signal, sys, time; signal.signal(15, 1); open(sys.argv[1], 'w').write(str(os.getpid()))"
            code += "; time.sleep(1000)"
            os.execve(sys.executable, ["innocent", "-S", "-E", "-c", code, note], {})
        os._exit(0)
    os.waitpid(child, 0)
    while not (os.path.exists(note) and os.path.getsize(note)): time.sleep(0.01)
"""

ZOO = [
    # B1
    Animal("raises", "raise KeyError('lost')", fails("error", "KeyError: 'lost'", "Traceback")),
    Animal("raises what cannot be shown", "raise Unspeakable()", fails("error", "Unspeakable")),
    Animal("raises a chain", "try:\n        1/0\n    except Exception as e:\n        raise OSError('b') from e",
           fails("error", "ZeroDivisionError", "OSError: b")),
    Animal("exits", "sys.exit('bye')", fails("error", "SystemExit: bye", exit_code=1)),
    Animal("exits with nothing", "sys.exit()", fails("error", exit_code=0)),
    Animal("exits hard", "os._exit(3)", fails("died", "exit code 3", exit_code=3)),
    Animal("aborts", "os.abort()", fails("died", "signal 6", signal=6)),
    Animal("crashes in C", "ctypes.string_at(0)", fails("died", signal=11)),
    Animal("interrupts itself", "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)",
           fails("error", "KeyboardInterrupt")),
    Animal("stops itself and is killed", "open(note, 'w').write('1'); os.kill(os.getpid(), signal.SIGSTOP)",
           fails("killed"), killed=True),
    Animal("fills memory under a limit",
           "few()\n    x = []\n    while True: x.append(bytearray(8 << 20))",
           fails("error", "MemoryError")),
    Animal("recurses", "return deep(1)", fails("error", "RecursionError")),
    Animal("recurses without a net", "few()\n    sys.setrecursionlimit(10**9)\n    deep(1)", lambda end: not end["ok"]),
    # B2
    Animal("never returns", "while True: pass", fails("timeout"), {"timeout_s": 0.5}),
    Animal("never returns and ignores it",
           "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: time.sleep(9)",
           fails("timeout"), {"timeout_s": 0.5}),
    Animal("swallows everything", "while True:\n        try: time.sleep(9)\n        except BaseException: pass",
           fails("timeout"), {"timeout_s": 0.5}),
    Animal("leaves threads",
           "for _ in range(20): threading.Thread(target=time.sleep, args=(1000,)).start()\n    return 5",
           result(5)),
    Animal("leaves stubborn threads", "threading.Thread(target=spin).start()\n    return 6", result(6)),
    Animal("leaves daemons with a clean environment", DAEMON + "    return 7", result(7)),
    Animal("is killed with its daemons", DAEMON + "    time.sleep(1000)", fails("killed"), killed=True),
    Animal("forks in a circle", "fork_on(note, 40)\n    return 8", result(8)),
    # B3
    Animal("prints 100 MB", "for _ in range(1600): sys.stdout.write('x' * 65536)\n    return 9", a_log(1600 * 65536)),
    Animal("prints what is no text", "os.write(1, bytes(range(256)) * 10)\n    return 1", result(1)),
    Animal("prints half a character", "sys.stdout.write('\\udcff'); return 1", result(1)),
    # B4
    Animal("NaN", "return {'a': [0, {'b': float('nan')}]}", fails("bad_result", "result.a[1].b")),
    Animal("infinity as count", "return {'result': 1, 'count': float('inf')}", fails("bad_result", "count")),
    Animal("bytes", "return [b'x']", fails("bad_result", "result[0]", "bytes")),
    Animal("circular", "a = []\n    a.append(a)\n    return a", fails("bad_result", "result[0]")),
    Animal("too deep", "a = []\n    for _ in range(100000): a = [a]\n    return a",
           fails("bad_result", "nested deeper")),
    Animal("half a surrogate pair", "return ['fine', '\\ud83d']", fails("bad_result", "result[1]")),
    Animal("keys that are no text", "return {1: 2}", fails("bad_result", "key")),
    Animal("a str of its own", "class S(str): pass\n    return S('x')", result("x")),
    Animal("an object that lies", "return Liar()", result({})),
    # B5
    Animal("one byte over the limit", f"return 'x' * ({RESULT_LIMIT_BYTES} - 1)", fails("result_too_large")),
    Animal("exactly the limit", f"return 'x' * ({RESULT_LIMIT_BYTES} - 2)", lambda end: bool(end["ok"])),
    Animal("return_data over the limit", f"return {{'result': 1, 'return_data': 'x' * {RESULT_LIMIT_BYTES}}}",
           fails("result_too_large", "return_data")),
    Animal("a million small keys", "return {'%x' % n: 0 for n in range(1000000)}", fails("result_too_large")),
    Animal("half a million small keys", "return {'%x' % n: 0 for n in range(500000)}",
           lambda end: bool(end["ok"]) and len(json.loads(end["result"])) == 500000),
    # B6
    Animal("no result key", "return {'count': 3}", fails("bad_result", "'result'")),
    Animal("count is text", "return {'result': 1, 'count': '3'}", fails("bad_result", "count")),
    Animal("count is negative", "return {'result': 1, 'count': -1}", fails("bad_result", "count")),
    Animal("count is true", "return {'result': 1, 'count': True}", fails("bad_result", "count")),
    Animal("nothing at all", "return None", result(None)),
    Animal("CJK and emoji", "print('打印 🎉'); return {'键': ['数据', '🏳️‍🌈', '\\x00']}",
           lambda end: json.loads(end["result"]) == {"键": ["数据", "🏳️‍🌈", "\x00"]}
           and end["log"]["stdout"]["head"] == "打印 🎉\n"),
    # B7
    Animal("closes every descriptor", "os.closerange(0, 1024)\n    return 10", result(10)),
    Animal("puts others in their place",
           "os.closerange(3, 1024)\n    for _ in range(60): os.open('/dev/zero', 2)\n    return 11",
           result(11)),
    Animal("patches json",
           "json.dumps = json.JSONEncoder = json.loads = json.encoder.c_make_encoder = None\n    return [12]",
           result([12])),
    Animal("patches the built-ins",
           "builtins.open = builtins.print = builtins.len = builtins.isinstance = None\n    return 13",
           result(13)),
    Animal("patches our modules", "for name in list(sys.modules):\n"
           "        if 'remote_runner' in name: sys.modules[name].__dict__.clear()",
           lambda end: True),
    Animal("deletes its folder", "shutil.rmtree(os.getcwd())\n    return 14", result(14)),
    Animal("edits its folder", "os.unlink('main.py')\n    open('main.py', 'w').write('broken(')\n    return 15",
           result(15)),
    Animal("edits through its links",
           "os.chmod(os.path.realpath('main.py'), 0o600)\n    open('main.py', 'a').write('#')\n    return 1",
           lambda end: True),
    Animal("changes everything at once",
           "os.chdir('/'); os.umask(0); os.environ.clear(); sys.path.clear(); signal.alarm(1)\n    return 16",
           result(16)),
    Animal("uses up its descriptors", "x = []\n    while True: x.append(os.open('/dev/null', 0))",
           fails("error", "Too many open files")),
    Animal("limits its own files",
           "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n    print('x' * 100)\n    return 17", result(17)),
]  # fmt: skip

#: Those that change what is around them, and whose result still has to come home from a process that ends after it.
LONERS = frozenset(
    (
        "closes every descriptor",
        "puts others in their place",
        "patches json",
        "patches the built-ins",
        "deletes its folder",
        "changes everything at once",
        "uses up its descriptors",
        "limits its own files",
    )
)
HEAD = """
import builtins, ctypes, json, os, resource, shutil, signal, sys, threading, time
sys.setswitchinterval(0.001)
class Unspeakable(Exception):
    def __str__(self): raise RuntimeError("no words")
    __repr__ = __str__
class Liar(dict):
    def items(self): raise RuntimeError("no items")
    def __len__(self): return -1
    def __getitem__(self, key): raise RuntimeError("no item")
    def __contains__(self, key): raise RuntimeError("no")
def deep(n):
    return [deep(n + 1), n]
def few():
    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
def spin():
    while True: pass
def fork_on(note, left):
    if left and os.fork() == 0:
        fork_on(note, left - 1)
        time.sleep(1000)
        os._exit(0)
def work(note):
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return bundle.build(tmp_path_factory.mktemp("bundle")).path


@pytest.fixture(scope="module")
def keeper(packed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """One runner for the whole zoo: none of the animals may hurt it, or the next one."""
    folder = tmp_path_factory.mktemp("zoo")
    peer = Peer(sys.executable, packed, folder / "root")
    peer.attach(limit=1)
    yield peer
    peer.close()
    assert not processes_below(folder), "something of the zoo lives"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(180)
@pytest.mark.parametrize("animal", ZOO, ids=lambda animal: animal.name)
def test_zoo(keeper: Peer, tmp_path: Path, animal: Animal) -> None:
    runner = keeper.hello["pid"]
    number = ZOO.index(animal)
    note = tmp_path / "note"
    wild = keeper.publish(f"wild{number}", 0, {"main.py": f"{HEAD}    {animal.code}\n"}, **animal.settings)
    tame = keeper.publish(f"tame{number}", 0, {"main.py": "import os\ndef work(x):\n    return [x, os.getpid()]\n"})
    job = keeper.assign(wild, str(note))[0]
    if animal.killed:
        wait.until(lambda: note.exists() and note.stat().st_size, what="its note", timeout_s=60)
        keeper.send({"t": "kill", "attempts": [[job, 1]], "grace_s": 0.3})
    end = keeper.end(job, deadline_s=120)
    assert animal.check(end), {key: str(value)[-2000:] for key, value in end.items()}
    assert end["spend_s"] >= 0
    [value] = keeper.results(keeper.assign(tame, number))
    assert value[0] == number
    if note.exists() and note.read_text().isdigit() and int(note.read_text()) > 1:
        wait.until(lambda: not is_alive(int(note.read_text())), what="the end of what it left")
    assert is_alive(runner)
    assert "version_broken" not in keeper.troubles()
    assert not list((keeper.root / "run" / "attempts").iterdir())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("animal", [animal for animal in ZOO if animal.name in LONERS], ids=lambda animal: animal.name)
def test_the_zoo_in_processes_of_their_own(keeper: Peer, tmp_path: Path, animal: Animal) -> None:
    """Twice: the second is made from what was found out when the first had ended well."""
    number = ZOO.index(animal)
    ref = keeper.publish(f"alone{number}", 0, {"main.py": f"{HEAD}    {animal.code}\n"}, fresh_process=True)
    for _ in range(2):
        end = keeper.end(keeper.assign(ref, str(tmp_path / "note"))[0], deadline_s=120)
        assert animal.check(end), {key: str(value)[-2000:] for key, value in end.items()}
    assert "version_broken" not in keeper.troubles()


def test_a_tampered_version_runs_no_more_and_is_told(keeper: Peer) -> None:
    """What an animal did through its links is found out when the next worker of that version is made."""
    number = next(at for at, animal in enumerate(ZOO) if animal.name == "edits through its links")
    main = next((keeper.root / f"versions/wild{number}").iterdir()) / "main.py"
    if not main.read_text().endswith("#"):
        pytest.skip("the account could not change it")
    job = keeper.assign(f"wild{number}@0", "")[0]
    keeper.wait(lambda: job in keeper.of_kind("back") or job in keeper.of_kind("end"), "the job's end")
