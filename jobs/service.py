"""The one door to the jobs room: every other room asks here, and nobody else asks the store.

Thin: checks what a person gave, calls one store function in one transaction, rings the bells after the commit.
Knows nothing of HTTP, SSH or scheduling. Safe to call from any thread. The verbs stand in ``jobs.doors``, by noun.
"""

from jobs.doors.browse import Browse
from jobs.doors.queue import Queue
from jobs.doors.results import Results
from jobs.doors.returns import Returns
from jobs.doors.tokens import Tokens
from jobs.doors.types import Types
from jobs.store import counters, machines, submissions, tokens


class JobService(Queue, Returns, Results, Browse, Types, Tokens):
    """All verbs on jobs, job types, machines as seen, tokens. Hooks are called after the commit and must be quick."""

    def housekeeping(self) -> None:
        """Drop what is past its time: idempotency keys after 7 days, sign-in codes, ended runners after 30 days,
        counters of batches that hold no job, browser sessions that have run out, commands answered a week ago,
        operations that ended 30 days ago, groups of failures nobody was in for as long, old events."""
        now = self._clock()
        self._store.write(lambda tx: submissions.expire(tx, now))
        self._store.write(lambda tx: tokens.expire_codes(tx, now))
        self._store.write(lambda tx: machines.expire_runners(tx, now))
        self._store.write(counters.drop_empty)
        self.people.expire()
        self.commands.expire()
        self.operations.expire()
        self.insight.expire()
        self.happenings.expire()

    def healthy(self) -> bool:
        """Whether the store takes writes now."""
        return self._store.healthy()
