"""Set up logging, once, for the entrances: people's lines on a terminal, JSON lines everywhere else.

Facts ride in ``extra`` (machine, job, attempt); nothing secret is ever logged.
"""

import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Final

from pythonjsonlogger.json import JsonFormatter
from rich.logging import RichHandler

FILE_LIMIT_BYTES: Final = 10 * 2**20
FILES: Final = 3
_FIELDS: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
#: Libraries that tell at info or warning what is our ordinary day.
_QUIET: Final = {
    "alembic": logging.WARNING,
    "apscheduler": logging.ERROR,
    "paramiko": logging.CRITICAL,
    "waitress.queue": logging.ERROR,
}


def set_up(level: str, folder: Path) -> None:
    """Log to the standard error, and to ``folder/server.log``, which never outgrows its bound."""
    file = logging.handlers.RotatingFileHandler(
        folder / "server.log", maxBytes=FILE_LIMIT_BYTES, backupCount=FILES, encoding="utf-8"
    )
    file.setFormatter(JsonFormatter(_FIELDS))
    logging.basicConfig(level=level.upper(), handlers=[_for_people(), file], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


class Harmless(logging.Formatter):
    """Lines for a terminal, without what a machine's words could do to it. JSON lines need none of this."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(char if char.isprintable() or char in "\n\t" else " " for char in super().format(record))


def _for_people() -> logging.Handler:
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(show_path=False, rich_tracebacks=False)
        handler.setFormatter(Harmless("%(message)s"))
        return handler
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(_FIELDS))
    return handler
