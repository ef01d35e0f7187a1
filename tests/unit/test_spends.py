"""How long jobs take: a histogram that costs a number a job, and percentiles within 3 % of the exact ones."""

import random

import pytest

from jobs import spends
from jobs.model import Action, JobFilter
from tests.support.store_kit import a_room, failed, ok


def test_steps_are_where_they_should_be():
    assert spends.step_of(0) == spends.step_of(spends.LEAST_S) == 0
    assert spends.step_of(spends.LEAST_S * 2) == spends.STEPS_A_DOUBLING
    assert spends.step_of(1e30) == spends.STEPS
    for seconds in (0.00011, 0.5, 1.0, 59.9, 86400.0):
        assert spends.seconds_of(spends.step_of(seconds)) == pytest.approx(seconds, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_within_three_percent(seed):
    chance = random.Random(seed)  # noqa: S311  (a test's dice)
    took = sorted(chance.lognormvariate(0, 2) for _ in range(1000))
    steps: dict[int, int] = {}
    for seconds in took:
        steps[spends.step_of(seconds)] = steps.get(spends.step_of(seconds), 0) + 1
    exact = [took[499], took[949], took[989]]
    assert list(spends.percentiles(steps)) == pytest.approx(exact, rel=0.03)


def test_without_jobs_there_are_none():
    assert spends.percentiles({}) == spends.percentiles({3: 0}) == spends.NONE


@pytest.fixture
def room(tmp_path, database):
    with a_room(tmp_path, database) as room:
        room.job_type()
        room.job_type("mail", return_main=True)
        yield room


def finish(room, *took: float, **wishes) -> list[int]:
    jobs = room.submit(len(took), **wishes)
    room.claim(*jobs)
    room.report(*(("end", job, 1, ok(spend_s=seconds)) for job, seconds in zip(jobs, took, strict=True)))
    return jobs


def test_summaries_tell_rate_mean_and_percentiles(room):
    finish(room, *(0.01 * n for n in range(1, 101)), batch="b1")
    finish(room, 30.0, batch="b2")
    (lost,) = room.submit(1, batch="b2", limit_count=0)
    room.claim(lost)
    room.report(("end", lost, 1, failed()))
    first, second = room.service.summary("crawl")
    assert (first.success_rate, second.success_rate) == (1.0, 0.5)
    assert first.mean_s == pytest.approx(0.505)
    assert list(first.percentiles) == pytest.approx([0.5, 0.95, 0.99], rel=0.03)
    assert list(second.percentiles) == pytest.approx([30.0] * 3, rel=0.03)
    (together,) = room.service.summary("crawl", by_batch=False)
    assert together.percentiles.p50_s == pytest.approx(0.51, rel=0.03)
    hours = room.service.hour_percentiles(0)
    assert hours[int(room.clock.now) // 3600] == together.percentiles


def test_what_is_rerun_deleted_or_cleared_is_counted_no_more_and_no_less(room):
    jobs = finish(room, 1.0, 2.0, 4.0, batch="b1")
    room.service.rerun([jobs[0]])
    room.service.delete([jobs[1]])
    room.clock.forward(7200)
    room.service.clear([jobs[2]])
    assert list(room.service.summary("crawl")[0].percentiles) == pytest.approx([4.0] * 3, rel=0.03)
    hours = {hour: one for hour, one in room.service.hour_percentiles(0).items() if one.p50_s is not None}
    assert list(hours) == [int(room.clock.now) // 3600]
    room.service.act(Action.DELETE, JobFilter(job_type="crawl"))
    room.service.housekeeping()
    assert (
        room.sql("SELECT count(*) FROM batch_spends")[0][0] == room.sql("SELECT count(*) FROM hour_spends")[0][0] == 0
    )


def test_a_job_is_counted_once_its_return_main_is_done(room):
    (job,) = finish(room, 1.0)
    (mail,) = room.submit(1, job_type="mail")
    room.claim(mail)
    room.report(("end", mail, 1, ok(spend_s=9.0, return_data="1")))
    assert room.service.hour_percentiles(0)[int(room.clock.now) // 3600].p99_s == pytest.approx(1.0, rel=0.03)
    (pending,) = room.service.take_returns(10)
    room.returned(pending.job_id, pending.attempt)
    assert room.service.hour_percentiles(0)[int(room.clock.now) // 3600].p99_s == pytest.approx(9.0, rel=0.03)
    assert room.service.job(job).job.spend_s == 1.0
