"""``mj demo``: three sandbox machines, the example jobs, and what becomes of them.

Uses what every user uses: the server as a process of its own, and the SDK. Everything lives in one folder; no download,
no key and no setting of yours.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console

from orchestrator.demo import hosts, report
from orchestrator.demo.quotes import Quotes
from orchestrator.demo.report import Tally
from orchestrator.errors import UserError

if TYPE_CHECKING:
    from multijob import Client, JobSet

DEFAULT_HOME: Final = "~/.local/share/multijob-demo"
BATCH: Final = "demo"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
RESULTS_TIMEOUT_S: Final = 300.0
#: The server of the demo forgets idle runners sooner than a real one.
CONFIG: Final = "linger_s: 5\n"
TEXTS: Final = (
    "the quick brown fox jumps over the lazy dog while the other dog looks on",
    "to be or not to be that is the question",
    "人 之 初 性 本 善 性 相 近 习 相 远",
)
STOCKS: Final = ("sz000829", "sh600000", "sz300750", "sh601318", "sz002594", "sh688981")


def run(*, home: Path | None, once: bool, count: int, local: bool) -> int:
    """The whole demo; the exit code."""
    console = Console(highlight=False)
    # Whoever ends the demo ends all of it: the signal unwinds the steps below, which stop what they started.
    signal.signal(signal.SIGTERM, _unwind)
    with _home(home, once) as folder, _sandbox(folder, local) as sandbox, _quotes() as quotes:
        console.print(f"[bold]Multi Job over SSH[/bold]: three machines ({sandbox.how})", soft_wrap=True)
        _furnish(folder, sandbox, quotes)
        with _server(folder) as link:
            return _show(console, folder, link, once=once, count=count)


def _unwind(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _show(console: Console, folder: Path, link: str, *, once: bool, count: int) -> int:
    from multijob import Client, WaitTimeout

    with Client(home=folder) as client:
        console.print(f"The page: {link}", soft_wrap=True)
        versions = {name: client.register(name).version for name in ("new_job", "save_stock_data", "word_count")}
        sets = _insert(client, count)
        console.print(f"Inserted {sum(map(len, sets.values()))} jobs; a tenth of new_job fails on purpose.")
        try:
            tally = _follow(console, client, sets)
        except WaitTimeout as error:
            console.print(
                f"{error}; the machines:",
                *(f"{row['machine_id']}: {row['state']} {row['text']}" for row in client.machines()),
            )
            return 1
        console.print(report.tables(tally, versions))
        return 0 if once else _stay(console, folder)


def _insert(client: "Client", count: int) -> "dict[str, JobSet]":
    """Half additions, of which a tenth fail, a third words, the rest stocks."""
    adding, words = count // 2, count // 3
    stocks = count - adding - words
    additions = ({"x": n, "y": "ten" if n % 10 == 3 else 10, "label": f"no {n}"} for n in range(adding))
    texts = ({"text": TEXTS[n % len(TEXTS)] + f" {n}"} for n in range(words))
    bars = ({"stock_id": STOCKS[n % len(STOCKS)], "time_sep": 30, "time_length": 5} for n in range(stocks))
    items: dict[str, Iterator[Any]] = {"new_job": additions, "word_count": texts, "save_stock_data": bars}
    return {name: client.submit_many(name, inputs, batch=BATCH) for name, inputs in items.items()}


def _follow(console: Console, client: "Client", sets: "dict[str, JobSet]") -> Tally:
    from multijob import JobSet

    first = next(iter(sets.values()))
    everything = JobSet(tuple(pair for jobs in sets.values() for pair in jobs.ranges), first.cursor)
    types = {job_id: name for name, jobs in sets.items() for job_id in jobs}
    tally = Tally()
    rows = client.results(everything, timeout_s=RESULTS_TIMEOUT_S)
    for row in report.following(console, rows, len(everything)):
        tally.add(types[row.id], row)
    return tally


def _stay(console: Console, folder: Path) -> int:
    console.print(
        "\nIt stays up until you press Ctrl-C. In another terminal:\n"
        f"  mj --home {folder} ls -s failed\n"
        f"  mj --home {folder} submit new_job x=1 y=2 --watch\n"
        f"  mj --home {folder} machine list\n"
        f"Saved by return_main: {folder / 'returns' / 'save_stock_data' / 'stocks'}",
        soft_wrap=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    console.print("\nstopping")
    return 0


@contextlib.contextmanager
def _home(home: Path | None, once: bool) -> Iterator[Path]:
    """The demo's folder: the given or the usual one, which stays; one that goes away for ``once``."""
    if home is None and once:
        with tempfile.TemporaryDirectory(prefix="multijob-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    folder = (home or Path(DEFAULT_HOME)).expanduser().absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder


@contextlib.contextmanager
def _sandbox(folder: Path, local: bool) -> Iterator[hosts.Sandbox]:
    nodes = folder / "nodes"
    sandbox = hosts.start(nodes, local=local)
    try:
        yield sandbox
    finally:
        hosts.purge(nodes)
        sandbox.stop()


@contextlib.contextmanager
def _quotes() -> Iterator[Quotes]:
    quotes = Quotes()
    quotes.start()
    try:
        yield quotes
    finally:
        quotes.stop()


def _furnish(folder: Path, sandbox: hosts.Sandbox, quotes: Quotes) -> None:
    """The server's home: the machines, and the example jobs, of which one is told where the quotes are."""
    (folder / "inventory.yml").write_text(sandbox.inventory, "utf-8")
    (folder / "config.yml").write_text(CONFIG, "utf-8")
    shutil.copytree(
        _examples(), folder / "jobs", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".info")
    )
    with (folder / "jobs" / "save_stock_data" / "job.yml").open("a", encoding="utf-8") as settings:
        settings.write(f'env: {{QUOTES_URL: "{quotes.url}"}}\n')


def _examples() -> Path:
    """The example jobs: inside an installed package, or beside it in the sources."""
    package = Path(__file__).parent.parent
    for folder in (package / "examples" / "jobs", package.parent / "examples" / "jobs"):
        if folder.is_dir():
            return folder
    raise UserError("the example jobs are not part of this installation; run the demo from the sources")


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    """``mj up`` in a process of its own; answers the sign-in link."""
    # -P: a folder named "jobs" or "web" where the demo is started from must not be taken for ours.
    command = [sys.executable, "-P", "-m", "orchestrator.cli", "up", "--home", str(folder), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MJ_")}
    log = folder / "demo-server.log"
    with log.open("wb") as errors:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends the server in order.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )
    try:
        yield _link(process, log)
    finally:
        _end(process)


def _link(process: subprocess.Popen[bytes], log: Path) -> str:
    """The link from the server's greeting; the rest of what it says is read away so that it never waits for us."""
    found = threading.Event()
    links: list[str] = []

    def read() -> None:
        assert process.stdout is not None  # noqa: S101 - asked for as a pipe
        for line in process.stdout:
            words = line.decode("utf-8", "replace").split()
            links.extend(word for word in words if "#code=" in word)
            if links:
                found.set()
        found.set()

    threading.Thread(target=read, name="demo-server-output", daemon=True).start()
    if not found.wait(START_TIMEOUT_S) or not links:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
        raise UserError(f"the server did not start; its last words:\n{tail}")
    return links[0]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
