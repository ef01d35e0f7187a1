"""Samples of everything that travels, kept for ever: what an older end sends must always be understood."""

import json
from pathlib import Path
from typing import Any

import pytest

from remote_runner import names, protocol
from remote_runner.protocol import Assignment, Decoder, ProtocolError, Version

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
