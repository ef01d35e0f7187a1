"""Samples of everything that travels, kept for ever: what an older end sends must always be understood."""

import json
from pathlib import Path
from typing import Any

import pytest

from remote_runner import names, protocol
from remote_runner.protocol import Assignment, Decoder, ProtocolError, Record, Version

SAMPLES = sorted((Path(__file__).parents[1] / "wire" / "v1").glob("*.json"))


def load(name: str) -> Any:
    return json.loads((Path(__file__).parents[1] / "wire" / "v1" / f"{name}.json").read_text())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_travels_as_a_frame(path: Path) -> None:
    message = dict(json.loads(path.read_text()))
    message.setdefault("t", "sample")
    frame = protocol.encode(message)
    assert Decoder().feed(frame) == [message]
    decoder = Decoder()
    assert [found for at in range(len(frame)) for found in decoder.feed(frame[at : at + 1])] == [message]


def test_there_is_a_sample_of_every_kind() -> None:
    kinds = {json.loads(path.read_text()).get("t") for path in SAMPLES}
    documented = {"hello", "versions", "assign", "recall", "kill", "limit", "route", "stored", "leave"}
    assert kinds >= documented | {"pong", "ping", "records", "trouble", "leaving"}


@pytest.mark.parametrize("name", ["records", "report"])
def test_records_decode(name: str) -> None:
    found = protocol.decode_records(load(name)["records"])
    assert [record.kind for record in found] == ["start", "end", "end", "end", "end", "end", "back"]
    assert json.loads(found[1].body["result"]) == "😀"


def test_values_decode() -> None:
    versions = {ref: names.check_version(Version(*row)) for ref, row in load("versions")["versions"].items()}
    assert versions["crawl@3"].timeout_s == 60.0
    assert versions["new_job@0"].fresh_process
    jobs = [Assignment(*row) for row in load("assign")["jobs"]]
    assert json.loads(jobs[0].input)["args"] == [1, "数"]
    for name in ("hello_server", "hello_runner"):
        protocol.check_version(load(name))


@pytest.mark.parametrize("rows", [None, {}, [1], [[1, "end", 1, 1]], [[True, "end", 1, 1, {}]], [[1, "x", 1, 1, {}]]])
def test_what_is_no_record_is_refused(rows: Any) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_records(rows)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\0\0\0\x02{]", b"\0\0\0\x02[]", b"\0\0\0\x02{}", b"\0\0\0\x04\xff\xff\xff\xff"],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(data)


def test_another_version_is_refused_naming_both() -> None:
    with pytest.raises(ProtocolError, match=r"speaks version 2, this one 1"):
        protocol.check_version({"v": 2})


def test_a_version_without_packages_travels_as_before() -> None:
    plain = protocol.Version("crawl", 3, "versions/crawl/3-ab", "ab", None, {}, False, 0)
    assert len(protocol.row_of(plain)) == 8
    assert protocol.Version(*protocol.row_of(plain)) == plain
    asking = plain._replace(environment="abc")
    assert protocol.Version(*protocol.row_of(asking)) == asking


LONG = json.dumps('😀 "quoted" ' * 9000, ensure_ascii=False)


def test_long_texts_travel_beside_a_report_and_come_back() -> None:
    small = Record(1, "end", 7, 1, {"ok": True, "result": "1", "return_data": "[2]"})
    both = Record(2, "end", 8, 1, {"ok": True, "result": LONG, "return_data": LONG[::-1]})
    back = Record(3, "back", 9, 1, {"why": "recalled"})
    last = Record(4, "end", 10, 1, {"ok": True, "result": "[" + LONG + "]"})
    whole = protocol.encode_report("r1", [small, both, back, last])
    sent = protocol.put_beside(whole, 64 * 1024)
    assert sent is not None
    head, _, texts = sent.partition(b"\n")
    assert len(head) < 500
    assert texts == (LONG + LONG[::-1] + "[" + LONG + "]").encode()
    message = json.loads(head)
    assert (message["v"], message["runner"]) == (1, "r1")
    records = protocol.decode_records(message["records"])
    protocol.take_beside(records, memoryview(texts))
    assert records == [small, both, back, last]


@pytest.mark.parametrize(
    "body",
    [
        protocol.encode_report("r1", [Record(1, "end", 7, 1, {"ok": True, "result": "1"})]),
        protocol.encode_report("r1", [Record(1, "end", 7, 1, {"ok": True, "result": "\ud800" * 99})]),
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"records":7}',
        b'{"records":[[1,2]]}',
        b'{"records":[[1,"end",1,1,[]]]}',
    ],
)
def test_a_report_without_long_texts_travels_as_it_is(body: bytes) -> None:
    assert protocol.put_beside(body, 50) is None


@pytest.mark.parametrize(
    ("stand_ins", "texts"),
    [
        ([{"bytes": 4}], b"abc"),
        ([{"bytes": 2}], b"abc"),
        ([], b"abc"),
        ([{"bytes": -1}], b""),
        ([{"bytes": True}], b"a"),
        ([{"bytes": 1.0}], b"a"),
        ([{"bytes": "1"}], b"a"),
        ([{}], b""),
        ([{"bytes": 10**30}], b"a"),
        ([{"bytes": 1}], b"\xff"),
        ([{"bytes": 1}, {"bytes": 1}], "é".encode()),
        ([{"bytes": 3}, {"bytes": 1}], b"abc"),
    ],
)
def test_texts_that_do_not_fit_their_records_are_refused(stand_ins: list[Any], texts: bytes) -> None:
    records = [Record(1, "end", 7, 1, {"ok": True, "result": each}) for each in stand_ins]
    with pytest.raises(ProtocolError, match=r"beside the report|follows the report"):
        protocol.take_beside(records, memoryview(texts))
