"""How many files this process may have open: each machine and each client is some of them. Changes itself."""

import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

#: Thousands of machines and clients, with room to spare; not more, for some programs try every number there could be.
WANTED: Final = 65_536


def allow_many() -> None:
    """Raise the soft limit, often 1,024, as far as the system lets everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # some systems have bounds besides
        log.warning("no more than %d files can be open at once: %s", soft, error)
    else:
        log.debug("%d files may be open at once, before %d", wanted, soft)
