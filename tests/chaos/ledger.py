"""The balance: what was asked for, what is stored and what the side file says must agree. Pure: values in, words."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

DONE: Final = 3
FAILED: Final = -1
RETURN_FAILED: Final = -2
TERMINAL: Final = (DONE, FAILED, RETURN_FAILED)
#: What may end an attempt although its work() was fine.
PLUMBING: Final = frozenset({"died", "lost"})
KILLED: Final = frozenset({"killed", "kill_unconfirmed"})
#: How often a return_main that was interrupted is tried again beyond its own tries.
INTERRUPTIONS: Final = 3


class Wish(NamedTuple):
    """What was submitted under one token."""

    token: str
    job_type: str
    limit_count: int
    #: What is to become of it: "ok", "fails" (work does, or ends its process) or "return_fails".
    expected: str


@dataclass
class Book:
    """What was asked of the server, and what it has acknowledged. Doubtful: no answer came, or not yet."""

    wishes: dict[str, Wish] = field(default_factory=dict)
    #: Job id → token, as answered.
    acknowledged: dict[int, str] = field(default_factory=dict)
    #: Submits, copies and reruns of each token, the doubtful ones too: each is worth limit_count + 1 starts.
    budgets: Counter[str] = field(default_factory=Counter)
    #: Copies of each token that may be stored although no answer said so.
    doubtful_copies: Counter[str] = field(default_factory=Counter)
    #: Certainly or possibly.
    deleted: set[int] = field(default_factory=set)
    kill_asked: set[int] = field(default_factory=set)
    #: Attempts whose end a runner was told to be stored.
    reported: set[tuple[int, int]] = field(default_factory=set)
    #: Answers that no fault excuses.
    surprises: list[str] = field(default_factory=list)


class JobRow(NamedTuple):
    """A stored job."""

    job_id: int
    token: str
    status: int
    reason: str
    attempt: int
    starts: int
    limit_count: int
    return_interruptions: int


class AttemptRow(NamedTuple):
    """A stored attempt; ``nonce`` of its result, or of what it raised."""

    job_id: int
    attempt: int
    reason: str
    started: bool
    token: str
    nonce: str


@dataclass
class Side:
    """What the jobs have written."""

    #: Token → nonces that began.
    starts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: Nonce → (token, how it ended).
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: (job, attempt) → how often return_main began, and how often it ended well.
    returns: Counter[tuple[int, int]] = field(default_factory=Counter)
    returned: Counter[tuple[int, int]] = field(default_factory=Counter)
    #: Lines that nobody could have written.
    garbled: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.starts.values()))


@dataclass
class Balance:
    """What does not agree, in words; nothing: it balances."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether it balances."""
        return not (self.lost or self.twice or self.wrong)


def read_side(text: str) -> Side:
    """The side file."""
    side = Side()
    for line in text.splitlines():
        match line.split():
            case ["start", token, nonce]:
                side.starts[token].append(nonce)
            case ["end", token, nonce, how] if nonce not in side.ends:
                side.ends[nonce] = (token, how)
            case ["return", job, attempt, _, _, how]:
                key = (int(job), int(attempt))
                side.returns[key] += how == "start"
                side.returned[key] += how == "ok"
            case _:
                side.garbled.append(line)
    return side


def nonce_in(result: str | None, error: str | None) -> tuple[str, str]:
    """(token, nonce) as an attempt's stored result or traceback has them."""
    if result is not None:
        value = json.loads(result)
        return str(value["token"]), str(value["nonce"])
    marked = [line for line in (error or "").splitlines() if "on purpose: " in line and line.startswith("RuntimeError")]
    return "", marked[-1].rpartition(" ")[2] if marked else ""


def balance(book: Book, side: Side, jobs: Sequence[JobRow], attempts: Sequence[AttemptRow]) -> Balance:
    """Compare all three."""
    strange = [f"the side file has a strange line: {line}" for line in side.garbled]
    found = Balance(wrong=[*book.surprises, *strange])
    by_token = _grouped(jobs)
    tries: defaultdict[int, list[AttemptRow]] = defaultdict(list)
    for one in attempts:
        tries[one.job_id].append(one)
    _acknowledged_is_stored(found, book, jobs)
    known = {(one.job_id, one.attempt) for one in attempts}
    for key in sorted(book.reported - known):
        if key[0] not in book.deleted:
            found.lost.append(f"the end of attempt {key} was acknowledged and is not stored")
    _stored_once(found, book, by_token)
    for job in jobs:
        _one_job(found, book, side, job, tries[job.job_id])
    _one_result_each(found, side, attempts, {job.job_id: job.token for job in jobs})
    shortened = {book.acknowledged[job_id] for job_id in book.deleted}
    for token, wish in book.wishes.items():
        _bounded(found, wish, book.budgets[token], side.starts[token])
        if token not in shortened:  # else attempts went with their job
            _explained(found, side, token, [one for job in by_token.get(token, ()) for one in tries[job.job_id]])
    return found


def _grouped(jobs: Iterable[JobRow]) -> Mapping[str, list[JobRow]]:
    by_token: defaultdict[str, list[JobRow]] = defaultdict(list)
    for job in jobs:
        by_token[job.token].append(job)
    return by_token


def _acknowledged_is_stored(found: Balance, book: Book, jobs: Sequence[JobRow]) -> None:
    stored = {job.job_id: job.token for job in jobs}
    for job_id, token in book.acknowledged.items():
        if job_id not in stored and job_id not in book.deleted:
            found.lost.append(f"job {job_id} was acknowledged and is not stored")
        elif stored.get(job_id, token) != token:
            found.wrong.append(f"job {job_id} was acknowledged as {token} and is stored as {stored[job_id]}")


def _stored_once(found: Balance, book: Book, by_token: Mapping[str, list[JobRow]]) -> None:
    known = Counter(book.acknowledged.values())
    for token, jobs in by_token.items():
        if token not in book.wishes:
            found.wrong.append(f"job {jobs[0].job_id} holds {token}, which nobody sent")
        elif len(jobs) > max(known[token], 1) + book.doubtful_copies[token]:
            found.twice.append(f"{token} is stored as {[job.job_id for job in jobs]}")


def _one_job(found: Balance, book: Book, side: Side, job: JobRow, tries: Sequence[AttemptRow]) -> None:
    wish = book.wishes.get(job.token)
    if wish is None:
        return
    words = f"{wish.job_type} {job} with attempts {[(one.attempt, one.reason) for one in tries]}"
    if job.status not in TERMINAL:
        found.lost.append(f"not ended: {words}")
        return
    if job.starts > job.limit_count + 1:
        found.twice.append(f"more starts are counted than allowed: {words}")
    for one in tries:
        if side.returns[one.job_id, one.attempt] > job.limit_count + 1 + INTERRUPTIONS:
            found.twice.append(f"return_main began {side.returns[one.job_id, one.attempt]} times: {words}")
    if job.status == FAILED:
        _failed_rightly(found, book, job, wish, words)
    else:
        _finished_rightly(found, side, job, wish, tries, words)


def _failed_rightly(found: Balance, book: Book, job: JobRow, wish: Wish, words: str) -> None:
    allowed = set(PLUMBING)
    if job.job_id in book.kill_asked:
        allowed |= KILLED
    if wish.expected == "fails":
        allowed |= {"error"}
    if job.reason not in allowed:
        found.wrong.append(f"failed for no reason of ours: {words}")


def _finished_rightly(
    found: Balance, side: Side, job: JobRow, wish: Wish, tries: Sequence[AttemptRow], words: str
) -> None:
    good = [one for one in tries if one.attempt == job.attempt and not one.reason]
    if not good or side.ends.get(good[0].nonce) != (job.token, "ok"):
        found.lost.append(f"its result is not what the side file says: {words}")
    if wish.expected == "fails":
        found.wrong.append(f"came to a good end: {words}")
    if job.status == RETURN_FAILED and wish.expected != "return_fails" and job.return_interruptions < INTERRUPTIONS:
        found.wrong.append(f"return_main failed for no reason of ours: {words}")
    if job.status == DONE and wish.job_type == "back" and not side.returned[job.job_id, job.attempt]:
        found.lost.append(f"return_main has not run: {words}")


def _one_result_each(found: Balance, side: Side, attempts: Sequence[AttemptRow], tokens: Mapping[int, str]) -> None:
    holders: dict[str, AttemptRow] = {}
    for one in attempts:
        if not one.nonce:
            continue
        if one.nonce in holders:
            found.twice.append(f"one run is the result of {holders[one.nonce]} and {one}")
        holders[one.nonce] = one
        token, how = side.ends.get(one.nonce, ("", ""))
        if (token, how) != (tokens.get(one.job_id, token), "raise" if one.reason else "ok"):
            found.wrong.append(f"{one} holds a result that the side file does not have")


def _bounded(found: Balance, wish: Wish, budget: int, starts: Sequence[str]) -> None:
    if len(starts) > budget * (wish.limit_count + 1):
        found.twice.append(f"{wish} began {len(starts)} times; {budget} submits, copies and reruns allow fewer")


def _explained(found: Balance, side: Side, token: str, tries: Sequence[AttemptRow]) -> None:
    """Every run belongs to an attempt; one that came to its end is its result, unless something of ours ended it."""
    nonces = side.starts[token]
    begun = [one for one in tries if one.started]
    if len(nonces) > len(begun):
        found.wrong.append(f"{token} began {len(nonces)} times, {len(begun)} attempts say so: {tries}")
    stored = {one.nonce for one in tries}
    unsaid = [nonce for nonce in nonces if nonce in side.ends and nonce not in stored]
    excuses = [one for one in begun if one.reason in PLUMBING | KILLED]
    if len(unsaid) > len(excuses):
        found.lost.append(f"{token} ended {len(unsaid)} times without a stored result: {tries}")
