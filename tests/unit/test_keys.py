"""keys.RunnerKeys: a key lives as long as its runner, and machines speak for their own runners only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.node.keys import RunnerKeys
from tests.support import store_kit
from tests.support.store_kit import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with store_kit.a_room(tmp_path) as made:
        yield made


@pytest.fixture
def keys(room: Room) -> RunnerKeys:
    return RunnerKeys(room.service, b"secret")


def test_a_restarted_server_knows_its_runners(room: Room, keys: RunnerKeys) -> None:
    runner, key = keys.new_runner("m1")
    found = RunnerKeys(room.service, b"secret").of(runner)
    assert found is not None
    assert (found.machine_id, found.key) == ("m1", key)
    assert keys.of("unknown") is None


def test_a_key_that_was_not_taken_ends(keys: RunnerKeys) -> None:
    living, _ = keys.new_runner("m1")
    keys.runner_up("m1", living, living)
    offered, _ = keys.new_runner("m1")
    keys.runner_up("m1", offered, living)
    assert keys.of(offered) is None
    assert keys.of(living) is not None


def test_the_key_of_a_runner_that_another_one_followed_ends_also_after_a_restart(room: Room, keys: RunnerKeys) -> None:
    old, _ = keys.new_runner("m1")
    keys.runner_up("m1", old, old)
    keys = RunnerKeys(room.service, b"secret")
    assert keys.of(old) is not None
    new, _ = keys.new_runner("m1")
    keys.runner_up("m1", new, new)
    assert keys.of(old) is None
    assert keys.of(new) is not None


def test_a_goodbye_ends_a_key_at_once(keys: RunnerKeys) -> None:
    runner, _ = keys.new_runner("m1")
    assert keys.of(runner) is not None
    keys.runner_left("m1", runner)
    assert keys.of(runner) is None


def test_a_machine_cannot_end_another_one_s_key(keys: RunnerKeys) -> None:
    theirs, _ = keys.new_runner("m2")
    ours, _ = keys.new_runner("m1")
    keys.runner_left("m1", theirs)
    keys.runner_up("m1", ours, theirs)
    next_one, _ = keys.new_runner("m1")
    keys.runner_up("m1", next_one, next_one)
    assert keys.of(theirs) is not None
