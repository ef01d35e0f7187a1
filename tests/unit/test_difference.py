"""difference: what of a version's folder travels, when an older one lies beside it."""

import json
from pathlib import Path

import pytest

from orchestrator.node import difference


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def told(base: Path | None, source: Path) -> tuple[dict[str, int | None], bytes]:
    """Sizes of what travels by path, None of what is linked; and the contents."""
    message = difference.message(base, source)
    assert message is not None
    head, _, contents = message.partition(b"\n")
    return {path: size for path, _, size in json.loads(head)}, contents


def test_what_is_equal_is_linked(tmp_path: Path) -> None:
    old = folder(tmp_path / "old", {"main.py": b"one", "data/table": b"same"})
    new = folder(tmp_path / "new", {"main.py": b"two", "data/table": b"same", "more": b"m"})
    assert told(old, new) == ({"main.py": 3, "data/table": None, "more": 1}, b"twom")
    assert told(None, new)[0] == {"main.py": 3, "data/table": 4, "more": 1}


def test_what_became_executable_travels(tmp_path: Path) -> None:
    old, new = (folder(tmp_path / name, {"tool": b"same"}) for name in ("old", "new"))
    (new / "tool").chmod(0o700)
    assert told(old, new)[0] == {"tool": 4}


@pytest.mark.parametrize(("before", "after"), [("part", "part/of.py"), ("part/of.py", "part")])
def test_a_file_where_a_folder_was_and_a_folder_where_a_file_was(tmp_path: Path, before: str, after: str) -> None:
    old = folder(tmp_path / "old", {before: b"x"})
    new = folder(tmp_path / "new", {after: b"x"})
    assert told(old, new) == ({after: 1}, b"x")


def test_much_that_is_new_is_left_to_rsync(tmp_path: Path) -> None:
    large = b"x" * difference.LIMIT_BYTES
    old, new = (folder(tmp_path / name, {"large": large, "main.py": name.encode()}) for name in ("old", "new"))
    assert difference.message(None, new) is None
    assert told(old, new) == ({"large": None, "main.py": 3}, b"new")
