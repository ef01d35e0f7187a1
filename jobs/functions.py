"""The built-in job types that run functions: made by the server itself, when they are first needed.

There is one for each minor version of Python, ``_function_3_11`` with ``python: "==3.11"``, because a pickled function
is bytecode of that version: so the lanes, the machines that suit and the reason that is shown are those of any job
type. A function that many jobs share, and that is large, gets a job type of its own by its content, and so travels to a
machine once. cloudpickle is taken from the server's own installation. Nothing pickled is ever opened here.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path
from typing import Final

from jobs import packages
from jobs.errors import InvalidInput, NotFound
from jobs.model import Published

#: Submitting to a job type that begins so is sending code.
PREFIX: Final = "_function_"
SHARED: Final = "function.pickle"
SHARED_LIMIT_BYTES: Final = 64 * 1024 * 1024
#: cloudpickle's own floor, and no number that nobody will ever mean.
PYTHONS: Final = range(8, 100)

_MAIN: Final = Path(__file__).parent / "builtin" / "function" / "main.py"
_PACKAGE: Final = "cloudpickle"


#: A shared function of which no job is left is kept so long: clients may still know its type by name.
UNUSED_KEPT_S: Final = 7 * 86400.0


def check_not_ours(job_type: str) -> str:
    """The name of a type that people publish. Raises InvalidInput."""
    if takes_code(job_type):
        raise InvalidInput("job_type", f"begins with {PREFIX}: those names are the server's own, for functions")
    return job_type


def takes_code(job_type: str) -> bool:
    """Whether the inputs of this job type are code."""
    return job_type.startswith(PREFIX)


class Functions:
    """The door for job types that run functions."""

    def __init__(self, publish: Callable[[str, Path], Published]) -> None:
        self._publish = publish

    def publish(self, minor: int, shared: bytes = b"", wanted: Sequence[str] = ()) -> tuple[str, Published]:
        """The name of the job type for functions pickled by Python 3.``minor``, and its version, made where needed.

        ``shared``: one pickled function that all jobs of the type will call; ``wanted``: the packages they import, as
        lines of a requirements file. Raises InvalidInput.
        """
        asked = packages.of_list(wanted)
        if minor not in PYTHONS:
            raise InvalidInput("python", f"must be from 3.{PYTHONS[0]} on")
        if len(shared) > SHARED_LIMIT_BYTES:
            raise InvalidInput("function", f"has {len(shared)} bytes pickled, the limit is {SHARED_LIMIT_BYTES}")
        name = f"{PREFIX}3_{minor}" + (f"_{hashlib.sha256(shared).hexdigest()[:24]}" if shared else "")
        name += f"_p{asked.digest[:16]}" if asked.lines else ""
        with tempfile.TemporaryDirectory(prefix="multijob-function-") as scratch:
            folder = Path(scratch) / name
            _fill(folder, minor, shared)
            if asked.lines:
                (folder / packages.REQUIREMENTS).write_text("\n".join(asked.lines) + "\n")
            return name, self._publish(name, folder)


def _fill(folder: Path, minor: int, shared: bytes) -> None:
    folder.mkdir()
    shutil.copyfile(_MAIN, folder / "main.py")
    (folder / "job.yml").write_text(f'python: "==3.{minor}"\n')
    for name, source in _package_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    if shared:
        (folder / SHARED).write_bytes(shared)


def _package_files() -> Iterator[tuple[str, Path]]:
    """The package's modules, and its licence beside them: (name in the folder, file here)."""
    for path in _installed():
        source = Path(str(path.locate()))
        if path.parts[0] == _PACKAGE and path.suffix == ".py":
            yield path.as_posix(), source
        elif path.name.startswith("LICENSE"):
            yield f"{_PACKAGE}/{path.name}", source


def _installed() -> list[PackagePath]:
    try:
        files = distribution(_PACKAGE).files
    except PackageNotFoundError:
        files = None
    if not files:
        raise NotFound(f"{_PACKAGE} is not installed where the server runs; install the server anew")
    return files
