"""What a machine says of packages is hostile until checked; what is sent there depends on its platform."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import ProtocolError
from orchestrator.node import equip, workshop
from orchestrator.node.equip import CannotEquip
from orchestrator.node.found import Found
from orchestrator.node.workshop import Workshop
from tests.support import wheels

ROW = {"digest": "abc", "python": "3.11.7", "size_bytes": 7, "used_at": 1.5, "name": "ignored"}


def test_an_environment_as_it_should_be_described() -> None:
    assert equip.judge({"ready": ROW}) == Found("abc", "3.11.7", 7, 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "../../etc"},
        {"digest": 3},
        {"python": None},
        {"size_bytes": -1},
        {"size_bytes": True},
        {"size_bytes": 2**70},
        {"used_at": float("nan")},
        {"used_at": "now"},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        equip.judge({"ready": {**ROW, **change}})
    with pytest.raises(ProtocolError):
        equip.all_found([{**ROW, **change}])


@pytest.mark.parametrize("rows", [None, {}, [3], [ROW] * 1001])
def test_a_list_that_is_none_is_refused(rows: object) -> None:
    with pytest.raises(ProtocolError):
        equip.all_found(rows)


def test_words_of_a_machine_do_nothing_to_a_terminal_and_are_bounded() -> None:
    with pytest.raises(CannotEquip) as raised:
        equip.judge({"ready": None, "why": "bad\x1b[31m\nworse" + "x" * 9999, "log": ["no text"], "final": "yes"})
    assert "\x1b" not in raised.value.why
    assert len(raised.value.why) == equip.WORDS_LIMIT
    assert (raised.value.log, raised.value.is_final) == ("", False)
    with pytest.raises(CannotEquip, match="does not say why"):
        equip.judge({})


def test_our_uv_goes_to_machines_of_our_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setattr(workshop, "find_uv", lambda: uv)
    shop = Workshop(cache=tmp_path / "cache", wheels=tmp_path / "wheels")
    tool = shop.uv(workshop.own_platform())
    assert tool is not None
    assert [path.name for path in tool.source.iterdir()] == ["uv"]
    assert shop.uv(workshop.own_platform()) == tool
    assert shop.uv("plan9-mips") is None
    assert Workshop(cache=tmp_path, wheels=tmp_path, sends_uv=False).uv(workshop.own_platform()) is None


def test_wheels_are_sent_if_there_are_any(tmp_path: Path) -> None:
    shop = Workshop(cache=tmp_path / "cache", wheels=tmp_path / "wheels")
    assert shop.wheelhouse() is None
    wheels.make(tmp_path / "wheels", "mjtiny")
    first = shop.wheelhouse()
    assert first is not None
    wheels.make(tmp_path / "wheels", "mjmore")
    assert shop.wheelhouse() != first
    (tmp_path / "wheels" / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        shop.wheelhouse()


def test_our_python_has_a_pip_to_send() -> None:
    found = workshop.find_pip_wheel()
    assert found is not None
    assert found.suffix == ".whl"
