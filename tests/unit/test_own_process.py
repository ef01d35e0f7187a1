"""The server may have many files open where the system lets it."""

import subprocess
import sys

import pytest

RUN = """
import resource, sys
from orchestrator import own_process
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
own_process.allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "then"), [(256, 900, 900), (900, 900, 900), (300, 66_000, 65_536)])
def test_the_soft_limit_is_raised_and_the_hard_one_stays(soft: int, hard: int, then: int) -> None:
    command = [sys.executable, "-c", RUN, str(soft), str(hard)]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    if "not allowed to raise" in ended.stderr:
        pytest.skip("this machine's own limit is lower")
    assert ended.stdout.split() == [str(then), str(hard)], ended.stderr
