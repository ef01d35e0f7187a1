"""The database's password by reference: where it may lie, how it gets into the address, that it is never shown."""

import logging
from pathlib import Path

import pytest

from orchestrator import config
from orchestrator.config import SettingsInvalid
from orchestrator.errors import UserError

DB = "mysql+pymysql://mj@db.example:3307/multijob?charset=utf8mb4"


def load(tmp_path: Path, **more: str) -> config.Settings:
    return config.load({"home": tmp_path / "home", **more})


def test_a_password_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_WORD", "p@ss:/w%? ")
    expected = "mysql+pymysql://mj:p%40ss%3A%2Fw%25%3F%20@db.example:3307/multijob?charset=utf8mb4"
    assert load(tmp_path, db=DB, db_password="env:DB_WORD").db_url == expected
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("p@ss:/w%? \n")
    settings = load(tmp_path, db=DB, db_password=f"file:{path}")
    assert settings.db_url == expected
    assert "p@ss" not in repr(settings)


def test_over_a_socket_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_WORD", "x")
    url = load(tmp_path, db="postgresql://mj@/multijob?host=/run/postgresql", db_password="env:DB_WORD").db_url
    assert url == "postgresql://mj:x@/multijob?host=/run/postgresql"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"db": DB, "db_password": "secret"}, "expected env:NAME or file:/path"),
        ({"db": DB, "db_password": "env:"}, "expected env:NAME or file:/path"),
        ({"db": "mysql://db.example/x", "db_password": "env:A"}, "names no account"),
        ({"db_password": "env:A"}, "names no account"),
    ],
)
def test_what_is_no_reference_is_refused(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsInvalid, match=words) as caught:
        load(tmp_path, **settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:/not/there"])
def test_a_reference_that_leads_nowhere_is_the_users_to_mend(tmp_path: Path, reference: str) -> None:
    with pytest.raises(UserError, match="db_password"):
        _ = load(tmp_path, db=DB, db_password=reference).db_url


def test_a_password_in_the_address_and_one_that_others_can_read_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "password"
    path.write_text("hush")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load(tmp_path, db="mysql://mj:hush@h/d")
        _ = load(tmp_path, db=DB, db_password=f"file:{path}").db_url
    assert "set db_password" in caplog.text
    assert "chmod 600" in caplog.text
    assert "hush" not in caplog.text
