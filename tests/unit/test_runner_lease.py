"""lease: an exclusive attempt ends before the server can have given it to somebody else. Values only."""

import pytest

from remote_runner.lease import PING_LONGEST_S, PINGS_KEPT, Lease


def a_lease(silence_s: "float | None" = 100.0) -> Lease:
    lease = Lease(0.0)
    lease.change(silence_s)
    lease.channel_opened(0.0, is_empty=True)
    return lease


def test_without_a_bound_nothing_is_pinged_and_nothing_ends() -> None:
    lease = a_lease(None)
    assert lease.ping(1.0) is None
    assert lease.left_s(1e9) > 0


def test_an_answer_counts_from_when_the_ping_was_sent() -> None:
    lease = a_lease()
    number = lease.ping(5.0)
    assert number == 1
    assert lease.left_s(60.0) == 40.0
    lease.pong(number)
    assert lease.left_s(60.0) == 45.0


def test_pings_are_spaced() -> None:
    lease = a_lease()
    assert lease.ping(0.0) == 1
    assert lease.ping(PING_LONGEST_S - 0.1) is None
    assert lease.ping(PING_LONGEST_S) == 2
    short = a_lease(2.0)
    assert short.ping(0.0) == 1
    assert short.ping(0.5) == 2


def test_an_answer_to_what_was_never_sent_or_long_ago_means_nothing() -> None:
    lease = a_lease()
    for number in range(PINGS_KEPT + 2):
        lease.ping(number * 10.0)
    lease.pong(4711)
    lease.pong(1)
    assert lease.left_s(100.0) == 0.0


def test_answers_out_of_order_never_shorten_it() -> None:
    lease = a_lease()
    first, second = lease.ping(0.0), lease.ping(10.0)
    assert first is not None
    assert second is not None
    lease.pong(second)
    lease.pong(first)
    assert lease.left_s(10.0) == 100.0


@pytest.mark.parametrize(("is_empty", "left_s"), [(True, 100.0), (False, -100.0)])
def test_a_new_channel_renews_it_only_while_nothing_is_held(is_empty: bool, left_s: float) -> None:
    lease = a_lease()
    lease.channel_opened(200.0, is_empty=is_empty)
    assert lease.left_s(200.0) == left_s


def test_it_says_when_to_look_again() -> None:
    lease = a_lease()
    lease.ping(0.0)
    assert lease.wait_s(4.0, has_channel=True) == 6.0
    assert lease.wait_s(96.0, has_channel=False) == 4.0
    assert lease.wait_s(500.0, has_channel=False) == PING_LONGEST_S
