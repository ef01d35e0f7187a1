"""The command ``mj`` run in this process, against one server: what it printed, and its exit code."""

from pathlib import Path

from click.testing import CliRunner, Result

from orchestrator.cli import main
from tests.support.fake_api import TOKEN, FakeApi


class Mj:
    """Called with the words after ``mj``."""

    def __init__(self, url: str, token: str, home: Path) -> None:
        self.home = home
        self._env = {"MJ_URL": url, "MJ_TOKEN": token, "MJ_HOME": str(home), "COLUMNS": "100"}

    @classmethod
    def of(cls, api: FakeApi, home: Path) -> "Mj":
        """For tests against the small API in memory."""
        return cls(api.url, TOKEN, home)

    def __call__(self, *args: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, args, input=stdin, env={**self._env, **(env or {})})
