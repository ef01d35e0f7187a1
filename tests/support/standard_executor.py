"""The interpreter's own tests of executors (test.test_concurrent_futures), made to test ``multijob.Executor``.

Taken are the mixins that speak of any executor; left out is what speaks of threads or processes here: pools that grow
or break, events shared with what runs, and pickling problems that we report at the call.
"""

import importlib
import io
import unittest
from types import ModuleType
from typing import Any

from multijob import Client, Executor

NAME = "test.test_concurrent_futures"
#: One file until Python 3.11, a package since.
TAILS = ("", ".util", ".executor", ".test_wait", ".test_as_completed", ".test_shutdown")
MIXINS = (
    "ExecutorTest",
    "WaitTests",
    "AsCompletedTests",
    "ExecutorShutdownTest",
)
#: Of those mixins: made for pools here, by their number of workers, or for what runs in this very process.
NOT_OURS = {
    "test_max_workers_negative",
    "test_max_workers_number",
    "test_shutdown_race_issue12456",
    "test_interpreter_shutdown",
    "test_submit_after_interpreter_shutdown",
    "test_hang_gh83386",
    "test_hang_gh94440",
    "test_cancel_futures",  # how many have begun when it asks is up to the machines
}


def modules() -> list[ModuleType]:
    """Where the tests are; empty where the interpreter came without them."""
    found = []
    for tail in TAILS:
        try:
            found.append(importlib.import_module(NAME + tail))
        except ImportError:
            continue
    return found


def run(client: Client) -> unittest.TestResult:
    """All of the mixins against this server."""
    found = modules()
    suite = unittest.TestSuite()
    for name in MIXINS:
        mixin = next(getattr(module, name) for module in found if hasattr(module, name))
        case = _case(client, mixin, found)
        for test in unittest.defaultTestLoader.getTestCaseNames(case):
            if test not in NOT_OURS:
                suite.addTest(case(test))
    return unittest.TextTestRunner(io.StringIO(), verbosity=2).run(suite)


def _case(client: Client, mixin: type, found: list[ModuleType]) -> Any:
    class Case(mixin, unittest.TestCase):  # type: ignore[misc, valid-type]
        worker_count = 5

        def setUp(self) -> None:
            self.executor = Executor(client, by_value=found)

        def tearDown(self) -> None:
            self.executor.cancel(running=True)
            self.executor.shutdown(wait=True)

    Case.__name__ = mixin.__name__
    return Case


def told(result: unittest.TestResult) -> str:
    """What went wrong."""
    return "\n\n".join(f"{test}\n{text}" for test, text in [*result.errors, *result.failures])
