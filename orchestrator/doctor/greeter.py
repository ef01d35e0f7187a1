"""A port of this computer that greets whoever comes: for a machine to show that its tunnel leads here."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Final

WORDS: Final = b"multijob-doctor"


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """The port, while the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=_greet, args=(door,), name="doctor-greeter", daemon=True)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def _greet(door: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            guest, _ = door.accept()
            with guest:
                guest.sendall(WORDS)
