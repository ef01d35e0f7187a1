"""Whether the store takes writes is found out by writing."""

from pathlib import Path

from tests.support import store_kit


def test_it_really_writes(tmp_path: Path) -> None:
    with store_kit.a_room(tmp_path) as room:
        assert room.store.healthy()
        first = room.service.meta("healthy_at")
        assert room.store.healthy()
        assert first is not None
        assert room.service.meta("healthy_at") != first
