"""The doctor's plan, its words, and what it says of the server's own house."""

from pathlib import Path

import pytest

from orchestrator.config import Settings, make_home
from orchestrator.doctor import look, words
from orchestrator.doctor.plan import Report, Result, Said, State, Step, fine, follow, warning
from orchestrator.doctor.server import examine_server
from orchestrator.errors import NodeUnreachable, ProtocolError

STEPS = (Step("a", "A"), Step("b", "B", ("a",)), Step("c", "C", ("b",)), Step("d", "D", ("a",)))


def no_answer() -> Said:
    raise NodeUnreachable("no answer")


def test_what_stands_on_a_failed_step_is_skipped() -> None:
    told: list[Result] = []
    hands = {
        "a": lambda: fine("well"),
        "b": no_answer,
        "c": lambda: fine("never"),
        "d": lambda: warning("odd", "mend it"),
    }
    results = follow(STEPS, hands, told.append, monotonic=iter(range(100)).__next__)
    assert told == results
    assert [result.state for result in results] == ["fine", "failed", "skipped", "warning"]
    assert [result.finding for result in results] == ["well", "no answer", "needs: B", "odd"]
    assert [result.spend_s for result in results] == [1, 1, 0, 1]
    assert not Report(about="x", results=results).ok


def test_a_look_that_fails_itself_stops_nothing_else() -> None:
    hands = {"a": lambda: fine("well"), "b": lambda: 1 / 0, "c": lambda: fine(""), "d": lambda: fine("well")}
    results = follow(STEPS, hands, lambda _result: None)
    assert [result.state for result in results] == ["fine", "failed", "skipped", "fine"]
    assert "ZeroDivisionError" in results[1].finding


def test_words() -> None:
    bad = Result(step="b", title="network", state=State.FAILED, finding="silence", remedy="speak", spend_s=0.0125)
    assert words.line(bad) == f"  FAIL network          silence  (12 ms)\n{' ' * 24}→ speak"
    assert words.verdict(Report(about="lab-1", results=[bad])) == "lab-1: not fit; network"
    odd = Result(step="c", title="clock", state=State.WARNING, finding="behind")
    assert words.verdict(Report(about="", results=[odd])) == "the server: fit, with 1 warning"


@pytest.mark.parametrize("output", [b"", b"[]", b"nonsense", b"[" * 100_000, b'{"a": 1}\nmore'])
def test_what_a_machine_says_is_not_believed(output: bytes) -> None:
    with pytest.raises(ProtocolError):
        look.facts(output)


def test_facts_are_given_the_type_they_should_have() -> None:
    assert look.facts(b'noise\n{"a": 1}\n') == {"a": 1}
    for odd in ({}, {"a": "1"}, {"a": True}, {"a": None}):
        with pytest.raises(ProtocolError):
            look.number(odd, "a")
    assert look.text("a\x1b[2J" + "x" * 999) == "a\ufffd[2J" + "x" * 294 + "…"


# ------------------------------------------------------------------------------------------------------------- server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_home(tmp_path / "home")
    (tmp_path / "home" / "inventory.yml").write_text("machines: {this-pc: {connection: local}}\n")
    return Settings(home=tmp_path / "home", port=0)


def said(settings: Settings, step: str) -> Result:
    return next(result for result in examine_server(settings).results if result.step == step)


def test_a_sound_house(settings: Settings) -> None:
    report = examine_server(settings)
    assert report.ok, report.as_dict()
    assert not (settings.home / "multijob.db").exists(), "a look makes no database"


def test_secrets_that_others_may_read(settings: Settings) -> None:
    (settings.home / "secret").chmod(0o644)
    found = said(settings, "home")
    assert (found.state, "chmod 600" in found.remedy) == ("failed", True)


def test_a_home_that_others_may_enter(settings: Settings) -> None:
    settings.home.chmod(0o755)
    assert said(settings, "home").state == "warning"


def test_no_home(tmp_path: Path) -> None:
    report = examine_server(Settings(home=tmp_path / "nowhere", port=0))
    states = {result.step: result.state for result in report.results}
    assert states["home"] == "failed"
    assert states["database"] == states["inventory"] == states["listeners"] == "skipped"
    assert not (tmp_path / "nowhere").exists()


def test_a_bad_inventory_is_shown_with_its_line(settings: Settings) -> None:
    (settings.home / "inventory.yml").write_text("machines:\n  a: {hots: h}\n  b: {}\n")
    found = said(settings, "inventory")
    assert found.state == "failed"
    assert "inventory.yml:2" in found.finding


def test_a_password_file_that_others_may_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o644)
    line = f'machines: {{a: {{host: h, password: "file:{tmp_path}/password"}}}}\n'
    (settings.home / "inventory.yml").write_text(line)
    assert said(settings, "inventory").state == "warning"


def test_a_database_that_is_away_is_named_without_its_address(tmp_path: Path) -> None:
    make_home(tmp_path / "home")
    away = Settings(home=tmp_path / "home", port=0, db=f"sqlite:////proc/nowhere/secret-{tmp_path.name}.db")
    found = said(away, "database")
    assert found.state == "failed"
    assert "secret" not in found.finding


def test_a_server_that_does_not_answer(settings: Settings) -> None:
    (settings.home / "url").write_text("http://127.0.0.1:9\n")
    assert said(settings, "listeners").state == "failed"
