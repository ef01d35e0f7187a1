"""inventory.yml: what is taken, every mistake with its line, and adding without rewriting."""

from pathlib import Path

import pytest

from inventory import file
from inventory.file import Inventory, InventoryInvalid

FULL = """
defaults: {user: worker, limit_process: 4, env: {A: "1"}}
machines:
  lab-1: {host: 10.0.0.5, port: 2222, name: "Lab, left", tag: [gpu, crawl], limit_process: 8}
  cloud-7:
    host: cloud7
    gateway: bastion
    host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    python: /opt/py/bin/python3
    root: ~/.multijob/
    env: {HTTP_PROXY: "http://proxy:3128"}
    paused: true
    max_load: 1.5
    min_free_memory: 1G
    min_free_disk: 1.5g
    report: direct
    password: env:CLOUD_PASSWORD
  this-pc: {connection: local, limit_process: 2}
"""


def _parse(text: str) -> Inventory:
    return file.parse(text.encode(), "inventory.yml")


def _problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(InventoryInvalid) as caught:
        _parse(text)
    assert all(problem.remedy for problem in caught.value.problems)
    return [(problem.line, problem.where, problem.message) for problem in caught.value.problems]


def test_all_of_it_is_read() -> None:
    machines = _parse(FULL).machines
    lab, cloud, here = machines["lab-1"], machines["cloud-7"], machines["this-pc"]
    assert (lab.host, lab.port, lab.user, lab.name, lab.limit_process) == ("10.0.0.5", 2222, "worker", "Lab, left", 8)
    assert lab.tags == {"gpu", "crawl"}
    assert (cloud.limit_process, cloud.gateway, cloud.report, cloud.paused) == (4, "bastion", "direct", True)
    assert (cloud.min_free_memory_bytes, cloud.min_free_disk_bytes) == (1 << 30, 3 << 29)
    assert cloud.root == "~/.multijob"
    assert cloud.env == (("HTTP_PROXY", "http://proxy:3128"),)
    assert (here.connection, here.user, here.name) == ("local", None, "this-pc")


@pytest.mark.parametrize("text", ["", "# nothing\n", "machines:\n", "machines: {}\n", "defaults:\nmachines:\n"])
def test_nothing_is_a_valid_inventory(text: str) -> None:
    assert _parse(text).machines == {}


def test_a_missing_file_has_no_machines(tmp_path: Path) -> None:
    assert file.load(tmp_path / "inventory.yml").machines == {}


def test_tags_as_one_text_and_keys_that_look_like_numbers() -> None:
    machines = _parse('machines:\n  07: {host: h, tag: "a, b", name: 7}\n  on: {host: h}\n').machines
    assert (machines["07"].tags, machines["07"].name) == (frozenset({"a", "b"}), "7")
    assert "on" in machines


def test_merges_of_yaml_work() -> None:
    text = "machines:\n  a: &base {host: h, port: 2}\n  b: {<<: *base, host: i}\n"
    assert (_parse(text).machines["b"].host, _parse(text).machines["b"].port) == ("i", 2)


def test_all_mistakes_at_once_each_with_its_line() -> None:
    text = (
        "machins: 1\n"
        "defaults: {host: x}\n"
        "machines:\n"
        "  a:\n"
        "    host: h\n"
        "    prot: 22\n"
        "    port: 99999\n"
        "  b b: {host: h}\n"
        "  c: {}\n"
        "  a: {host: h}\n"
    )
    found = _problems(text)
    assert [(line, where) for line, where, _ in found] == [
        (1, "machins"),
        (2, "defaults.host"),
        (6, "machines.a.prot"),
        (7, "machines.a.port"),
        (8, "machines.b b"),
        (9, "machines.c"),
        (10, "machines.a"),
    ]


def test_a_misspelt_key_gets_a_suggestion() -> None:
    with pytest.raises(InventoryInvalid, match=r"inventory\.yml:2: .*did you mean limit_process\?"):
        _parse("machines:\n  a: {host: h, limit_proces: 2}\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\tx",
        "a: b: c",
        "machines: [1]",
        "- x",
        "just words",
        "machines: {a: 1}",
        "a: !!python/object:x {}",
        "{" * 3000,
    ],
)
def test_what_is_no_inventory_is_refused_with_a_line(text: str) -> None:
    assert all(line >= 1 for line, _, _ in _problems(text))


def test_bytes_that_are_no_text_are_refused_with_a_line() -> None:
    with pytest.raises(InventoryInvalid, match=":2:"):
        file.parse(b"machines:\n  a: \xff\n", "inventory.yml")


@pytest.mark.parametrize(
    "line",
    [
        "host: '-oProxyCommand=x'", "host: 'a b'", "host: 'a;b'", "host: '$(x)'", "host: me@h", "host: 5", "host: ''",
        "port: 0", "port: '22'", "port: true", "port: 1.5", "user: 'a b'", "user: '-x'", "user: 'a;b'",
        "gateway: 'a b'", "gateway: '-x'", "host_key: MD5:aa", "host_key: 'SHA256:short'",
        "password: hunter2", "password: 'env:1X'", "password: 'file:relative'", "identity_file: relative",
        "name: ''", "name: [a]", 'name: "a\\nb"', "name: " + "x" * 65, 'tag: ["a,b"]', "tag: [1.5]", "tag: [[a]]",
        "tag: " + "x" * 65, "limit_process: 0", "limit_process: -1", "limit_process: 1001", "limit_process: many",
        "limit_process: true", "python: 'rm -rf'", "python: 'a;b'", "root: relative", "root: /", "root: '~'",
        "root: /a/../b", 'root: "/a\\0b"', "env: [A]", "env: {1A: x}", "env: {A: 1}", "paused: maybe", "closed: 1",
        "max_load: 0", "max_load: .nan", "max_load: .inf", "max_load: a", "min_free_memory: lots", "min_free_disk: -1",
        "report: pigeon", "connection: telnet", "name: 2026-13-45",
    ],
)  # fmt: skip
def test_bad_values_are_refused(line: str) -> None:
    key = line.partition(":")[0]
    host = "" if key == "host" else "    host: h\n"
    if line == "name: 2026-13-45":
        line = "name: !!timestamp 2026-13-45"
    assert any(where == f"machines.a.{key}" for _, where, _ in _problems(f"machines:\n  a:\n{host}    {line}\n"))


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(InventoryInvalid) as caught:
        _parse("machines:\n  a: {host: h, password: hunter2}\n")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.problems)


def test_ssh_settings_mean_nothing_locally() -> None:
    assert _problems("machines:\n  a: {connection: local, port: 22}\n")[0][1] == "machines.a.port"


def test_the_digest_tells_contents_apart() -> None:
    assert _parse("machines:\n").digest != _parse("machines: \n").digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "machines:\n  new: {host: h}\n"),
        ("machines:\n", "machines:\n  new: {host: h}\n"),
        (
            "# mine\nmachines:\n    a: {host: x} # why\n",
            "# mine\nmachines:\n    a: {host: x} # why\n    new: {host: h}\n",
        ),
        ("machines:\n  a:\n    host: x\n", "machines:\n  a:\n    host: x\n  new: {host: h}\n"),
        ("machines:\n  a: {host: x}", "machines:\n  a: {host: x}\n  new: {host: h}\n"),
        (
            "machines:\n  a: {host: x}\n\n# about defaults\ndefaults: {user: u}\n",
            "machines:\n  a: {host: x}\n  new: {host: h}\n\n# about defaults\ndefaults: {user: u}\n",
        ),
        ("machines:\n  a: {host: x,\n    port: 2}\n", "machines:\n  a: {host: x,\n    port: 2}\n  new: {host: h}\n"),
    ],
)
def test_a_machine_is_appended_and_nothing_else_changes(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(before)
    file.append_machine(path, "new", {"host": "h"})
    assert path.read_text() == after
    assert "new" in file.load(path).machines


def test_appending_to_no_file_makes_it_for_its_owner_alone(tmp_path: Path) -> None:
    file.append_machine(tmp_path / "inventory.yml", "new", {"host": "h", "tag": ["数据", "b"], "name": "a: b"})
    assert (tmp_path / "inventory.yml").stat().st_mode & 0o777 == 0o600
    machine = file.load(tmp_path / "inventory.yml").machines["new"]
    assert (machine.tags, machine.name) == (frozenset({"数据", "b"}), "a: b")


@pytest.mark.parametrize(
    ("machine_id", "settings"), [("a", {"host": "h"}), ("bad id", {"host": "h"}), ("b", {"hots": "h"}), ("b", {})]
)
def test_what_would_be_invalid_is_not_written(tmp_path: Path, machine_id: str, settings: dict[str, str]) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text("machines:\n  a: {host: x}\n")
    with pytest.raises(InventoryInvalid):
        file.append_machine(path, machine_id, settings)
    assert path.read_text() == "machines:\n  a: {host: x}\n"


def test_braces_are_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text("machines: {a: {host: x}}\n")
    with pytest.raises(InventoryInvalid, match="add by hand"):
        file.append_machine(path, "new", {"host": "h"})
