"""Every shell this machine has reads our line as the same words."""

import random
import shutil
import subprocess

import pytest

from orchestrator.ssh import quoting
from tests.conftest import require

SHELLS = ("sh", "bash", "dash", "zsh", "fish", "csh", "tcsh", "ksh", "mksh")
WORDS = [
    "plain", "", "a b", "it's", '"', "\\", "\\\\n", "!", "!!", "$HOME", "`id`", "$(id)", "~", "~root", "*", "?", "[a]",
    "{a,b}", "=ls", "%1", "^x", "#c", ";", "&", "|", "<", ">", "(", ")", "\t", "\n", "a\n", "\r", "数据", "é", "-n",
    "--", "\x01", "\x7f", "a'b\"c\\d!e$f`g", "'" * 5, "\udcff",
]  # fmt: skip


def _said(shell: str, argv: list[str]) -> list[bytes]:
    line = quoting.framed(["printf", "%s\\0", *argv], "c0ffee")
    done = subprocess.run(
        [shell, "-c", line.encode()], capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=60
    )
    return (quoting.after_mark(done.stdout, "c0ffee") or b"").split(b"\0")[:-1]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    require([] if shutil.which(request.param) else [request.param])
    return str(request.param)


def test_words_survive_the_shell(shell: str) -> None:
    assert _said(shell, WORDS) == [word.encode("utf-8", "surrogateescape") for word in WORDS]


def test_random_words_survive_the_shell(shell: str) -> None:
    rng = random.Random(20261122)  # noqa: S311
    words = ["".join(chr(rng.randint(1, 0x2FF)) for _ in range(rng.randint(0, 12))) for _ in range(200)]
    assert _said(shell, words) == [word.encode() for word in words]


@pytest.mark.parametrize("word", WORDS)
def test_each_word_alone(word: str) -> None:
    assert _said("sh", [word]) == [word.encode("utf-8", "surrogateescape")]


def test_harmless_words_stay_readable() -> None:
    assert quoting.command(["ls", "-l", "/tmp/x"]) == "exec ls -l /tmp/x"


def test_a_line_is_one_line() -> None:
    assert "\n" not in quoting.command(["printf", "a\nb"])


@pytest.mark.parametrize("argv", [[], ["a\0b"]])
def test_what_cannot_be_a_command_is_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError, match="command"):
        quoting.command(argv)


def test_what_came_before_the_mark_is_dropped() -> None:
    assert quoting.after_mark(b"welcome!\nmark1\nanswer\n", "mark1") == b"answer\n"
    assert quoting.after_mark(b"welcome!\nmark", "mark1") is None


@pytest.mark.parametrize("script", ['echo "$0: $#"', "\nprintf '%s\\n' \"$0: $#\"\n", '# it\'s\necho "$0: $#"; # end'])
@pytest.mark.parametrize("words", [["name"], ["it's", "a"], ["name", "a\nb", "", "c d"], []])
def test_a_script_of_sh_has_its_name_and_its_words(shell: str, script: str, words: list[str]) -> None:
    line = quoting.framed(["sh", "-c", script, *words], "c0ffee")
    done = subprocess.run([shell, "-c", line.encode()], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.decode() == f"c0ffee\n{words[0] if words else 'sh'}: {max(0, len(words) - 1)}\n"
