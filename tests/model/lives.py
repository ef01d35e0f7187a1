"""What a job's life should be, small enough to be seen right: T1 to T17 and G4 to G7 as plain values. No database."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from jobs.status import TERMINAL, Status

#: Interruptions of return_main that cost no try.
FREE_INTERRUPTIONS = 3


@dataclass
class Life:
    """One job as it should be."""

    limit_count: int
    returns: bool
    status: Status = Status.WAITING
    attempt: int = 0
    starts: int = 0
    killed: bool = False
    #: The latest attempt was declared lost and nothing newer happened to it.
    lost: bool = False
    #: By attempt: the machine it was given to, and the first durable result.
    machines: dict[int, str] = field(default_factory=dict)
    results: dict[int, str] = field(default_factory=dict)
    #: return_main has been taken and not answered; its tries and interruptions.
    taken: bool = False
    tries: int = 0
    interruptions: int = 0

    def is_open(self, attempt: int, machine: str) -> bool:
        """G4, G7: only the latest attempt, on its machine, while it runs."""
        return (self.status, self.attempt) == (Status.RUNNING, attempt) and self.machines[attempt] == machine

    def claim(self, machine: str) -> bool:
        """T2; G5 holds because the start is counted now."""
        if self.status != Status.WAITING:
            return False
        self.status, self.lost = Status.RUNNING, False
        self.attempt += 1
        self.starts += 1
        self.machines[self.attempt] = machine
        assert self.starts <= self.limit_count + 1
        return True

    def end(self, attempt: int, machine: str, good: bool, word: str) -> None:
        """A report of an end, in time or late (T4 to T8, T10, T11)."""
        if self.is_open(attempt, machine):
            self._succeed(word) if good else self._fail()
        elif good and self.would_adopt(attempt, machine):
            self._succeed(word)

    def would_adopt(self, attempt: int, machine: str) -> bool:
        """T8: the finished work of a lost attempt is not repeated."""
        waits = self.status in (Status.WAITING, Status.FAILED)
        latest = attempt == self.attempt and self.machines.get(attempt) == machine
        return self.lost and waits and latest and not self.killed

    def _succeed(self, word: str) -> None:
        self.lost = False
        self.results[self.attempt] = word
        self.status = Status.RETURNING if self.returns else Status.DONE

    def _fail(self) -> None:
        self.status = Status.FAILED if self.killed or self.starts > self.limit_count else Status.WAITING

    def give_back(self, attempt: int, machine: str) -> None:
        """T3, T3b: no start was used."""
        if self.is_open(attempt, machine):
            self.starts -= 1
            self.status = Status.FAILED if self.killed else Status.WAITING

    def lose(self, machine: str) -> None:
        """T6, T7, or T10 where it was to be killed."""
        if self.is_open(self.attempt, machine):
            self._fail()
            self.lost = not self.killed

    def kill(self) -> None:
        """T9, T10."""
        if self.status in (Status.WAITING, Status.RUNNING):
            self.killed = True
            self.status = Status.FAILED if self.status == Status.WAITING else self.status

    def rerun(self) -> None:
        """T15."""
        if self.status in TERMINAL:
            self.status, self.starts, self.killed = Status.WAITING, 0, False
            self.tries = self.interruptions = 0

    def clear(self) -> None:
        if self.status in TERMINAL:
            self.results.clear()

    def copy(self) -> "Life":
        """T16."""
        return Life(self.limit_count, self.returns)

    @property
    def may_go(self) -> bool:
        """T17."""
        return self.status != Status.RUNNING and not self.taken

    def take_return(self) -> bool:
        """A call that is due is taken, which counts as a try."""
        if self.status != Status.RETURNING or self.taken:
            return False
        self.taken = True
        self.tries += 1
        return True

    def answer_return(self, attempt: int, outcome: str) -> bool:
        """T12 to T14: done, failed or interrupted; only while it is taken."""
        if not self.taken or attempt != self.attempt:
            return False
        self.taken = False
        if outcome == "done":
            self.status = Status.DONE
        elif outcome == "interrupted" and self.interruptions < FREE_INTERRUPTIONS:
            self.tries -= 1
            self.interruptions += 1
        elif self.tries > self.limit_count:
            self.status = Status.RETURN_FAILED
        return True


class Lives(dict[int, Life]):
    """All jobs there are, by id."""

    def on(self, machine: str) -> Iterator[Life]:
        return (life for life in self.values() if life.is_open(life.attempt, machine))

    def snapshot(self) -> dict[int, tuple[Status, int, int]]:
        return {job: (life.status, life.attempt, life.starts) for job, life in self.items()}
