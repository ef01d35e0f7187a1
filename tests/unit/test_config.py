"""Settings: who wins, what is refused, what the home looks like."""

import logging
import os
from pathlib import Path

import pytest

from orchestrator import config
from orchestrator.config import SettingsInvalid
from orchestrator.errors import UserError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("MJ_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MJ_HOME", str(tmp_path / "home"))


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "home" / "config.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_defaults_are_safe(tmp_path: Path) -> None:
    settings = config.load()
    assert (settings.host, settings.auth, settings.behind_tls_proxy) == ("127.0.0.1", True, False)
    assert not settings.accept_new_host_keys
    assert settings.db_url == f"sqlite:///{tmp_path}/home/multijob.db"


def test_flags_win_over_variables_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path, "port: 1\nthreads: 11\npoll_s: 5\n")
    monkeypatch.setenv("MJ_PORT", "2")
    monkeypatch.setenv("MJ_THREADS", "22")
    settings = config.load({"port": 3, "host": None})
    assert (settings.port, settings.threads, settings.poll_s) == (3, 22, 5.0)


def test_a_flag_can_name_the_home(tmp_path: Path) -> None:
    assert config.load({"home": tmp_path / "other"}).home == tmp_path / "other"


def test_other_variables_of_ours_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MJ_TOKEN", "x")
    monkeypatch.setenv("MJ_URL", "x")
    assert config.load().port == 5006


def test_every_mistake_is_said_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, "linger_s: soon\nprot: 1\nthreads: 0\n")
    monkeypatch.setenv("MJ_TIMEZONE", "Mars/Base")
    with pytest.raises(SettingsInvalid) as caught:
        config.load({"port": 70000})
    said = str(caught.value)
    assert len(caught.value.mistakes) == 5
    for place in (f"{path}: linger_s", f"{path}: prot", f"{path}: threads", "MJ_TIMEZONE", "flag --port"):
        assert place in said


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "1: 2\n", "home: /x\n"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(SettingsInvalid, match=str(path)):
        config.load()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_the_loopback_needs_nothing(host: str) -> None:
    assert config.load({"host": host, "auth": False}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org", ""])  # noqa: S104
def test_other_addresses_need_authentication_and_a_proxy(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="behind_tls_proxy"):
        config.load({"host": host})
    with pytest.raises(SettingsInvalid, match="auth"):
        config.load({"host": host, "auth": False, "behind_tls_proxy": True})
    assert config.load({"host": host, "behind_tls_proxy": True}).auth


def test_direct_reports_need_tls_or_a_word() -> None:
    with pytest.raises(SettingsInvalid, match="report_plain"):
        config.load({"report_url": "http://10.0.0.1:5007/report"})
    assert config.load({"report_url": "http://10.0.0.1:5007/report", "report_plain": True}).report_url
    assert config.load({"report_url": "https://mj.example/report"}).report_url


def test_an_account_for_return_main_needs_a_folder_that_it_can_reach(tmp_path: Path) -> None:
    for folder in (None, tmp_path / "home" / "returns"):
        with pytest.raises(SettingsInvalid, match="return_folder"):
            config.load({"home": tmp_path / "home", "return_user": "nobody", "return_folder": folder})
    assert config.load({"home": tmp_path / "home", "return_user": "nobody", "return_folder": tmp_path / "returns"})


def test_a_list_may_be_a_variable_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MJ_ALLOWED_HOSTS", "a.example, b.example")
    assert config.load().allowed_hosts == ("a.example", "b.example")


def test_the_home_is_ours_alone_and_the_secret_stays(tmp_path: Path) -> None:
    first = config.load()
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "home" / "secret").stat().st_mode & 0o777 == 0o600
    assert len(first.secret) == 32
    assert config.load().secret == first.secret


def test_a_secret_others_can_read_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config.load()
    (tmp_path / "home" / "secret").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        config.load()
    assert "chmod 600" in caplog.text


def test_a_home_that_cannot_be_made_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another home"):
        config.load({"home": tmp_path / "file" / "home"})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.load().port = 1  # type: ignore[misc]
