"""What is said to pip and uv, and what their words mean; which environments a sweep removes."""

from pathlib import Path

import pytest

from remote_runner import environment, installer
from remote_runner.environment import Kept

DAY_S = 86400.0
PLAIN = installer.Sources("", [], [], "", [], no_index=False)


def test_pip_is_configured_by_its_files_and_its_variables(tmp_path: Path) -> None:
    weak, strong = tmp_path / "weak", tmp_path / "strong"
    weak.write_text("[global]\nindex-url = https://one.example/simple\ncert = /ca.pem\nfind_links = /wheels /more\n")
    strong.write_text("[install]\nextra-index-url =\n  https://two.example/simple\n  https://three.example/simple\n")
    said = installer.read_pip([str(weak), str(strong), str(tmp_path / "none")])
    found = installer.sources(said, {"PIP_INDEX_URL": "https://four.example/simple", "PIP_NO_INDEX": "0"})
    assert found == installer.Sources(
        "https://four.example/simple",
        ["https://two.example/simple", "https://three.example/simple"],
        ["/wheels", "/more"],
        "/ca.pem",
        [],
        no_index=False,
    )


def test_a_broken_configuration_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("nonsense")
    assert installer.read_pip([str(tmp_path / "pip.conf")]) == {}


def test_where_pip_looks_for_its_files() -> None:
    found = installer.pip_files({"PIP_CONFIG_FILE": "/own.conf", "XDG_CONFIG_DIRS": "/a:/b"}, "/home/me")
    assert found == [
        "/b/pip/pip.conf",
        "/a/pip/pip.conf",
        "/etc/pip.conf",
        "/home/me/.pip/pip.conf",
        "/home/me/.config/pip/pip.conf",
        "/own.conf",
    ]
    assert installer.pip_files({"PIP_CONFIG_FILE": "/dev/null"}, "/home/me") == []


def test_the_server_may_say_where_packages_come_from() -> None:
    own = PLAIN._replace(index_url="https://own.example", extra=["https://more.example"], cert="/ca.pem")
    assert installer.chosen(None, "", own) == own
    assert installer.chosen(None, "/wheels", own).find_links == ["/wheels"]
    assert installer.chosen("https://new.example", "", own) == PLAIN._replace(
        index_url="https://new.example", cert="/ca.pem"
    )
    assert installer.chosen("none", "/wheels", own) == PLAIN._replace(
        find_links=["/wheels"], cert="/ca.pem", no_index=True
    )


def test_both_installers_are_told_the_same() -> None:
    said = PLAIN._replace(index_url="https://a.example", extra=["https://b.example"], find_links=["/w"], trusted=["c"])
    pip, uv = " ".join(installer.pip_arguments(said)), " ".join(installer.uv_arguments(said))
    tail = "--index-url https://a.example --extra-index-url https://b.example --find-links /w --trusted-host c"
    assert pip.endswith(tail)
    assert "--default-index https://a.example --index https://b.example --index-strategy unsafe-best-match" in uv
    assert uv.endswith("--find-links /w --allow-insecure-host c")
    offline = PLAIN._replace(no_index=True, extra=["https://b.example"])
    assert installer.pip_arguments(offline)[-1] == installer.uv_arguments(offline)[-1] == "--no-index"


def test_the_words_begin_at_the_first_error() -> None:
    log = (
        "Collecting x\nWARNING: Location '/w' is no folder\nERROR: No matching distribution found for x==9\n[notice]\n"
    )
    assert installer.words(log) == "ERROR: No matching distribution found for x==9"
    assert installer.words("one\n\ntwo\n") == "one\ntwo"
    assert len(installer.words("error: " + "x" * 9999)) == installer.WORDS_LIMIT


@pytest.mark.parametrize(
    ("log", "final"),
    [
        ("ERROR: No matching distribution found for x==9", True),
        ("error: No solution found when resolving dependencies", True),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution", False),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", False),
        ("error: Request failed\n  cause: error sending request for url", False),
        ("ReadTimeoutError: Read timed out.", False),
    ],
)
def test_trouble_on_the_way_says_nothing_about_the_packages(log: str, final: bool) -> None:
    assert installer.is_about_packages(log) is final


def test_the_version_of_uv() -> None:
    assert installer.uv_version("uv 0.13.9 (x86_64-unknown-linux-gnu)\n") == [0, 13]
    assert installer.uv_version("no such thing") is None


def test_a_sweep_takes_what_is_unused_for_long_and_the_longest_unused_of_too_much() -> None:
    now = 1e9
    kept = [
        Kept("young", 10, now - 60),
        Kept("used", 10, now - DAY_S),
        Kept("older", 10, now - 2 * DAY_S),
        Kept("old", 10, now - 40 * DAY_S),
    ]
    assert environment.choose(kept, now, 30 * DAY_S, 1000) == ["old"]
    assert environment.choose(kept, now, 30 * DAY_S, 25) == ["older", "old"]
    assert environment.choose(kept, now, 30 * DAY_S, 0) == ["used", "older", "old"], "what was just used stays"
