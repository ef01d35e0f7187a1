"""Records on their way home: numbered, journaled, kept until the server has said "stored". Decides by which route."""

from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional

from remote_runner.journal import WASTE_BYTES, Journal, Key, Place
from remote_runner.protocol import REPORT_LIMIT_RECORDS, REPORT_TARGET_BYTES, VERSION

#: A record above this waits on disk only.
IN_MEMORY_BYTES = 32 * 1024
RETRY_FIRST_S = 0.2
RETRY_LAST_S = 5.0
#: So many failures in a row, and the channel is tried where there is one.
FAILURES_BEFORE_CHANNEL = 3

HTTP = "http"
CHANNEL = "channel"

Kept = NamedTuple("Kept", [("place", Place), ("text", Optional[bytes])])  # no text: read it from the journal


class Outbox:
    """All records that are not known to be stored, in order."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: Deque[Kept] = deque()
        self._seq = 0
        self._live_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, kind: bytes, job: int, attempt: int, body: bytes) -> None:
        """Number a record and hand it to the journal."""
        self._seq += 1
        text = b'[%d,"%s",%d,%d,%s]' % (self._seq, kind, job, attempt, body)
        size = len(text)
        offset = self._journal.append(text + b"\n")
        self._live_bytes += size
        self._kept.append(Kept(Place(self._seq, offset, size), text if size <= IN_MEMORY_BYTES else None))

    def batch(self) -> List[bytes]:
        """The first records, as many as may travel together; at least one."""
        texts: List[bytes] = []
        size = 0
        for place, text in self._kept:
            size += place.size
            if texts and (size > REPORT_TARGET_BYTES or len(texts) == REPORT_LIMIT_RECORDS):
                break
            texts.append(self._journal.read(place) if text is None else text)
        return texts

    def ended(self) -> List[Key]:
        """The attempts whose last record is among these."""
        found = []
        for place, text in self._kept:
            parts = (self._journal.read(place) if text is None else text).split(b",", 4)
            if parts[1] != b'"start"':
                found.append((int(parts[2]), int(parts[3])))
        return found

    def stored(self, seq: int) -> None:
        """The server has everything up to seq."""
        kept = self._kept
        while kept and kept[0].place.seq <= seq:
            self._live_bytes -= kept.popleft().place.size

    def tidy(self, held: Callable[[], List[Key]]) -> None:
        """Give back the journal's space: at once when nothing is left, else when most of it is of no use."""
        journal = self._journal
        if journal.end > journal.head_bytes and not self._kept and not held():
            journal.empty()
        elif journal.end - self._live_bytes > WASTE_BYTES + self._live_bytes:
            self._rewrite(held())

    def _rewrite(self, held: List[Key]) -> None:
        lines = [(self._journal.read(each.place) if each.text is None else each.text) + b"\n" for each in self._kept]
        try:
            offsets = self._journal.restart(held, lines)
        except OSError:
            return  # no room beside it; the old one is as good
        self._kept = deque(
            Kept(Place(each.place.seq, offset, each.place.size), each.text)
            for each, offset in zip(self._kept, offsets)  # noqa: B905  # Python 3.6 has no strict=
        )


def report_body(runner: str, texts: List[bytes]) -> bytes:
    """The body of a report, from records that are text already."""
    return b'{"v":%d,"runner":"%s","records":[%s]}' % (VERSION, runner.encode("ascii"), b",".join(texts))


def records_frame(runner: str, texts: List[bytes]) -> bytes:
    """The frame that carries records over the channel."""
    body = b'{"t":"records","runner":"%s","records":[%s]}' % (runner.encode("ascii"), b",".join(texts))
    return len(body).to_bytes(4, "big") + body


class Route:
    """Which way the next batch goes. Pure but for what it remembers of failures."""

    def __init__(self, url: Optional[str]) -> None:
        self.url = url
        self.failures = 0
        self._retry_at = 0.0

    def change(self, url: Optional[str]) -> None:
        """Report there from now on."""
        self.url = url
        self.failures = 0
        self._retry_at = 0.0

    def choose(self, now: float, has_channel: bool) -> Optional[str]:
        """HTTP, CHANNEL, or None: not now."""
        if self.url is not None and now >= self._retry_at:
            return HTTP
        if has_channel and (self.url is None or self.failures >= FAILURES_BEFORE_CHANNEL):
            return CHANNEL
        return None

    def succeeded(self) -> None:
        """The url took a report."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """The url did not; the next try waits longer."""
        self._retry_at = now + min(RETRY_LAST_S, RETRY_FIRST_S * 2 ** min(self.failures, 10))
        self.failures += 1

    def wait_s(self, now: float) -> Optional[float]:
        """How long until a retry may be made."""
        return None if self.url is None else max(0.0, self._retry_at - now)
