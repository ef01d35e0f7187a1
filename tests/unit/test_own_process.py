"""The server may have many files open where the system lets it."""

import subprocess
import sys

import pytest

RUN = """
import resource, sys
from orchestrator import own_process
soft, hard, own_process.FILES = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
own_process.allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "then"), [(256, 900, 2000, 900), (900, 900, 2000, 900), (300, 900, 800, 800)]
)
def test_the_soft_limit_is_raised_and_the_hard_one_stays(soft: int, hard: int, wanted: int, then: int) -> None:
    command = [sys.executable, "-c", RUN, str(soft), str(hard), str(wanted)]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.stdout.split() == [str(then), str(hard)], ended.stderr
