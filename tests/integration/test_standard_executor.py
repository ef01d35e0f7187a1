"""``multijob.Executor`` is what the standard library and joblib mean by an executor: their own examples and tests.

One server, and this computer as its only machine: what is tested is the executor, not the way to machines.
"""

import asyncio
import concurrent.futures
import gc
import math
import multiprocessing
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from operator import neg
from pathlib import Path
from typing import Any

import joblib
import pytest

from multijob import Client, Executor, Invalid, JobFailed, NotAllowed, NotFound, Result, register_joblib
from multijob.grouping import TRIAL_CALLS
from tests.support import standard_executor, wait
from tests.support.server import RunningServer

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    root = tmp_path_factory.mktemp("root")
    inventory = f"machines:\n  here: {{connection: local, limit_process: 4, root: {root}, python: {sys.executable}}}\n"
    running = RunningServer(home, inventory)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Client:
    client = server.client()
    wait.until(lambda: [machine["state"] for machine in client.machines()] == ["ready"], timeout_s=120)
    return client


@pytest.fixture
def executor(client: Client) -> Iterator[Executor]:
    with Executor(client) as made:
        yield made


# --------------------------------------------------------------------------------------------------- CPython's own


def test_the_interpreters_own_tests_of_executors(client: Client) -> None:
    if not standard_executor.modules():
        pytest.skip("this interpreter came without its tests")
    result = standard_executor.run(client)
    assert result.testsRun >= 15
    assert result.wasSuccessful(), standard_executor.told(result)


PRIMES = [112272535095293, 112582705942171, 112272535095293, 115280095190773, 115797848077099, 1099726899285419]


def test_the_documented_prime_numbers(executor: Executor) -> None:
    """The example of ProcessPoolExecutor in the library's documentation."""

    def is_prime(n: int) -> bool:
        if n < 2:
            return False
        if n == 2:
            return True
        if n % 2 == 0:
            return False
        return all(n % i for i in range(3, math.isqrt(n) + 1, 2))

    assert list(zip(PRIMES, executor.map(is_prime, PRIMES), strict=True)) == [
        (112272535095293, True),
        (112582705942171, True),
        (112272535095293, True),
        (115280095190773, True),
        (115797848077099, True),
        (1099726899285419, False),
    ]


def test_the_documented_as_completed(executor: Executor) -> None:
    """The example of ThreadPoolExecutor, its pages being files: some are there, one is not."""

    def load(path: str) -> bytes:
        with open(path, "rb") as page:  # noqa: PTH123 - as in the example
            return page.read()

    pages = [str(Path(__file__)), "/nonexistent/some-made-up-domain", sys.executable]
    future_to_page = {executor.submit(load, page): page for page in pages}
    said = {}
    for future in concurrent.futures.as_completed(future_to_page, timeout=60):
        page = future_to_page[future]
        try:
            said[page] = len(future.result())
        except OSError as error:
            said[page] = f"generated an exception: {type(error).__name__}"
    assert said[pages[0]] == Path(__file__).stat().st_size
    assert said[pages[1]] == "generated an exception: FileNotFoundError"
    assert executor.submit(pow, 323, 1235).result() == 323**1235


def test_asyncio_takes_its_futures(executor: Executor) -> None:
    async def all_of_them() -> list[int]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(executor, neg, n) for n in range(5)))

    # On a thread of its own: browser tests leave a loop running in the main one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: asyncio.run(all_of_them())).result() == [0, -1, -2, -3, -4]


# ------------------------------------------------------------------------------------------------------------ joblib


@pytest.fixture
def backend(client: Client) -> Iterator[None]:
    register_joblib()
    with joblib.parallel_config("multijob", client=client):
        yield


def test_joblibs_documented_examples(backend: None) -> None:
    squares = joblib.Parallel(n_jobs=2)(joblib.delayed(math.sqrt)(i**2) for i in range(10))
    assert squares == [float(i) for i in range(10)]
    generator = joblib.Parallel(n_jobs=2, return_as="generator")(joblib.delayed(math.sqrt)(i**2) for i in range(6))
    assert next(generator) == 0.0
    assert list(generator) == [1.0, 2.0, 3.0, 4.0, 5.0]
    with joblib.Parallel() as parallel:
        accumulator, rounds = 0.0, 0
        while accumulator < 1000:
            accumulator += sum(parallel(joblib.delayed(math.sqrt)(accumulator + i**2) for i in range(5)))
            rounds += 1
    assert rounds > 3
    modulo = joblib.Parallel()(joblib.delayed(math.modf)(i / 2.0) for i in range(10))
    assert next(zip(*modulo, strict=True)) == (0.0, 0.5) * 5
    assert sorted(joblib.Parallel(return_as="generator_unordered")(joblib.delayed(neg)(i) for i in range(6))) == [
        -5,
        -4,
        -3,
        -2,
        -1,
        0,
    ]


def test_joblib_brings_exceptions_back(backend: None) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        joblib.Parallel(n_jobs=2)(joblib.delayed(divmod)(1, i) for i in (1, 0, 2))
    assert isinstance(raised.value.__cause__, JobFailed)


def test_joblib_gives_up_in_time(backend: None) -> None:
    with pytest.raises((TimeoutError, multiprocessing.TimeoutError)):
        joblib.Parallel(n_jobs=2, timeout=1)(joblib.delayed(time.sleep)(60) for _ in range(4))


# --------------------------------------------------------------------------------------------------- what is our own


def test_exceptions_come_back_as_they_are(client: Client) -> None:
    class Refused(ValueError):
        """Known to this process only."""

    def refuse(number: int) -> None:
        raise Refused(f"{number} is odd")

    with pytest.raises(Refused, match="3 is odd") as raised:
        client.submit(refuse, 3).result(timeout_s=60)
    cause = raised.value.__cause__
    assert isinstance(cause, JobFailed)
    assert (cause.machine_id, cause.attempt, cause.version, cause.reason) == ("here", 1, 0, "error")
    assert "in refuse" in cause.remote_traceback
    assert "Refused: 3 is odd" in cause.remote_traceback
    job = client.job(cause.job_id)
    assert (job.status, job.attempt) == (-1, 1), "an exception is final"


def test_exceptions_are_tried_again_where_that_is_asked(client: Client) -> None:
    job = client.using(limit_count=1).submit(divmod, 1, 0)
    assert isinstance(job.exception(timeout_s=90), ZeroDivisionError)
    assert job.refresh().attempt == 2


def test_an_exception_that_cannot_travel_comes_as_a_traceback(client: Client) -> None:
    def fail() -> None:
        class Stubborn(Exception):
            def __reduce__(self) -> str:
                raise TypeError("not me")

        raise Stubborn("here I stay")

    with pytest.raises(JobFailed, match="here I stay") as raised:
        client.submit(fail).result(timeout_s=60)
    assert raised.value.attempt == 1


def test_what_the_page_shows(client: Client) -> None:
    shown = client.submit(lambda: {"a": [1, 2.5, None]})
    assert shown.result(timeout_s=60) == {"a": [1, 2.5, None]}
    assert shown.refresh()["result"]["shown"] == {"a": [1, 2.5, None]}
    assert "test_what_the_page_shows" in shown.input["kwargs"]["name"]
    hidden = client.submit(lambda: {1, 2})
    assert hidden.result(timeout_s=60) == {1, 2}
    assert hidden.refresh()["result"].keys() == {"type", "pickle"}
    assert hidden["result"]["type"] == "builtins.set"
    for odd in (float("nan"), {"deep": [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}, "half \ud800", 10**5000):
        back = client.submit(lambda: odd).result(timeout_s=60)  # noqa: B023 - pickled at once
        assert back == odd or back != back


def test_maps(client: Client) -> None:
    bonus = 10
    assert list(client.map(lambda n: n + bonus, range(7), chunksize=3)) == [10, 11, 12, 13, 14, 15, 16]
    with pytest.raises(ZeroDivisionError):
        list(client.map(lambda n: 1 // n, [2, 1, 0]))
    with pytest.raises(Invalid, match="chunksize"):
        client.map("crawl", [1], chunksize=2)  # type: ignore[call-overload]


SHORT = 2000


def jobs_of(client: Client, executor: Executor) -> list[Result]:
    return list(client.results(executor.batch, timeout_s=60))


def test_short_calls_share_jobs(client: Client) -> None:
    with Executor(client) as executor:
        assert list(executor.map(neg, range(SHORT))) == [-n for n in range(SHORT)]
    rows = jobs_of(client, executor)
    assert sum(row.count or 0 for row in rows) == SHORT
    assert TRIAL_CALLS < len(rows) < SHORT


@pytest.mark.parametrize("asked", [{"limit_count": 0}, {"limit_count": 2}, {}], ids=["never", "twice", "chunksize"])
def test_each_call_has_a_job_of_its_own_where_that_matters(client: Client, asked: dict[str, int]) -> None:
    with Executor(client, **asked) as executor:  # type: ignore[arg-type]
        told = executor.map(neg, range(500)) if asked else executor.map(neg, range(500), chunksize=1)
        assert list(told) == [-n for n in range(500)]
    assert len(jobs_of(client, executor)) == 500


def test_what_was_answered_before_an_exception_is_given_first(client: Client, tmp_path: Path) -> None:
    """In the midst of calls that share a job; the calls after it are made, because nobody looks before the end."""
    made = tmp_path / "made"
    made.touch()
    bad = SHORT - 100

    def call(number: int) -> int:
        with open(made, "a") as file:  # noqa: PTH123 - in one write
            file.write(f"{number}\n")
        return number if number != bad else number // 0

    given = []
    with Executor(client) as executor:
        answers = executor.map(call, range(SHORT))
        wait.until(lambda: len(made.read_text().split()) == SHORT, what="every call", timeout_s=60)
        with pytest.raises(ZeroDivisionError) as raised:
            given.extend(answers)
    assert given == list(range(bad))
    assert isinstance(raised.value.__cause__, JobFailed)
    assert sorted(map(int, made.read_text().split())) == list(range(SHORT))


def test_calls_that_become_slow_do_not_wait_for_each_other(client: Client, tmp_path: Path) -> None:
    """Each call is made once, though jobs that were to make many end before they have."""
    made = tmp_path / "made"

    def call(number: int) -> int:
        with open(made, "a") as file:  # noqa: PTH123 - in one write
            file.write(f"{number}\n")
        time.sleep(0 if number < 1000 else 0.3)
        return number

    with Executor(client) as executor:
        assert list(executor.map(call, range(1040))) == list(range(1040))
    assert sorted(map(int, made.read_text().split())) == list(range(1040))
    assert all(sum(number >= 1000 for number in row.result["shown"]) <= 1 for row in jobs_of(client, executor))


def test_calls_are_made_while_their_arguments_are_read(client: Client, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.touch()

    def items() -> Iterator[int]:
        yield from range(3)
        wait.until(lambda: len(made.read_text()) >= 3, what="the calls before", timeout_s=60)
        yield 3

    def call(number: int) -> int:
        with open(made, "a") as file:  # noqa: PTH123 - in one write
            file.write("x")
        return -number

    with Executor(client) as executor:
        assert list(executor.map(call, items())) == [0, -1, -2, -3]


def test_an_iterable_that_fails_takes_back_what_has_not_begun(client: Client) -> None:
    def items() -> Iterator[int]:
        yield from range(3000)
        raise KeyError("no more")

    with Executor(client) as executor:
        with pytest.raises(KeyError, match="no more"):
            executor.map(neg, items())
        with pytest.raises(Invalid, match="cannot be pickled"):
            executor.map(neg, [1, (n for n in range(3))])
        with pytest.raises(Invalid, match="has 12,000,"):
            executor.map(len, [b"", b"x" * 12_000_000])
    assert all(row.ok or row.reason == "killed" for row in jobs_of(client, executor))


def test_a_few_long_calls_among_short_ones_hold_up_nothing(client: Client) -> None:
    """Four slots, three calls of four seconds: they run at the same time, and each call is made once."""
    long = (1000, 1200, 1400)

    def call(number: int) -> tuple[int, float, float]:
        began_s = time.monotonic()
        time.sleep(4 if number in long else 0.001)
        return number, began_s, time.monotonic()

    with Executor(client) as executor:
        made = list(executor.map(call, range(SHORT)))
    assert [number for number, _, _ in made] == list(range(SHORT))
    assert sum(row.count or 0 for row in jobs_of(client, executor)) == SHORT
    assert max(made[number][1] for number in long) < min(made[number][2] for number in long)


def test_large_answers_among_short_calls(client: Client) -> None:
    """What can be answered alone can be answered among others; what cannot fails by itself."""
    sizes = [10] * 300 + [6_200_000] + [10] * 20 + [7_000_000] + [10] * 20
    with Executor(client) as executor:
        answers = executor.map(bytes, sizes)
        for size in sizes[:321]:
            assert len(next(answers)) == size
        with pytest.raises(JobFailed, match="the limit is"):
            next(answers)


def test_a_map_that_nobody_waits_for_is_made(client: Client, tmp_path: Path) -> None:
    made = tmp_path / "made"

    def call(number: int) -> None:
        with open(made, "a") as file:  # noqa: PTH123 - in one write
            file.write(f"{number}\n")

    with Executor(client) as executor:
        executor.map(call, range(SHORT))
    assert sorted(map(int, made.read_text().split())) == list(range(SHORT))


def test_a_map_that_is_not_answered_in_time(client: Client) -> None:
    with Executor(client) as executor:
        answers = executor.map(time.sleep, [0, 20], timeout=3)
        assert next(answers) is None
        with pytest.raises(concurrent.futures.TimeoutError):
            next(answers)
        executor.cancel(running=True)


def test_a_map_that_nobody_wants_any_more_ends(client: Client) -> None:
    with Executor(client) as executor:
        answers = executor.map(neg, range(20_000))
        assert next(answers) == 0
        answers.close()  # type: ignore[attr-defined]
    assert all(row.ok or row.reason == "killed" for row in jobs_of(client, executor))


def test_cancelling_while_another_thread_submits(client: Client) -> None:
    with Executor(client, tag="nowhere") as executor, concurrent.futures.ThreadPoolExecutor(1) as thread:
        many = thread.submit(lambda: [executor.submit(neg, n) for n in range(2000)])
        while not many.done():
            executor.cancel()
        executor.cancel()
    assert all(future.cancelled() for future in many.result())


def test_cancelling_reaches_a_map_nobody_kept(client: Client) -> None:
    with Executor(client, tag="nowhere") as executor:
        executor.map(neg, range(2000))
        executor.cancel()
    assert {row.reason for row in jobs_of(client, executor)} <= {"killed"}


def test_a_callback_may_shut_down_or_leave(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Neither waits for itself, nor takes along what comes back with it."""
    executor = Executor(client)
    asked = threading.Event()
    first = executor.submit(time.sleep, 0.5)
    first.add_done_callback(lambda _: (executor.shutdown(), asked.set()))  # type: ignore[func-returns-value]
    first.add_done_callback(lambda _: sys.exit(3))
    others = [executor.submit(neg, n) for n in range(40)]
    assert [future.result(60) for future in others] == [-n for n in range(40)]
    assert asked.wait(60)
    wait.until(lambda: "exception calling a callback" in caplog.text, what="the callback's exit is told", timeout_s=60)


def test_nothing_is_kept_of_a_future_that_was_dropped(executor: Executor) -> None:
    future = executor.submit(bytes, 1000)
    future.result(60)
    kept = weakref.ref(future)
    del future
    wait.until(lambda: gc.collect() is not None and kept() is None, what="it is forgotten", timeout_s=60)


def test_the_longest_range_is_an_iterable(executor: Executor) -> None:
    assert list(executor.map(pow, [1, 2], range(10**30))) == [1, 2]


def test_answers_that_the_garbage_collector_finds_while_calls_are_sent(
    client: Client, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the thread that sends just those calls: it must not wait for itself."""
    mine, sending, dropped = executor._client, threading.Event(), threading.Event()
    post, kept, posts = mine._post_jobs, [], []

    def slowly(body: bytes, key: str) -> Any:
        posts.append(key)
        if len(posts) == 2:
            sending.set()
            assert dropped.wait(60)
            kept.clear()
        return post(body, key)

    monkeypatch.setattr(mine, "_post_jobs", slowly)
    answers = executor.map(time.sleep, [0.02] * 1000)
    assert next(answers) is None
    assert sending.wait(60)
    kept.append(answers)
    del answers
    dropped.set()
    assert executor.submit(pow, 2, 2).result(60) == 4


FORK_SCRIPT = """
import os, sys, time, multijob
executor = multijob.Executor(multijob.Client(sys.argv[1], sys.argv[2]), tag="nowhere")
future = executor.submit(pow, 2, 2)
while future.job_id is None:
    time.sleep(0.01)
child = os.fork()
if not child:
    try:
        executor.submit(pow, 2, 2)
    except RuntimeError as error:
        assert "forked" in str(error), error
        sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
executor.cancel()
"""


def test_a_child_of_fork_is_told_and_ends(server: RunningServer) -> None:
    token = (server.home / "token").read_text().strip()
    subprocess.run([sys.executable, "-c", FORK_SCRIPT, server.url, token], check=True, timeout=90)


EXIT_SCRIPT = """
import sys, time, multijob, multijob.executor, multijob.exchange
multijob.executor._FLUSH_S = 1
executor = multijob.Executor(multijob.Client(sys.argv[1], sys.argv[2]))
answers = executor.map(time.sleep, [0.02] * 3000)
next(answers)
multijob.exchange.persist = lambda act, patience_s, sleep=time.sleep: sleep(600)
while len(executor._exchange._sending) == 0:
    time.sleep(0.001)
"""


def test_a_process_ends_though_the_server_does_not_answer(server: RunningServer) -> None:
    """While calls are on their way whose answers were looked at, and are now forgotten with everything else."""
    token = (server.home / "token").read_text().strip()
    subprocess.run([sys.executable, "-c", EXIT_SCRIPT, server.url, token], check=True, timeout=60)


def test_a_large_function_travels_once(client: Client) -> None:
    table = list(range(500_000))
    before = {str(one.name) for one in client.job_types()}
    with Executor(client) as executor:
        assert list(executor.map(lambda n: table[n], [5, 6, 7])) == [5, 6, 7]
        assert list(executor.map(lambda n, m: table[n] + m, [5, 6], [1, 1])) == [6, 7]
        inputs = [job.refresh().input for job in client.jobs(batch=executor.batch)]
    assert all(len(str(one)) < 500 for one in inputs)
    new = {str(one.name) for one in client.job_types()} - before
    assert len(new) in (2, 3)
    assert all(name.startswith("_function_3_") for name in new)


def test_too_large_is_refused_before_it_is_sent(client: Client, executor: Executor) -> None:
    with pytest.raises(Invalid, match=r"arguments.* has 12,\d{3},\d{3} bytes pickled; the limit is 11,534,336"):
        executor.submit(len, b"x" * 12_000_000)
    with pytest.raises(Invalid, match="cannot be pickled"):
        client.submit(len, (n for n in range(3)))
    large = client.submit(bytes, 9_000_000)
    with pytest.raises(JobFailed, match="limit"):
        large.result(timeout_s=60)
    assert large.refresh().reason == "result_too_large"


def test_modules_by_value(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_here.py").write_text("FACTOR = 3\ndef times(n):\n    return n * FACTOR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(ModuleNotFoundError, match=r"by_value=\[only_here\]"):
        client.submit(only_here.times, 2).result(timeout_s=60)
    assert client.using(by_value=[only_here]).submit(only_here.times, 2).result(timeout_s=60) == 6
    with Executor(client, by_value=["only_here"]) as executor:
        assert list(executor.map(only_here.times, [1, 2])) == [3, 6]


def test_cancel_and_kill(client: Client) -> None:
    with Executor(client, limit_count=0) as executor:  # so that nothing waits on a machine
        futures = [executor.submit(time.sleep, 300) for _ in range(12)]
        try:
            wait.until(futures[0].running, what="the first call", timeout_s=60)
            assert not futures[0].cancel(), "it runs"
            assert futures[11].cancel()
            assert futures[11].cancelled()
            assert futures[0].cancel(running=True)
            assert futures[0].cancelled()
        finally:
            executor.cancel(running=True)
    assert all(future.cancelled() for future in futures)
    assert client.wait(executor.batch, timeout_s=60).failed == 12
    assert {job.reason for job in client.jobs(batch=executor.batch)} == {"killed"}


def test_shutdown_cancels_what_has_not_begun(client: Client) -> None:
    executor = Executor(client, limit_count=0)
    futures = [executor.submit(time.sleep, 1) for _ in range(40)]
    wait.until(futures[0].running, what="the first call", timeout_s=60)
    executor.shutdown(wait=True, cancel_futures=True)
    assert all(future.done() for future in futures)
    assert not futures[0].cancelled()
    assert futures[-1].cancelled()
    with pytest.raises(RuntimeError):
        executor.submit(pow, 2, 3)


def test_a_job_that_somebody_killed_or_deleted(client: Client) -> None:
    with Executor(client, tag="nowhere") as executor:
        killed, deleted = executor.submit(pow, 1, 1), executor.submit(pow, 1, 1)
        ids = wait.until(lambda: killed.job_id and deleted.job_id and (killed.job_id, deleted.job_id), timeout_s=30)
        client.kill(ids[0])
        with pytest.raises(JobFailed, match="killed"):
            killed.result(60)
        client.delete(ids[1])
        with pytest.raises(NotFound, match="was deleted"):
            deleted.result(60)


def test_functions_need_the_scope_publish(server: RunningServer, client: Client) -> None:
    said = client.call("POST", "/api/v1/tokens", json_body={"name": "few", "scopes": ["read", "submit"]})
    few = Client(server.url, token=said["token"])
    with Executor(few) as executor, pytest.raises(NotAllowed, match="publish"):
        executor.submit(pow, 2, 3)
    with pytest.raises(NotAllowed, match="publish"):
        few.submit(pow, 2, 3)
    client.submit(pow, 2, 3)
    with pytest.raises(NotAllowed, match="functions are code"):
        few.insert(client.function_type(), "f", "3.11")


def test_a_machine_of_another_python_gets_none(client: Client) -> None:
    """As if this process were of a Python that no machine has."""
    headers = {"Content-Type": "application/octet-stream"}
    other = client._http.json("POST", "/api/v1/functions", params={"python": "3.99"}, body=b"", headers=headers)
    job = client.job(client.insert(other["job_type"], "f", "3.99"))
    assert "asks for Python ==3.99" in wait.until(lambda: job.refresh().waiting_because, timeout_s=30)
    assert job.kill().changed == 1


def test_it_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    port = _free_port()
    inventory = f"machines:\n  here: {{connection: local, limit_process: 2, root: {tmp_path / 'root'}}}\n"
    server = RunningServer(tmp_path / "home", inventory, port=port)
    server.start()
    try:
        with Executor(server.client()) as executor:
            first = executor.submit(time.sleep, 3)
            wait.until(first.running, what="the first call", timeout_s=90)
            server.kill()
            later = executor.submit(pow, 2, 3)
            server.start()
            assert later.result(120) == 8
            assert first.result(120) is None
    finally:
        server.stop()


SCRIPT = """
import sys, multijob
executor = multijob.Executor(multijob.Client(sys.argv[1], sys.argv[2]), batch="left behind")
for number in range(50):
    executor.submit(pow, number, 2)
"""


def test_what_was_submitted_is_sent_though_the_process_ends(server: RunningServer, client: Client) -> None:
    token = (server.home / "token").read_text().strip()
    subprocess.run([sys.executable, "-c", SCRIPT, server.url, token], check=True, timeout=90)
    assert client.wait("left behind", timeout_s=90).done == 50


MAP_SCRIPT = """
import sys, multijob
from operator import neg
multijob.Executor(multijob.Client(sys.argv[1], sys.argv[2]), batch="map left behind").map(neg, range(5000))
"""


def test_a_map_is_sent_though_the_process_ends(server: RunningServer, client: Client) -> None:
    """Also what would have waited for the first to come back."""
    token = (server.home / "token").read_text().strip()
    subprocess.run([sys.executable, "-c", MAP_SCRIPT, server.url, token], check=True, timeout=90)
    client.wait("map left behind", timeout_s=90)
    assert sum(row.count or 0 for row in client.results("map left behind", wait=False)) == 5000


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
