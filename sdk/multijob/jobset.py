"""Jobs submitted together: which ids, and all that can be done with them. Small however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from . import export, notebook
from .errors import Invalid
from .values import Progress, Result

if TYPE_CHECKING:
    from .actions import Operation
    from .client import Client
    from .job import Job
    from .progress import Wanted


@dataclass(frozen=True)
class JobSet:
    """A set of job ids. Made by ``submit_many``; iterating gives the ids."""

    #: First and last id of each run of neighbours, ascending, apart from each other.
    ranges: tuple[tuple[int, int], ...] = ()
    #: Everything these jobs will ever report comes after this number.
    cursor: int = 0
    client: Client | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __contains__(self, job_id: object) -> bool:
        return isinstance(job_id, int) and any(first <= job_id <= last for first, last in self.ranges)

    def __repr__(self) -> str:
        shown = ", ".join(_range_text(pair) for pair in self.ranges[:3])
        more = ", …" if len(self.ranges) > 3 else ""
        return f"<JobSet of {len(self)} jobs: {shown}{more}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A client holds connections and a token: neither belongs into a pickle.
        return JobSet, (self.ranges, self.cursor)

    @classmethod
    def of(cls, ids: Iterable[int], cursor: int = 0, client: Client | None = None) -> JobSet:
        """The set of these ids."""
        return cls(tuple(ranges_of(sorted(set(ids)))), cursor, client)

    # ----------------------------------------------------------------------------------------------------- following

    def wait(self, *, progress: Wanted = None, timeout_s: float | None = None) -> Progress:
        """Wait until all have finished; see ``Client.wait``."""
        return self._client.wait(self, progress=progress, timeout_s=timeout_s)

    def results(
        self, *, wait: bool = True, progress: Wanted = None, timeout_s: float | None = None
    ) -> Iterator[Result]:
        """Results in the order the jobs finish; see ``Client.results``."""
        return self._client.results(self, wait=wait, progress=progress, timeout_s=timeout_s)

    def as_completed(self, *, progress: Wanted = None, timeout_s: float | None = None) -> Iterator[Job]:
        """The jobs themselves, each when it has finished."""
        return self._client.as_completed(self, progress=progress, timeout_s=timeout_s)

    def values(self, *, progress: Wanted = None, timeout_s: float | None = None) -> Iterator[Any]:
        """What the jobs answered, in the order they were submitted; JobFailed at the first that failed."""
        return self._client.values(self, progress=progress, timeout_s=timeout_s)

    def jobs(self) -> Iterator[Job]:
        """The jobs, in the order of their ids; nothing is asked until something of one is wanted."""
        return (self._client.job(job_id) for job_id in self)

    def to_jsonl(self, target: str | Path | TextIO, *, wait: bool = True, timeout_s: float | None = None) -> int:
        """Write a line of JSON for each result; answer how many. A file is complete or not there."""
        return export.to_jsonl(self.results(wait=wait, timeout_s=timeout_s), target)

    def to_csv(self, target: str | Path | TextIO, *, wait: bool = True, timeout_s: float | None = None) -> int:
        """Write a table of the results; answer how many. No cell of it is taken for a formula."""
        return export.to_csv(self.results(wait=wait, timeout_s=timeout_s), target)

    # ------------------------------------------------------------------------------------------------------- acting

    def kill(self, **options: Any) -> Operation:
        """Stop those that wait or run; options as for ``Client.kill``."""
        return self._client.kill(self, **options)

    def rerun(self, *, elsewhere: bool = False, **options: Any) -> Operation:
        """Run those that have finished again: ``rerun(status="failed")``; options as for ``Client.rerun``."""
        return self._client.rerun(self, elsewhere=elsewhere, **options)

    def copy(self, **options: Any) -> Operation:
        """Insert the same jobs anew; ``.jobs`` of the answer are the new ones."""
        return self._client.copy(self, **options)

    def delete(self, **options: Any) -> Operation:
        """Delete them for good; running ones stay."""
        return self._client.delete(self, **options)

    # ------------------------------------------------------------------------------------------------------- inside

    @property
    def _client(self) -> Client:
        if self.client is None:
            raise Invalid("this set of jobs belongs to no client", field="client", remedy="use client.jobset(ids)")
        return self.client

    def _repr_html_(self) -> str:
        pairs = ((_range_text(pair), pair[1] - pair[0] + 1) for pair in self.ranges)
        return notebook.table(f"{len(self)} jobs", ("ids", "jobs"), pairs, len(self.ranges))


def ranges_of(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending ids as runs of neighbours."""
    first = last = None
    for job_id in ids:
        if first is None or last is None:
            first = last = job_id
        elif job_id == last + 1:
            last = job_id
        else:
            yield first, last
            first = last = job_id
    if first is not None and last is not None:
        yield first, last


def _range_text(pair: tuple[int, int]) -> str:
    first, last = pair
    return str(first) if first == last else f"{first}-{last}"
