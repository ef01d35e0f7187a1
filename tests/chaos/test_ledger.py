"""The balance itself: it is quiet about an honest book, and names every kind of mistake."""

from collections.abc import Callable

import pytest

from tests.chaos.ledger import AttemptRow, Book, JobRow, Side, Wish, balance, nonce_in, read_side

SIDE = """start aaa n1
end aaa n1 ok
start bbb n2
start bbb n3
end bbb n3 ok
return 2 2 bbb n3 start
return 2 2 bbb n3 ok
"""


class Case:
    """Two jobs: one went well at once; one died first, and has a return_main."""

    def __init__(self) -> None:
        self.book = Book()
        self.book.wishes = {"aaa": Wish("aaa", "quick", 0, "ok"), "bbb": Wish("bbb", "back", 1, "ok")}
        self.book.acknowledged = {1: "aaa", 2: "bbb"}
        self.book.budgets.update({"aaa": 1, "bbb": 1})
        self.book.reported = {(1, 1), (2, 2)}
        self.side = read_side(SIDE)
        self.jobs = [JobRow(1, "aaa", 3, "", 1, 1, 0, 0), JobRow(2, "bbb", 3, "", 2, 2, 1, 0)]
        self.attempts = [
            AttemptRow(1, 1, "", True, "aaa", "n1"),
            AttemptRow(2, 1, "died", True, "", ""),
            AttemptRow(2, 2, "", True, "bbb", "n3"),
        ]


def test_an_honest_book_balances() -> None:
    case = Case()
    assert balance(case.book, case.side, case.jobs, case.attempts)


def lose_a_job(case: Case) -> None:
    del case.jobs[0], case.attempts[0]


def lose_an_end(case: Case) -> None:
    del case.attempts[0]


def leave_one_running(case: Case) -> None:
    case.jobs[0] = case.jobs[0]._replace(status=1)


def forge_a_result(case: Case) -> None:
    case.attempts[0] = case.attempts[0]._replace(nonce="n9")


def forget_the_return(case: Case) -> None:
    case.side.returned.clear()


def begin_too_often(case: Case) -> None:
    case.side.starts["aaa"].append("n4")


def count_too_many_starts(case: Case) -> None:
    case.jobs[0] = case.jobs[0]._replace(starts=2)


def store_it_twice(case: Case) -> None:
    case.jobs.append(case.jobs[0]._replace(job_id=3))
    case.attempts.append(case.attempts[0]._replace(job_id=3))


def give_one_result_to_two(case: Case) -> None:
    case.attempts[1] = case.attempts[1]._replace(reason="", token="bbb", nonce="n3")


def return_without_end(case: Case) -> None:
    case.side.returns[2, 2] = 6


def fail_without_cause(case: Case) -> None:
    case.jobs[0] = case.jobs[0]._replace(status=-1, reason="error")


def drop_a_finished_run(case: Case) -> None:
    case.side.starts["bbb"].append("n5")
    case.side.ends["n5"] = ("bbb", "ok")
    case.side.ends["n2"] = ("bbb", "ok")


@pytest.mark.parametrize(
    ("break_it", "where"),
    [
        (lose_a_job, "lost"),
        (lose_an_end, "lost"),
        (leave_one_running, "lost"),
        (forge_a_result, "lost"),
        (forget_the_return, "lost"),
        (drop_a_finished_run, "lost"),
        (begin_too_often, "twice"),
        (count_too_many_starts, "twice"),
        (store_it_twice, "twice"),
        (give_one_result_to_two, "twice"),
        (return_without_end, "twice"),
        (fail_without_cause, "wrong"),
    ],
)
def test_every_mistake_is_named(break_it: Callable[[Case], None], where: str) -> None:
    case = Case()
    break_it(case)
    found = balance(case.book, case.side, case.jobs, case.attempts)
    assert not found
    assert getattr(found, where), found


def test_what_was_deleted_or_is_in_doubt_is_nobodys_mistake() -> None:
    case = Case()
    case.book.deleted = {1}
    lose_a_job(case)
    case.book.doubtful_copies["bbb"] = 1
    case.book.budgets["bbb"] = 2
    case.jobs.append(JobRow(3, "bbb", -1, "lost", 2, 2, 1, 0))
    case.attempts += [AttemptRow(3, 1, "lost", True, "", ""), AttemptRow(3, 2, "lost", True, "", "")]
    assert balance(case.book, case.side, case.jobs, case.attempts)


def test_reading() -> None:
    assert nonce_in('{"token": "aaa", "nonce": "n1"}', None) == ("aaa", "n1")
    assert nonce_in(None, "Traceback …\nRuntimeError: on purpose: n7\n") == ("", "n7")
    assert nonce_in(None, None) == ("", "")
    assert read_side("start aaa\n").garbled == ["start aaa"]
    assert isinstance(read_side(""), Side)
