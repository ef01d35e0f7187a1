"""Notice that inventory.yml has changed. Looks twice a second, in a thread of its own; what follows is for others."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inventory import file
from inventory.file import Inventory, InventoryInvalid

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.5


class Watch:
    """Tells of every new content of the file, once: ``on_good`` with the machines, ``on_bad`` with the mistakes.

    A content counts when two looks in a row find it, so that a file half written, or gone between two steps of an
    editor, is never taken for the whole. While the file is bad the last good inventory stays in force: nobody is told
    to drop it.
    """

    def __init__(
        self, path: Path, on_good: Callable[[Inventory], None], on_bad: Callable[[InventoryInvalid], None]
    ) -> None:
        self._path = path
        self._on_good = on_good
        self._on_bad = on_bad
        #: What was told last, and what was seen since: the content, or why there is none.
        self._told: bytes | str | None = None
        self._seen: bytes | str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inventory-watch", daemon=True)

    def first(self) -> Inventory | None:
        """What the file says now, before ``start``; None if it is bad, which ``on_bad`` hears."""
        return self._take(_content(self._path))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Look now, and tell what is new and was there at the look before."""
        content = _content(self._path)
        settled, self._seen = content == self._seen, content
        if content == self._told or not settled:
            return
        inventory = self._take(content)
        if inventory is not None:
            self._on_good(inventory)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            try:
                self.look()
            except Exception:
                log.exception("looking at %s failed", self._path)

    def _take(self, content: bytes | str) -> Inventory | None:
        self._told = self._seen = content
        try:
            return file.parse(content if isinstance(content, bytes) else file.read(self._path), str(self._path))
        except InventoryInvalid as error:
            self._on_bad(error)
            return None


def _content(path: Path) -> bytes | str:
    try:
        return file.read(path)
    except InventoryInvalid as error:
        return str(error)
