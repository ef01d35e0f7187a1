"""Filters: what people write, which jobs it means, and what actions do to those."""

import pytest

from jobs import filters
from jobs.errors import InvalidInput
from jobs.model import Action, Choice, JobFilter, Sort
from jobs.status import Status
from jobs.store import browse
from tests.support.store_kit import a_room, failed, ok

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("asked", "means"),
    [
        ({}, JobFilter()),
        ({"status": "", "job_type": None}, JobFilter()),
        ({"status": "done,-1"}, JobFilter(status=frozenset({Status.DONE, Status.FAILED}))),
        ({"status": 3}, JobFilter(status=frozenset({Status.DONE}))),
        ({"status": "!done, failed"}, JobFilter(status=frozenset(Status) - {Status.DONE, Status.FAILED})),
        ({"status": "!"}, JobFilter()),
        ({"job_type": "a"}, JobFilter(job_type=Choice(frozenset({"a"})))),
        ({"batch": "a,b"}, JobFilter(batch=Choice(frozenset({"a", "b"})))),
        ({"machine_id": "!gpu-3"}, JobFilter(machine_id=Choice(frozenset({"gpu-3"}), without=True))),
        ({"machine_id": "!a,!b"}, JobFilter(machine_id=Choice(frozenset({"a", "b"}), without=True))),
        ({"tag": ""}, JobFilter(tag=Choice(frozenset({""})))),
        ({"version": "1,-1"}, JobFilter(versions=frozenset({1, -1}))),
        ({"ids": "3,4"}, JobFilter(ids=[3, 4])),
        ({"ids": [3, 4]}, JobFilter(ids=[3, 4])),
        ({"ids": 3}, JobFilter(ids=[3])),
        ({"cleared": "1"}, JobFilter(cleared=True)),
        ({"q": " b 7 "}, JobFilter(q="b 7")),
        ({"q": 17}, JobFilter(q="17")),
        ({"since": "1700000000.5", "until": 1800000000}, JobFilter(since=1700000000.5, until=1800000000.0)),
        ({"since": "2026-11-22T08:00:00Z"}, JobFilter(since=1795334400.0)),
        ({"since": "2026-11-22 16:00:00+08:00"}, JobFilter(since=1795334400.0)),
        ({"since": "2026-11-22"}, JobFilter(since=1795305600.0)),
        ({"since": "2h", "until": "90s"}, JobFilter(since=NOW - 7200, until=NOW - 90)),
        ({"until": "7d"}, JobFilter(until=NOW - 7 * 86400)),
    ],
)
def test_the_grammar(asked, means):
    assert filters.parse(asked, now=NOW) == means


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": "odd"}, "status"),
        ({"status": "!0,1,2,3,-1,-2"}, "status"),
        ({"batch": "a,!b"}, "batch"),
        ({"batch": ["a"]}, "batch"),
        ({"batch": True}, "batch"),
        ({"tag": "a\0b"}, "tag"),
        ({"tag": "\ud800"}, "tag"),
        ({"machine_id": "x" * 65}, "machine_id"),
        ({"job_type": ",".join("a" * 101)}, "job_type"),
        ({"version": "!1"}, "version"),
        ({"version": "x"}, "version"),
        ({"ids": "1,x"}, "ids"),
        ({"ids": [True]}, "ids"),
        ({"ids": [-1]}, "ids"),
        ({"ids": [2**60]}, "ids"),
        ({"cleared": "maybe"}, "cleared"),
        ({"colour": "red"}, "colour"),
        ({"q": ""}, "q"),
        ({"q": "a,b"}, "q"),
        ({"q": "x" * 65}, "q"),
        ({"since": "yesterday"}, "since"),
        ({"since": "nan"}, "since"),
        ({"since": -1}, "since"),
        ({"since": True}, "since"),
        ({"until": "1e300"}, "until"),
        ({"since": "1h", "until": "2h"}, "until"),
    ],
)
def test_what_is_not_of_the_grammar_is_named(asked, field):
    with pytest.raises(InvalidInput) as caught:
        filters.parse(asked)
    assert caught.value.field == field


@pytest.fixture
def room(tmp_path):
    """Jobs 1 to 6: done on m1, failed on m2, running on m2, three waiting (one of type mail, tagged gpu)."""
    with a_room(tmp_path) as room:
        room.job_type()
        room.job_type("mail")
        room.submit(5, batch="b1", limit_count=0)
        room.submit(1, job_type="mail", batch="b2", tag="gpu")
        room.claim(1)
        room.claim(2, 3, machine="m2")
        room.report(("end", 1, 1, ok()))
        room.report(("end", 2, 1, failed()), machine="m2")
        yield room


FILTERS = [
    ({"q": "4"}, [4]),
    ({"q": "b2"}, [6]),
    ({"q": "nothing"}, []),
    ({"since": "1799999999.5"}, [1, 2, 3, 4, 5, 6]),
    ({"since": "1800000000.5"}, []),
    ({"until": "1800000000"}, []),
    ({"until": "1800000001", "status": "waiting"}, [4, 5, 6]),
    ({"job_type": "crawl"}, [1, 2, 3, 4, 5]),
    ({"job_type": "!crawl"}, [6]),
    ({"job_type": "crawl,mail", "status": "waiting"}, [4, 5, 6]),
    ({"status": "!waiting"}, [1, 2, 3]),
    ({"status": "failed,return_failed"}, [2]),
    ({"batch": "b2"}, [6]),
    ({"batch": "!b2", "status": "0"}, [4, 5]),
    ({"machine_id": "m2"}, [2, 3]),
    ({"machine_id": "!m1,m2"}, [4, 5, 6]),
    ({"machine_id": "!"}, [1, 2, 3]),
    ({"tag": "gpu"}, [6]),
    ({"tag": ""}, [1, 2, 3, 4, 5]),
    ({"version": "0"}, [1, 2, 3]),
    ({"ids": "2,4,99"}, [2, 4]),
    ({"ids": "2,4", "status": "failed"}, [2]),
    ({"cleared": "1"}, []),
]


@pytest.mark.parametrize(("asked", "ids"), FILTERS)
def test_which_jobs_a_filter_means(room, asked, ids):
    chosen = filters.parse(asked)
    assert sorted(one.job_id for one in room.service.jobs(chosen).jobs) == ids
    rows, total = room.service.listed(chosen, limit=100)
    assert [row.job.job_id for row in rows] == ids[::-1]
    assert total == len(ids)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(("asked", "ids"), FILTERS)
def test_what_is_foreseen_is_what_happens(room, action, asked, ids):
    chosen = filters.parse(asked)
    foreseen = room.service.foresee(action, chosen)
    done = room.service.act(action, chosen)
    assert foreseen.matched == len(ids)
    assert foreseen == done.result
    assert len(done.ids) == (len(ids) if action == Action.COPY else 0)


def test_an_action_needs_a_condition(room):
    for asked in ({}, {"status": ""}, {"status": "!"}):
        for act in (room.service.kill, room.service.delete, lambda one: room.service.foresee(Action.KILL, one)):
            with pytest.raises(InvalidInput, match="at least one condition"):
                act(filters.parse(asked))
    assert room.service.total(JobFilter()) == 6


def test_copies_that_fit_the_filter_are_not_copied_again(room):
    assert len(room.service.copy(JobFilter(job_type="crawl")).ids) == 5
    room.submit(1200, batch="big")
    assert len(room.service.copy(JobFilter(batch="big")).ids) == 1200
    assert room.service.total(JobFilter(batch="big")) == 2400


def test_more_ids_than_one_statement_takes(room):
    ids = room.submit(1200)
    assert room.service.foresee(Action.KILL, JobFilter(ids=ids * 2)).matched == 1200
    assert room.service.kill(JobFilter(ids=ids * 2)).changed == 1200


def test_a_failure_is_found_by_its_fingerprint(room):
    ((fingerprint,),) = room.sql("SELECT fingerprint FROM jobs WHERE id = 2")
    assert [job.job_id for job in room.service.jobs(filters.parse({"q": fingerprint})).jobs] == [2]


def test_a_wrong_sort_names_the_right_ones():
    with pytest.raises(InvalidInput, match="must be one of id, -id, updated_at"):
        filters.sort("name")
    assert filters.sort(None) == Sort.ID_DOWN


@pytest.mark.parametrize("order", list(Sort))
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_sorted_pages_follow_each_other_and_leave_nobody_out(room, order, size):
    room.sql("UPDATE jobs SET updated_at = 1800000000 + id % 3, spend_s = (id % 2) * 0.1")
    jobs = {job.job_id: job for job in room.service.jobs(size=100).jobs}
    seen, after = [], None
    while True:
        page = room.service.jobs(JobFilter(), size, after, order)
        seen += [job.job_id for job in page.jobs]
        after = page.after if order.column == "id" else page.place
        if after is None:
            break
    column = {"id": "job_id"}.get(order.column, order.column)
    expected = sorted(jobs, key=lambda one: (getattr(jobs[one], column), one), reverse=order.down)
    assert seen == expected


@pytest.mark.parametrize("order", [Sort.ID_DOWN, Sort("id")])
def test_pages_of_what_runs_and_of_what_is_done_follow_each_other(room, order):
    jobs = room.submit(9)
    room.claim(*jobs[2:8])
    room.report(*[("end", job, 1, ok()) for job in jobs[4:6]])
    for word in ("running", "done"):
        chosen = filters.parse({"status": word})
        whole = [job.job_id for job in room.service.jobs(chosen, 100, None, order).jobs]
        status = filters.STATUS_WORDS[word]
        expected = [row[0] for row in room.sql("SELECT id FROM jobs WHERE status = ? ORDER BY id", [int(status)])]
        assert whole == (expected[::-1] if order.down else expected)
        seen, after = [], None
        while (page := room.service.jobs(chosen, 1, after, order)).jobs:
            seen += [job.job_id for job in page.jobs]
            after = page.after
        assert seen == whole


# The plans of a database with few rows say nothing: what matters is that each condition may use the index it has.
@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"batch": "b1"}, "jobs_batch"),
        ({"status": "failed"}, "jobs_failed"),
        ({"status": "running"}, "jobs_open"),
        ({"status": "running", "machine_id": "m1,m2"}, "jobs_open"),
        ({"status": "returning", "tag": "gpu"}, "jobs_worked"),
        ({"status": "done"}, "jobs_worked"),
        ({"status": "done", "batch": "b1"}, "jobs_batch"),
        ({"q": "b1"}, "jobs_batch"),
        ({"q": "17"}, "PRIMARY KEY"),
        ({"q": "0123456789abcdef"}, "jobs_fingerprint"),
    ],
)
def test_conditions_use_their_indexes(room, asked, index):
    chosen = filters.parse(asked)
    with room.store.read() as conn:
        query = browse._filtered(browse._JOB, chosen).order_by(browse._number(conn, chosen).desc()).limit(50)
        compiled = query.compile(dialect=conn.dialect, compile_kwargs={"render_postcompile": True})
        values = tuple(compiled.params[name] for name in compiled.positiontup)
        plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
    assert any(index in step for step in plan), plan
    assert not any(step == "SCAN jobs" for step in plan), plan
