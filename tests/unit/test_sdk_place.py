"""Where the client looks for the server and its token."""

from pathlib import Path

import pytest

from multijob.errors import Invalid
from multijob.place import find, split_credentials


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server's home with its token and URL, and nothing else around."""
    for name in ("MJ_URL", "MJ_TOKEN", "NETRC", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "token").write_text("from-home\n")
    (folder / "url").write_text("http://127.0.0.1:7001\n")
    monkeypatch.setenv("MJ_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def test_the_local_home_is_found_by_itself(home: Path) -> None:
    assert find() == ("http://127.0.0.1:7001", "from-home", True)


def test_arguments_come_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MJ_URL", "http://mj:in-url@env:1")
    monkeypatch.setenv("MJ_TOKEN", "from-env")
    assert find("http://mj:in-arg@arg:2", "token").token == "token"
    assert find("http://mj:in-arg@arg:2") == ("http://arg:2", "in-arg", False)
    assert find() == ("http://env:1", "from-env", False)
    monkeypatch.delenv("MJ_TOKEN")
    assert find().token == "in-url"


def test_netrc_is_read(home: Path) -> None:
    (home.parent / ".netrc").write_text("machine far login mj password from-netrc\n")
    (home.parent / ".netrc").chmod(0o600)
    assert find("https://far/mj/") == ("https://far/mj", "from-netrc", False)


def test_the_homes_token_goes_to_its_own_server_only(home: Path) -> None:
    assert find("https://far").token is None
    assert find("http://127.0.0.1:9999").token is None
    assert find("http://127.0.0.1:7001/").token == "from-home"
    (home / "url").unlink()
    assert find("http://127.0.0.1:9999").token == "from-home"


def test_a_home_that_is_named_is_the_only_place_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MJ_URL", "http://env:1")
    monkeypatch.setenv("MJ_TOKEN", "from-env")
    assert find(home=home) == ("http://127.0.0.1:7001", "from-home", True)


def test_credentials_are_taken_out_of_the_url() -> None:
    assert split_credentials("http://mj:a%2Fb@h:1/x/") == ("http://h:1/x", "a/b")
    assert split_credentials("only-token@h:1") == ("http://h:1", "only-token")


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:port", "http://[::1"])
def test_nonsense_is_refused_with_its_field(url: str) -> None:
    with pytest.raises(Invalid, match="base_url"):
        find(url)
