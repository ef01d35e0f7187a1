"""Connection cycles leave nothing behind: a few here, thousands with ``CYCLES=2000 python -m bench soak``."""

import pytest

from bench.soak import soak

#: More than a few cycles' worth of noise, less than a leaked transport each (some 200 kB).
GROWTH_LIMIT_KB = 6000


@pytest.mark.sshd
@pytest.mark.timeout(300)
def test_connection_cycles_leave_nothing(sshd: None) -> None:
    seen = soak(12)
    assert seen.after.threads <= seen.before.threads
    assert seen.after.descriptors <= seen.before.descriptors
    assert seen.after.children <= seen.before.children
    assert seen.after.node_files <= seen.before.node_files
    assert seen.after.node_processes == 0
    assert seen.grown_kb < GROWTH_LIMIT_KB
