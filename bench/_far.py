"""A network that takes its time: everything that passes arrives half a round trip later, in both directions.

A proxy in a process of its own; bandwidth is not touched.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def far(targets: Sequence[tuple[str, int]], trip_ms: float) -> Iterator[list[int]]:
    """Ports on the loopback behind which these addresses lie so far away."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(list(targets), trip_ms / 2000, there))
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(targets: list[tuple[str, int]], delay_s: float, said: "Connection[Any, Any]") -> None:
    asyncio.run(_listen(targets, delay_s, said))


async def _listen(targets: list[tuple[str, int]], delay_s: float, said: "Connection[Any, Any]") -> None:
    servers = [await asyncio.start_server(_Carrier(target, delay_s).carry, "127.0.0.1", 0) for target in targets]
    said.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


class _Carrier:
    """Between whoever connects and one address."""

    def __init__(self, target: tuple[str, int], delay_s: float) -> None:
        self._target = target
        self._delay_s = delay_s

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self._delay_s)  # what connecting takes
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Later, and in order, for all is late alike."""
        later = asyncio.get_running_loop().call_later
        try:
            while data := await reader.read(1 << 16):
                later(self._delay_s, writer.write, data)
        except ConnectionError:
            pass
        later(self._delay_s, writer.close)
