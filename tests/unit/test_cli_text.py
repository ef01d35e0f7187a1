"""What is shown: nothing hostile reaches a terminal, and numbers read as people say them."""

import json
import sys
import unicodedata
from datetime import datetime
from pathlib import Path

import pytest
from click import BadParameter

from orchestrator.cli import text
from orchestrator.cli.adding import aliases_of, machine_id_of, machine_mapping
from orchestrator.cli.filters import filters_of, when
from orchestrator.cli.output import show_csv
from orchestrator.cli.reading import ranges_text

DANGEROUS = ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_every_character_that_could_act_is_an_escape() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if chr(code) not in "\n\t"]
    kinds = {character: unicodedata.category(character) for character in characters}
    escaped = {character for character in characters if text.clean(character) != character}
    assert not {character for character, kind in kinds.items() if kind in DANGEROUS} - escaped
    # Cn: characters that only a later Unicode than this Python's has.
    assert {kinds[character] for character in escaped} <= {*DANGEROUS, "Cn"}
    assert text.one_line("a\x1b[2J\r\nb\tc\u202e人") == r"a\x1b[2J\r b c\u202e人"


def test_json_is_harmless_and_exact() -> None:
    value = {"text": "\x9b31m \x7f \u202e \U000e0041 \ud800 人 \n", "n": [1, None, 1.5]}
    shown = text.json_text(value)
    assert shown.isprintable()
    assert "人" in shown
    assert json.loads(shown) == value
    assert json.loads(text.json_text(value, indent=2)) == value


def test_a_call_is_shown_as_it_is_written() -> None:
    given = {"args": ["a", 1], "kwargs": {"deep": True, "on": "人"}}
    assert text.call_text("crawl", given) == 'crawl("a", 1, deep=true, on="人")'
    assert text.call_text("crawl", {}) == "crawl()"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0, ""), (0.0123, "12ms"), (0.5, "0.5s"), (59.99, "1m00s"), (3661, "1h01m"), (200_000, "2d07h")],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_sizes_ages_and_counts() -> None:
    assert [text.size(n) for n in (0, 1023, 1024, 1 << 20, 150 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.0 MiB",
        "150 GiB",
    ]
    assert [text.ago(1000 - n, 1000) for n in (0.2, 5, 90)] == ["now", "5 s ago", "1 min ago"]
    assert text.ago(1, 3 * 86400) == "2 d ago"
    assert (text.ago(None, 5), text.ago(9, 5)) == ("", "now")
    assert (text.counted(1), text.counted(1234, "file")) == ("1 job", "1,234 files")
    assert text.last_line("Traceback\n  x\nValueError: no\n") == "ValueError: no"


def test_times_of_filters() -> None:
    assert [when(given, 100_000.0) for given in ("30s", "2min", "2h", "1d")] == [99_970.0, 99_880.0, 92_800.0, 13_600.0]
    assert when("1763809000.5", 0) == 1763809000.5
    assert when("2026-11-22T08:30", 0) == datetime(2026, 11, 22, 8, 30).astimezone().timestamp()
    for nonsense in ("yesterday", "2h3", "-5", "nan"):
        with pytest.raises(BadParameter, match="is no time"):
            when(nonsense, 0)


def test_filters_of_options_and_pairs() -> None:
    chosen = {"status": "failed", "batch": None, "tag": "", "pairs": ("machine_id=!gpu-3", "q=12")}
    assert filters_of(chosen) == {"status": "failed", "tag": "", "machine_id": "!gpu-3", "q": "12"}
    for wrong in ({"batch": " "}, {"status": "done", "pairs": ("status=failed",)}, {"pairs": ("sort=id",)}):
        with pytest.raises(BadParameter):
            filters_of(wrong)


def test_ids_as_text() -> None:
    assert ranges_text([3, 1, 2, 9]) == "1-3,9"
    assert ranges_text(range(0, 40, 2)).endswith(",18,…")


def test_csv_cells_are_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    show_csv([{"a": "=1+1", "b": -5}, {"a": "x,\x1by", "b": {"k": 1}}, {"a": None, "b": "@x"}], ["a", "b"])
    assert capsys.readouterr().out == 'a,b\n\'=1+1,-5\n"x,\\x1by","{""k"":1}"\n,\'@x\n'


def test_addresses_of_machines() -> None:
    assert machine_mapping("me@10.0.0.5:2222") == {"host": "10.0.0.5", "port": 2222, "user": "me"}
    assert machine_mapping("[fe80::1]:22") == {"host": "fe80::1", "port": 22}
    assert machine_mapping("lab") == {"host": "lab"}
    assert machine_id_of("fe80::1%eth0") == "fe80--1-eth0"
    for wrong in ("", "me@", "host:port"):
        with pytest.raises(BadParameter):
            machine_mapping(wrong)


def test_hosts_of_an_ssh_config() -> None:
    config = 'Host *\n  User me\nhost lab-1 lab-2 !lab-3\n\tHostName 10.0.0.1\nHost="cloud"\n# Host no\nMatch host x\n'
    assert list(aliases_of(config)) == ["lab-1", "lab-2", "cloud"]


def test_tokens_of_no_file(tmp_path: Path) -> None:
    from orchestrator.cli.shell import Wrong, where

    (tmp_path / "token").write_text(" abc \n")
    assert where(None, str(tmp_path / "token"), None).token == "abc"
    with pytest.raises(Wrong, match="No such file"):
        where(None, str(tmp_path / "none"), None)


def test_what_was_written_over_is_not_shown():
    assert text.without_overwritten("plain\n") == "plain\n"
    assert text.without_overwritten("a\r\nb\r\n") == "a\nb\n"
    assert text.without_overwritten("\r 10%\r 20%\r 30%") == " 30%"
    assert text.without_overwritten("x\r 10%\r100%\nnext\n\r 5%\r") == "100%\nnext\n 5%"
