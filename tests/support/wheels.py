"""Tiny wheels, made here, so that packages can be installed without any registry."""

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path


def make(folder: Path, name: str, version: str = "1.0", *, requires: str = "", **modules: str) -> Path:
    """A pure wheel ``name`` with these modules (source by name); ``requires``: what it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {f"{module}.py": source for module, source in modules.items()}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{path},{_hash(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def make_slow(folder: Path, name: str, gate: Path, log: Path) -> Path:
    """A source package ``name`` that is built only when ``gate`` is there; each build adds a line to ``log``."""
    backend = _BACKEND.format(name=name, gate=str(gate), log=str(log), here=Path(__file__).read_text())
    project = f"""
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "{name}"
version = "1.0"
"""
    files = {
        "pyproject.toml": project,
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive


_BACKEND = """
import os, time
SOURCE = {here!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open({log!r}, "a") as log:
        log.write("begun\\n")
    while not os.path.exists({gate!r}):
        time.sleep(0.1)
    made = {{"__name__": "wheels", "__file__": __file__}}
    exec(SOURCE, made)
    return made["make"](made["Path"](folder), {name!r}, **{{{name!r}: "SAYS = 'slowly'"}}).name
"""


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
