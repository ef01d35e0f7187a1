"""deadlines.deadline: what is too late is ended once, from another thread, and nothing stays behind."""

import threading
import time

import pytest

from orchestrator.ssh.deadlines import LOOK_S, deadline
from tests.support import wait

pytestmark = pytest.mark.usefixtures("leak_check")


def test_what_ends_in_time_is_left_alone() -> None:
    called = threading.Event()
    for _ in range(100):
        with deadline(LOOK_S, called.set):
            pass
    assert not called.wait(LOOK_S * 3)


def test_what_is_late_is_ended_from_another_thread() -> None:
    callers: list[threading.Thread] = []
    with deadline(0.05, lambda: callers.append(threading.current_thread())):
        wait.until(lambda: bool(callers), what="the deadline's call")
    with deadline(-1, lambda: callers.append(threading.current_thread())):
        wait.until(lambda: len(callers) == 2, what="the call of a deadline that had passed")
    assert threading.current_thread() not in callers


def test_a_sooner_deadline_is_not_held_up_by_a_later_one_nor_by_one_that_takes_long() -> None:
    slow, later, sooner = threading.Event(), threading.Event(), threading.Event()
    with deadline(60, later.set), deadline(0, lambda: bool(slow.wait(60))):
        began_s = time.monotonic()
        with deadline(LOOK_S / 10, sooner.set):
            assert sooner.wait(30)
        assert time.monotonic() - began_s < 30
        slow.set()
    assert not later.is_set()


def test_where_no_thread_is_to_be_had_what_is_late_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "deadline-passed":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    for _ in range(2):
        called = threading.Event()
        with deadline(0, called.set):
            assert called.wait(30)


def test_many_at_once_share_one_thread() -> None:
    inside, leave = threading.Barrier(21), threading.Event()

    def watched() -> None:
        with deadline(60, lambda: None):
            inside.wait(60)
            leave.wait(60)

    threads = [threading.Thread(target=watched) for _ in range(20)]
    for thread in threads:
        thread.start()
    inside.wait(60)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("deadline")] == ["deadlines"]
    leave.set()
    for thread in threads:
        thread.join()
