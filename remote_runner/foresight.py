"""What importing main.py comes to, found out before it is imported, for executors that all import it anew.

In the supervisor: it finds the file and its compiled code, and runs none of it. An executor has only to run it.
"""

import importlib.util
import sys
import types
import warnings
from importlib import machinery
from typing import Optional

from remote_runner import call


class Foreseen:
    """A module that is made but for running its code."""

    def __init__(self, module: types.ModuleType, code: types.CodeType) -> None:
        self._module = module
        self._code = code

    def load(self) -> types.ModuleType:
        """Import it; raises what its code raises. Once, in the executor."""
        module = self._module
        sys.modules[module.__name__] = module
        exec(self._code, module.__dict__)  # noqa: S102  # what importing it does
        return call.with_work(module)


def foresee(folder: str, name: str = "main") -> Optional[Foreseen]:
    """None: it is not a plain source file of this folder, or cannot be compiled; whoever imports it will see."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were shown when it was imported first
            return _found(folder, name)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, the import will say so
        return None


def _found(folder: str, name: str) -> Optional[Foreseen]:
    spec = machinery.PathFinder.find_spec(name)
    if spec is None or type(spec.loader) is not machinery.SourceFileLoader:
        return None
    code = spec.loader.get_code(name)
    module = importlib.util.module_from_spec(spec)
    call.refuse_stranger(folder, module)
    # There is none of this name: so each folder of sys.path is looked into once, here, and not by every executor.
    machinery.PathFinder.find_spec(name + "\n")
    return None if code is None else Foreseen(module, code)
