"""The packages a job folder asks for: pylock.toml, requirements.txt or pyproject.toml as lines in one form. Pure but
for reading those files.

Equal lines are an equal lock, and so one environment for whoever asks for it. Every mistake names its line.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from jobs.errors import InvalidInput

REQUIREMENTS: Final = "requirements.txt"
PYPROJECT: Final = "pyproject.toml"
PYLOCK: Final = "pylock.toml"
UV_LOCK: Final = "uv.lock"
#: The oldest Python that environments are made for.
PYTHON: Final = ">=3.8"
FILE_LIMIT_BYTES: Final = 2 * 1024 * 1024
LINES_LIMIT: Final = 2000
_INCLUDES_LIMIT: Final = 20
#: How much of the digest names an environment.
DIGEST_LETTERS: Final = 24

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(rf"({_NAME})\s*(\[[A-Za-z0-9._,\s-]*\])?\s*((?:[=<>!~@;(].*)?)", re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s+|=)?(\S+)")
#: What a requirements file may say beside requirements: both pip and uv know these.
_OPTION = re.compile(
    r"(?:-i|--index-url|--extra-index-url|--no-binary|--only-binary)(?:\s+|=)\S+|--pre|--require-hashes|--no-index"
)
_LOCAL = re.compile(r"\.{0,2}/|file:|[A-Za-z]:\\|.*@\s*file:|[^@]*\.(?:whl|tar\.gz|zip)$")
_PYTHON_RANGE = re.compile(
    r"(?:(?:==|!=|>=|<=|~=|>|<)\s*3(?:\.\d+){0,2})(?:\s*,\s*(?:==|!=|>=|<=|~=|>|<)\s*3(?:\.\d+){0,2})*"
)


class Packages(NamedTuple):
    """What to install. No lines: nothing, and no environment."""

    lines: tuple[str, ...] = ()
    #: The Pythons these files are for, beside the floor; "": any.
    python: str = ""

    @property
    def digest(self) -> str:
        """Names the lock; "" without one."""
        if not self.lines:
            return ""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:DIGEST_LETTERS]


def read(folder: Path) -> Packages:
    """What a job folder asks for: of a lock file, a requirements file and a project the first. Raises InvalidInput."""
    if (folder / PYLOCK).is_file():
        return _of_pylock(_toml(folder, PYLOCK))
    if (folder / REQUIREMENTS).is_file():
        return Packages(in_one_form(_lines(folder, REQUIREMENTS, [])))
    if (folder / PYPROJECT).is_file():
        found = _of_project(_toml(folder, PYPROJECT))
        if found.lines and (folder / UV_LOCK).is_file():
            raise InvalidInput(UV_LOCK, f"is not read; run: uv export --format pylock.toml -o {PYLOCK}")
        return found
    return Packages()


def of_list(wanted: Iterable[str]) -> Packages:
    """What a caller names, one requirement a text. Raises InvalidInput."""
    named = [(number, text.strip()) for number, text in enumerate(wanted) if text.strip()]
    return Packages(in_one_form(_checked(text, f"packages[{number}]") for number, text in named))


def in_one_form(lines: Iterable[str]) -> tuple[str, ...]:
    """Each line once; the options first, in their order, for that counts; then the requirements, sorted."""
    unique = list(dict.fromkeys(lines))
    options = [line for line in unique if line.startswith("-")]
    found = tuple(options + sorted(line for line in unique if not line.startswith("-")))
    if len(found) > LINES_LIMIT:
        raise InvalidInput("packages", f"has {len(found)} lines, the limit is {LINES_LIMIT}")
    return found if len(found) > len(options) else ()


# -------------------------------------------------------------------------------------------------------- requirements


def _lines(folder: Path, name: str, above: list[str]) -> Iterator[str]:
    """The lines of a requirements file, and of those it includes."""
    if name in above or len(above) > _INCLUDES_LIMIT:
        raise InvalidInput(name, f"includes itself: {' → '.join([*above, name])}")
    for number, line in _whole_lines(_text(folder, name)):
        where = f"{name}:{number}"
        include = _INCLUDE.fullmatch(line)
        if include is not None:
            yield from _lines(folder, _beside(name, include[1], where), [*above, name])
        else:
            yield _checked(line, where)


def _whole_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) without comments; one that ends with a backslash goes on in the next."""
    begun: list[str] = []
    first = 1
    for number, raw in enumerate(text.splitlines(), 1):
        first = first if begun else number
        line = _COMMENT.sub("", raw)
        goes_on = line.rstrip().endswith("\\")
        begun.append(line.rstrip().removesuffix("\\").strip())
        if not goes_on:
            whole = " ".join(part for part in begun if part)
            begun = []
            if whole:
                yield first, whole
    if any(begun):
        yield first, " ".join(part for part in begun if part)


def _beside(name: str, included: str, where: str) -> str:
    """The path of an included file below the folder."""
    parts: list[str] = []
    for part in (PurePosixPath(name).parent / included).parts:
        if part == ".." and parts:
            parts.pop()
        elif part in ("..", "/"):
            raise InvalidInput(where, f"{included} lies outside the job folder; copy it into it")
        else:
            parts.append(part)
    return "/".join(parts)


def _checked(line: str, where: str) -> str:
    """One requirement or option in its usual form. Raises InvalidInput with the remedy."""
    if any(ord(letter) < 32 for letter in line):
        raise InvalidInput(where, "has a control character")
    if line.startswith("-"):
        if _OPTION.fullmatch(line) is None:
            is_local = line.startswith(("-e", "--editable"))
            hint = (
                "put a wheel of it into HOME/wheels and name the package" if is_local else "name the packages instead"
            )
            raise InvalidInput(where, f"{line[:80]!r} cannot be used here; {hint}")
        return " ".join(line.split())
    if _LOCAL.match(line):
        raise InvalidInput(where, f"{line[:80]!r} is a file; put its wheel into HOME/wheels and name the package")
    found = _REQUIREMENT.fullmatch(line)
    if found is None:
        raise InvalidInput(where, f"{line[:80]!r} is not a requirement; expected one like requests>=2.31")
    name, extras, rest = found.groups()
    return _usual(name) + re.sub(r"\s", "", extras or "") + _usual_rest(rest)


def _usual(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _usual_rest(rest: str) -> str:
    """Versions without spaces; marker, URL and hashes as they are but for runs of spaces."""
    rest = " ".join(rest.split())
    if not rest or rest[0] in "@;":
        return f" {rest}" if rest else ""
    versions, mark, more = _cut(rest)
    return re.sub(r"[\s()]", "", versions) + (f" {mark}{more}" if mark else "")


def _cut(rest: str) -> tuple[str, str, str]:
    found = re.search(r";| --", rest)
    if found is None:
        return rest, "", ""
    return rest[: found.start()], found[0].strip(), rest[found.end() :]


# ------------------------------------------------------------------------------------------------------ project, pylock


def _of_project(content: Mapping[str, Any]) -> Packages:
    project = content.get("project")
    if not isinstance(project, dict):
        return Packages()
    wanted = project.get("dependencies", [])
    if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
        raise InvalidInput(PYPROJECT, "project.dependencies must be a list of texts")
    lines = in_one_form(
        _checked(one.strip(), f"{PYPROJECT} project.dependencies[{at}]") for at, one in enumerate(wanted)
    )
    return Packages(lines, _python(project.get("requires-python"), PYPROJECT) if lines else "")


def _of_pylock(content: Mapping[str, Any]) -> Packages:
    rows = content.get("packages", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(PYLOCK, "packages must be a list of tables")
    lines = in_one_form(_locked(row, f"{PYLOCK} packages[{at}]") for at, row in enumerate(rows))
    return Packages(lines, _python(content.get("requires-python"), PYLOCK))


def _locked(row: Mapping[str, Any], where: str) -> str:
    """A package of a lock as a requirement with its hashes."""
    name, version = row.get("name"), row.get("version")
    if not isinstance(name, str) or not isinstance(version, str):
        raise InvalidInput(where, "needs a name and a version; packages from a folder or a repository cannot be locked")
    files = [*(row.get("wheels") or []), *([row["sdist"]] if row.get("sdist") else [])]
    hashes = sorted({one["hashes"]["sha256"] for one in files if "sha256" in (one.get("hashes") or {})})
    marker = f" ; {row['marker']}" if row.get("marker") else ""
    line = f"{name}=={version}{marker}" + "".join(f" --hash=sha256:{one}" for one in hashes)
    return _checked(line, where)


def _python(said: object, where: str) -> str:
    if said is None:
        return ""
    if not isinstance(said, str) or not _PYTHON_RANGE.fullmatch(said.strip()):
        raise InvalidInput(where, f"requires-python {said!r:.60} is not a range like >=3.9")
    return said.strip()


# --------------------------------------------------------------------------------------------------------------- files


def _toml(folder: Path, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(folder, name))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(name, f"is not TOML: {error}") from None


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise InvalidInput(name, "is not in the job folder")
    if path.stat().st_size > FILE_LIMIT_BYTES:
        raise InvalidInput(name, f"is over {FILE_LIMIT_BYTES} bytes")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(name, f"is not UTF-8 text: {error.reason}") from None
