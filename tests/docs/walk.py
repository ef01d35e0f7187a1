"""Runs the blocks of one page in order, as a reader would type them."""

import ast
import configparser
import json
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from inventory import file as inventory_file
from jobs import settings as job_settings
from orchestrator.config import Settings
from tests.docs.blocks import ROOT, Block

SHELL_S: Final = 240


class Walk:
    """One reader: a folder to write into, what Python remembers from block to block, what the usual names are here."""

    def __init__(self, folder: Path, home: Path, instead: Mapping[str, str]) -> None:
        """``instead``: what a page says → what it is here."""
        self._folder = folder
        self._home = home
        self._instead = instead
        self._names: dict[str, Any] = {"__name__": "__docs__"}
        self._kinds: dict[str, Callable[[str], None]] = {
            "python": self._python,
            "sh": self._shell,
            "yaml": self._yaml,
            "json": self._json,
            "ini": self._ini,
            "text": lambda _: None,
        }

    def take(self, block: Block) -> None:
        """Run a block, or write the file that it is."""
        if block.remark == "tested by":
            assert is_a_test(block.value), f"there is no test {block.value}"
        elif block.remark == "file":
            self._write(block)
        else:
            self._kinds[block.kind](self._here(block.text))

    def _here(self, text: str) -> str:
        for usual, own in self._instead.items():
            text = text.replace(usual, own)
        return text

    def _write(self, block: Block) -> None:
        value = block.value
        place = f"{self._home}/{value.removeprefix('HOME/')}" if value.startswith("HOME/") else self._here(value)
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
        if path.suffix == ".py":
            compile(block.text, str(path), "exec")

    def _python(self, text: str) -> None:
        sys.path.insert(0, str(self._folder))
        try:
            exec(compile(text, "<docs>", "exec"), self._names)  # noqa: S102  (running it is what is tested)
        except Exception:  # noqa: BLE001  (whatever a block raises is told with the block)
            raise AssertionError(f"{text}\n{traceback.format_exc(limit=-4)}") from None
        finally:
            sys.path.remove(str(self._folder))

    def _shell(self, text: str) -> None:
        """One terminal for the whole page: what a block exports, the next ones find."""
        kept = shlex.quote(str(self._folder / ".exported"))
        script = f"test ! -e {kept} || . {kept}\n{text}\nexport -p > {kept}\n"
        done = subprocess.run(
            ["sh", "-eu"], input=script, capture_output=True, text=True, timeout=SHELL_S, cwd=self._folder, check=False
        )
        assert done.returncode == 0, f"{text}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"

    def _yaml(self, text: str) -> None:
        content = yaml.safe_load(text)
        if "machines" in content:
            (self._folder / "inventory-of-the-page.yml").write_text(text, "utf-8")
            inventory_file.load(self._folder / "inventory-of-the-page.yml")
        elif set(content) <= set(Settings.model_fields):
            Settings(**content)
        else:
            job_settings.parse(text)

    def _json(self, text: str) -> None:
        for line in [text] if text.startswith(("{\n", "[\n")) else text.splitlines():
            json.loads(line)

    def _ini(self, text: str) -> None:
        found = configparser.ConfigParser(strict=False, interpolation=None)
        found.optionxform = str  # type: ignore[assignment,method-assign]
        found.read_string(text)
        assert found.sections(), "no section"


def is_a_test(name: str) -> bool:
    """Whether there is this test: a file, or a file and a function in it."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    return not function or function in functions_of(path)


def functions_of(path: str) -> set[str]:
    """The tests of a file, its classes' among them, and fixtures' like."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
