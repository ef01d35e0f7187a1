"""Records wait in order until they are stored, the journal gives its space back, and the route is chosen well."""

import json
from pathlib import Path

import pytest

from remote_runner import outbox, protocol
from remote_runner.journal import Journal, path_of
from remote_runner.outbox import CHANNEL, HTTP, Outbox, Route


@pytest.fixture
def box(tmp_path: Path) -> tuple[Journal, Outbox]:
    lines = Journal(str(tmp_path), "one")
    return lines, Outbox(lines)


def size_of(folder: Path) -> int:
    return Path(path_of(str(folder), "one")).stat().st_size


def seqs(texts: list[bytes]) -> list[int]:
    return [json.loads(text)[0] for text in texts]


def test_a_batch_is_what_the_wire_expects(box: tuple[Journal, Outbox]) -> None:
    lines, out = box
    out.add(b"end", 7, 2, b'{"ok":true,"result":"\\"x\\""}')
    lines.flush()
    report = json.loads(outbox.report_body("r1", out.batch()))
    assert (report["v"], report["runner"]) == (protocol.VERSION, "r1")
    (record,) = protocol.decode_records(report["records"])
    assert record == protocol.Record(1, "end", 7, 2, {"ok": True, "result": '"x"'})
    (message,) = protocol.Decoder().feed(outbox.records_frame("r1", out.batch()))
    assert message["t"] == "records"
    assert protocol.decode_records(message["records"]) == [record]


def test_batches_are_bounded_and_go_on_after_stored(box: tuple[Journal, Outbox]) -> None:
    lines, out = box
    for job in range(protocol.REPORT_LIMIT_RECORDS + 5):
        out.add(b"end", job, 1, b"{}")
    lines.flush()
    assert len(out.batch()) == protocol.REPORT_LIMIT_RECORDS
    out.stored(3)
    assert seqs(out.batch())[0] == 4
    out.stored(protocol.REPORT_LIMIT_RECORDS + 5)
    assert len(out) == 0


def test_large_records_wait_on_disk_and_travel_alone(box: tuple[Journal, Outbox]) -> None:
    lines, out = box
    large = b'{"result":"%s"}' % (b"x" * protocol.REPORT_TARGET_BYTES)
    out.add(b"end", 1, 1, b"{}")
    out.add(b"end", 2, 1, large)
    out.add(b"end", 3, 1, b"{}")
    lines.flush()
    assert seqs(out.batch()) == [1]
    out.stored(1)
    assert out.batch() == [b'[2,"end",2,1,' + large + b"]"]
    assert out.ended() == [(2, 1), (3, 1)]


def test_nothing_left_empties_the_journal(box: tuple[Journal, Outbox], tmp_path: Path) -> None:
    lines, out = box
    lines.flush()
    size = size_of(tmp_path)
    out.add(b"end", 1, 1, b"{}")
    lines.flush()
    out.stored(1)
    out.tidy(lambda: [(2, 1)])
    assert size_of(tmp_path) > size
    out.tidy(list)
    assert size_of(tmp_path) == size
    out.add(b"end", 2, 1, b"{}")
    lines.flush()
    assert seqs(out.batch()) == [2]


def test_waste_is_written_away_and_what_is_kept_stays(
    box: tuple[Journal, Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WASTE_BYTES", 1000)
    monkeypatch.setattr(outbox, "IN_MEMORY_BYTES", 100)
    lines, out = box
    for job in range(1, 101):
        out.add(b"end", job, 1, b'{"result":"%s"}' % (b"%03d" % job * 60))
    lines.flush()
    before = out.batch()
    out.stored(90)
    out.tidy(lambda: [(500, 1)])
    assert size_of(tmp_path) < 4000
    assert out.batch() == before[90:]
    content = Path(path_of(str(tmp_path), "one")).read_bytes()
    assert b'{"held":[[500,1]]}\n' in content
    out.add(b"end", 500, 1, b"{}")
    lines.flush()
    assert seqs(out.batch())[-1] == 101


def test_routes() -> None:
    route = Route("http://here/report")
    assert route.choose(0.0, False) == HTTP
    route.failed(0.0)
    assert route.choose(0.1, True) is None
    assert route.choose(0.2, True) == HTTP
    route.failed(0.2)
    route.failed(0.6)
    assert route.choose(0.7, True) == CHANNEL
    assert route.choose(0.7, False) is None
    assert route.choose(1.4, True) == HTTP
    for at in range(20):
        route.failed(100.0 + at)
    assert route.wait_s(119.0) == outbox.RETRY_LAST_S
    route.succeeded()
    assert route.failures == 0
    route.change(None)
    assert route.choose(0.0, False) is None
    assert route.choose(0.0, True) == CHANNEL
