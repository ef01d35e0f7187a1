"""What runners that died left in their journals, on its way home over the channel, one batch at a time."""

from typing import Callable, Dict, List, Optional

from remote_runner import journal, outbox
from remote_runner.journal import Key, Left
from remote_runner.protocol import REPORT_LIMIT_RECORDS, REPORT_TARGET_BYTES
from remote_runner.stream import Stream


class Leftovers:
    """The journals that wait in one folder."""

    def __init__(self, folder: str, trouble: Callable[[str, str], None]) -> None:
        self._lefts: Dict[str, Left] = {}
        self._in_flight = False
        #: Runners whose journals cannot be read: what they knew is not known.
        self.unread: List[str] = []
        for runner in journal.left_behind(folder):
            try:
                self._take(Left(folder, runner))
            except OSError as error:
                self.unread.append(runner)
                trouble("journal", "what runner %s left cannot be read: %s" % (runner, error))

    def _take(self, left: Left) -> None:
        if left.places:
            self._lefts[left.runner] = left
        else:
            left.remove()

    def __len__(self) -> int:
        return len(self._lefts)

    def runners(self) -> List[str]:
        """Whose journals wait."""
        return sorted(self._lefts)

    def ended(self) -> List[Key]:
        """Attempts whose end waits in them."""
        return sorted(key for left in self._lefts.values() for key in left.ended)

    def send(self, channel: Optional[Stream]) -> None:
        """Send the next batch, unless one is on its way."""
        if channel is None or self._in_flight or not self._lefts:
            return
        left = self._lefts[min(self._lefts)]
        channel.send_bytes(outbox.records_frame(left.runner, left.texts(REPORT_LIMIT_RECORDS, REPORT_TARGET_BYTES)))
        self._in_flight = True

    def channel_lost(self) -> None:
        """What was on its way has to go again."""
        self._in_flight = False

    def stored(self, runner: str, seq: int) -> None:
        """The server has everything of that runner up to seq."""
        self._in_flight = False
        left = self._lefts.get(runner)
        if left is None:
            return
        left.stored(seq)
        if not left.places:
            left.remove()
            del self._lefts[runner]
