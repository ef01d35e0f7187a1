"""What the server asks of its own process before it begins: files it may open, cycles it looks for. Changes itself."""

import gc
import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

#: Each machine and each client is some files: room for thousands, and not more, for some programs try every number
#: there could be.
FILES: Final = 65_536
#: Objects made and kept before the collector looks for cycles among them, and how often it looks at older ones. By its
#: usual 700 it went through jobs that were soon to be gone anyway, at a sixth of the processor where thousands a second
#: pass.
COLLECT_AFTER: Final = (50_000, 20, 50)


def prepare() -> None:
    """Both."""
    gc.set_threshold(*COLLECT_AFTER)
    allow_many_files()


def allow_many_files() -> None:
    """Raise the soft limit, often 1,024, as far as the system lets everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # some systems have bounds besides
        log.warning("no more than %d files can be open at once: %s", soft, error)
    else:
        log.debug("%d files may be open at once, before %d", wanted, soft)
