"""A job folder loaded into this process, to try ``main`` and ``return_main`` before (or after) they run elsewhere.

Runs the folder's code here, with the folder as current directory and first on ``sys.path``, as a machine would.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import Invalid

#: The keys that make a dict from ``work()`` the manual's object instead of a plain value.
MANUAL_KEYS = ("result", "count", "return_data", "return_result")


class LoadedJob:
    """The two entrances of one job folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        if not (self.folder / "main.py").is_file():
            raise Invalid(f"{folder} holds no main.py", field="path")
        _forget_modules_of(self.folder)
        self._main = self._import("main")
        self._return_main = self._import("return_main") if (self.folder / "return_main.py").is_file() else None

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``main.work``; answers exactly what it returns."""
        with _inside(self.folder):
            return _work_of(self._main)(*args, **kwargs)

    @property
    def return_main(self) -> Callable[[Any], Any] | None:
        """Calls ``return_main.work`` with the return_data of what ``main`` answered; None without a return_main.py."""
        return self._call_return_main if self._return_main else None

    def return_data(self, answer: Any) -> Any:
        """What return_main would be given for this answer of ``main``; an answer without any is passed on itself."""
        if isinstance(answer, dict) and any(key in answer for key in MANUAL_KEYS):
            value = answer.get("return_data")
            return answer.get("return_result") if value is None else value
        derive = getattr(self._main, "return_data", None)
        return derive(answer) if callable(derive) else answer

    def _call_return_main(self, answer: Any) -> Any:
        with _inside(self.folder):
            return _work_of(self._return_main)(self.return_data(answer))

    def _import(self, name: str) -> ModuleType:
        sys.modules.pop(name, None)
        with _inside(self.folder):
            importlib.invalidate_caches()
            return importlib.import_module(name)


def _work_of(module: ModuleType | None) -> Callable[..., Any]:
    work = getattr(module, "work", None)
    if not callable(work):
        raise Invalid(f"{getattr(module, '__file__', 'the module')} defines no function work()", field="path")
    return work  # type: ignore[no-any-return]


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _forget_modules_of(folder: Path) -> None:
    """Let an edited helper module be read anew, and one of another job folder not be taken for this one's."""
    names = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if name in ("main", "return_main") or (origin and (Path(origin).parent / "main.py").is_file()):
            del sys.modules[name]
