"""The reference pages leave nothing out: every command, every path, every public name of the SDK."""

import inspect
import itertools
import re
from collections.abc import Mapping
from concurrent.futures import Future

import pytest

import multijob
from inventory import fields
from jobs import settings
from MultiJob import MultiJob
from orchestrator.config import Settings
from tests.docs import tables
from tests.docs.blocks import ROOT

LANGUAGES = ("en", "zh")
OWNERS = [*(getattr(multijob, name) for name in multijob.__all__), MultiJob]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", tables.PAGES)
def test_tables_are_what_the_code_says(page: str, language: str) -> None:
    """Made anew by ``python -m tests.docs.tables``."""
    path = ROOT / "docs" / language / f"{page}.md"
    text = path.read_text("utf-8")
    assert tables.renewed(text, page, language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_has_an_example(language: str) -> None:
    text = (ROOT / "docs" / language / "cli.md").read_text("utf-8")
    examples = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert [name for name, _ in tables.commands() if not re.search(rf"\b{name}\b", examples)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "owner", [*map(multijob.__dict__.get, multijob.__all__), MultiJob], ids=lambda one: one.__name__
)
def test_every_public_name_of_the_sdk_is_told(owner: object, language: str) -> None:
    text = (ROOT / "docs" / language / "sdk.md").read_text("utf-8")
    fence = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = [*fence.findall(text), *re.findall(r"`([^`]+)`", outside), *re.findall(r"^#+ (.*)", outside, re.MULTILINE)]
    told = set(re.findall(r"\w+", " ".join(spans)))
    assert sorted(_public(owner) - told) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_told_with_its_default(language: str) -> None:
    text = (ROOT / "docs" / language / "deployment.md").read_text("utf-8")
    told: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \| (.*) \|$", text, re.MULTILINE):
        told |= itertools.zip_longest(re.findall(r"\w+", names), defaults.split(", "), fillvalue=defaults)
    assert sorted(set(Settings.model_fields) - set(told)) == []
    numbers = {name: field.default for name, field in Settings.model_fields.items() if type(field.default) is float}
    numbers = {name: default for name, default in numbers.items() if default}
    assert {name: float(told[name]) for name in numbers} == numbers


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("page", "keys"), [("inventory", fields.KEYS), ("job-folder", settings._SETTINGS)])
def test_every_key_is_told(page: str, keys: Mapping[str, object], language: str) -> None:
    text = (ROOT / "docs" / language / f"{page}.md").read_text("utf-8")
    assert [key for key in keys if not re.search(rf"^(\| (.*, )?{key}\b.* \||{key}: )", text, re.MULTILINE)] == []


def _public(owner: object) -> set[str]:
    """Its own name, and what it adds to what tuples, mappings, errors and futures have anyway."""
    own = {getattr(owner, "__name__", "")}
    if not inspect.isclass(owner):
        return own
    inherited = {name for base in (tuple, dict, ImportError, Future) for name in dir(base)}
    fields = set(getattr(owner, "_fields", ()))
    return own | fields | {name for name in dir(owner) if not name.startswith("_") and name not in inherited}
