"""The packages a job folder asks for: one form for what means the same, an error with its line for what cannot be."""

from pathlib import Path

import pytest

from jobs import packages, settings
from jobs.errors import InvalidInput


def of(tmp_path: Path, **files: str) -> packages.Packages:
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return packages.read(tmp_path)


def test_a_folder_without_such_files_asks_for_nothing(tmp_path: Path) -> None:
    assert packages.read(tmp_path) == packages.Packages()
    assert packages.read(tmp_path).digest == ""


def test_what_means_the_same_is_one_lock(tmp_path: Path) -> None:
    plain = of(tmp_path / "a", requirements_DOT_txt="requests>=2.31\nnumpy[extra]==1.26 ; python_version<'3.12'\n")
    spaced = of(
        tmp_path / "b",
        requirements_DOT_txt="# ours\n\nNumPy [ extra ] == 1.26 ; python_version<'3.12'\nRequests >= 2.31  # web\n"
        "requests>=2.31\n",
    )
    assert plain == spaced
    assert plain.lines == ("numpy[extra]==1.26 ; python_version<'3.12'", "requests>=2.31")
    assert plain.digest == spaced.digest
    assert len(plain.digest) == packages.DIGEST_LETTERS
    assert plain.digest != of(tmp_path / "c", requirements_DOT_txt="requests>=2.32\n").digest


def test_lines_that_go_on_hashes_and_included_files(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        requirements_DOT_txt="-r more/base.txt\nflask==3.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n",
        more__base_DOT_txt="--extra-index-url https://example.org/simple\nclick (>=8)\n",
    )
    assert found.lines == (
        "--extra-index-url https://example.org/simple",
        "click>=8",
        "flask==3.0 --hash=sha256:aa --hash=sha256:bb",
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-e .", "put a wheel of it into HOME/wheels"),
        ("./thing", "put its wheel into HOME/wheels"),
        ("file:///etc/passwd", "put its wheel into HOME/wheels"),
        ("thing @ file:///tmp/thing", "put its wheel into HOME/wheels"),
        ("wheels/thing-1.0-py3-none-any.whl", "put its wheel into HOME/wheels"),
        ("--target /etc", "cannot be used here"),
        ("-c constraints.txt", "cannot be used here"),
        ("-r ../../secrets.txt", "outside the job folder"),
        ("-r missing.txt", "is not in the job folder"),
        ("-r requirements.txt", "includes itself"),
        ("not a requirement!", "is not a requirement; expected one like"),
        ("requests$(id)", "is not a requirement"),
    ],
)
def test_what_cannot_be_installed_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        of(tmp_path, requirements_DOT_txt=f"requests\n{line}\n")
    assert words in str(raised.value)


def test_a_requirement_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"requirements\.txt:3"):
        of(tmp_path, requirements_DOT_txt="requests\n\n-e .\n")


def test_a_project_names_its_dependencies_and_its_python(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\nrequires-python = ">=3.10"\ndependencies = ["Flask>=3", "numpy"]\n'
    found = of(tmp_path, pyproject_DOT_toml=text)
    assert found == packages.Packages(("flask>=3", "numpy"), ">=3.10")
    (tmp_path / "uv.lock").write_text("")
    with pytest.raises(InvalidInput, match="uv export"):
        packages.read(tmp_path)


def test_a_project_that_only_configures_tools_asks_for_nothing(tmp_path: Path) -> None:
    assert of(tmp_path, pyproject_DOT_toml="[tool.ruff]\nline-length = 99\n") == packages.Packages()


def test_a_lock_comes_first_and_keeps_its_hashes(tmp_path: Path) -> None:
    lock = """
lock-version = "1.0"
requires-python = ">=3.9"
[[packages]]
name = "Requests"
version = "2.31.0"
marker = "python_version >= '3.9'"
wheels = [{name = "x.whl", url = "https://example.org/x.whl", hashes = {sha256 = "bb"}}]
sdist = {name = "x.tar.gz", url = "https://example.org/x.tar.gz", hashes = {sha256 = "aa"}}
"""
    found = of(tmp_path, pylock_DOT_toml=lock, requirements_DOT_txt="numpy\n")
    assert found.lines == ("requests==2.31.0 ; python_version >= '3.9' --hash=sha256:aa --hash=sha256:bb",)
    assert found.python == ">=3.9"


@pytest.mark.parametrize("text", ["[[packages]]\nname = 'x'\n", "packages = 3\n", "nonsense", "requires-python = 3\n"])
def test_a_lock_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"pylock\.toml"):
        of(tmp_path, pylock_DOT_toml=text)


def test_packages_of_a_caller(tmp_path: Path) -> None:
    assert packages.of_list(["Scikit_Learn >= 1.4", ""]).lines == ("scikit-learn>=1.4",)
    with pytest.raises(InvalidInput, match=r"packages\[1\]"):
        packages.of_list(["numpy", "-e ."])


def test_the_settings_name_the_lock_and_the_pythons(tmp_path: Path) -> None:
    found = of(tmp_path, requirements_DOT_txt="requests\n", job_DOT_yml='python: "<3.13"\n')
    said = settings.read(tmp_path)
    assert said.environment == found.digest
    assert said.python == "<3.13,>=3.8"
