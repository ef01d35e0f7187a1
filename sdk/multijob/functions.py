"""The client's part that runs functions: sent by value, their answers and exceptions brought back as Python objects.

The job types that call them are built in: the server makes the one for this Python when it is first needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from . import payload, pickling
from .errors import Invalid
from .inserting import Inserting
from .job import Job
from .jobset import JobSet
from .pickling import ByValue

if TYPE_CHECKING:
    from .client import Client
    from .progress import Wanted

T = TypeVar("T")

_BYTES = {"Content-Type": "application/octet-stream"}


class FunctionJob(Job):
    """A job that calls a function; its result is what the function answered or raised."""

    def result(self, *, timeout_s: float | None = None) -> Any:
        """What the function answered, waiting for that where needed.

        Raises what it raised; the cause of that is a JobFailed with the traceback from there, machine, attempt and
        version. A JobFailed itself says that the function did not get to its end, or could not say how.
        """
        return payload.answer_of(self.outcome(timeout_s=timeout_s))

    def exception(self, *, timeout_s: float | None = None) -> BaseException | None:
        """What the function raised; None where it ended well."""
        outcome = self.outcome(timeout_s=timeout_s)
        return None if outcome.ok else payload.error_of(outcome)


class Functions(Inserting):
    """Submit one call, or as many as an iterable holds. Needs a token with the scope publish."""

    #: Name of the job type by the digest of the function that its jobs share ("" for the one without) and by packages.
    _function_types: dict[tuple[str, tuple[str, ...]], str]
    _by_value: ByValue = ()
    _packages: tuple[str, ...] = ()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> FunctionJob:
        """Run ``function(*args, **kwargs)`` on some machine. Stored once it answers.

        What it raises is the end of it. Where the machine or the process was lost it is called once more;
        ``client.using(limit_count=3).submit(…)``: up to so many times, and after an exception too; 0: never.
        """
        sent = payload.function(function, self._by_value)
        item = payload.one_call(sent.head(retried=self.retries(None)), args, kwargs, self._by_value)
        jobs = self.submit_many(self.function_type(), [item])
        return FunctionJob(self._me, jobs.ranges[0][0])

    @overload
    def map(
        self,
        job_type: str,
        items: Iterable[Any],
        *,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
        chunk: int = 1000,
        key: str | None = None,
        progress: Wanted = None,
        timeout_s: float | None = None,
    ) -> Iterator[Any]: ...

    @overload
    def map(
        self,
        job_type: Callable[[Any], T],
        items: Iterable[Any],
        *,
        chunksize: int = 1,
        batch: str | None = None,
        tag: str | None = None,
        priority: int | None = None,
        limit_count: int | None = None,
        chunk: int = 1000,
        key: str | None = None,
        progress: Wanted = None,
        timeout_s: float | None = None,
    ) -> Iterator[T]: ...

    def map(
        self, job_type: str | Callable[[Any], Any], items: Iterable[Any], *, chunksize: int = 1, **options: Any
    ) -> Iterator[Any]:
        """Run a job for each item at once; then give what they answer, in the order of the items.

        ``job_type`` may be a function, which is called as ``function(item)``, ``chunksize`` items a job; what it raises
        is raised here. Of a job type, JobFailed is raised when it comes to a job that failed.
        """
        if isinstance(job_type, str):
            if chunksize != 1:
                raise Invalid("is for functions", field="chunksize", remedy="leave it out")
            return super().map(job_type, items, **options)
        return self._map_function(job_type, items, chunksize, **options)

    def using(
        self, *, by_value: ByValue | None = None, packages: Iterable[str] | None = None, **options: Any
    ) -> Client:
        """The same client with these settings for every job it inserts. What is left out keeps its value.

        ``batch``, ``tag``, ``priority``, ``limit_count``; ``by_value``: modules that are sent along with functions,
        because the machines have not got them; ``packages``: what functions import, as in a requirements file
        (``["scikit-learn>=1.4"]``), installed on each machine once.
        """
        other = cast("Functions", super().using(**options))
        if by_value is not None:
            other._by_value = tuple(by_value)  # noqa: SLF001 - another of this class
        if packages is not None:
            other._packages = packages_of(packages)  # noqa: SLF001 - another of this class
        return cast("Client", other)

    def function_type(self, shared: bytes = b"") -> str:
        """The name of the job type for functions of this Python; ``shared``: one whose jobs all call this pickle."""
        key = (hashlib.sha256(shared).hexdigest() if shared else "", self._packages)
        if key not in self._function_types:
            pickling.check_size(shared, "function", pickling.SHARED_LIMIT_BYTES)
            params = {"python": pickling.python(), **({"packages": "\n".join(key[1])} if key[1] else {})}
            answer = self._http.json("POST", "/api/v1/functions", params=params, body=shared, headers=_BYTES)
            self._function_types[key] = answer["job_type"]
        return self._function_types[key]

    def retries(self, limit_count: int | None) -> bool:
        """Whether a function that raised is to be called again: where tries were asked for."""
        return bool(self._options.get("limit_count") if limit_count is None else limit_count)

    def says_how_often(self) -> bool:
        """Whether a ``limit_count`` was set for what it inserts."""
        return self._options.get("limit_count") is not None

    def forget_function_types(self) -> None:
        """Ask the server anew when the next function is sent: somebody deleted its job type."""
        self._function_types.clear()

    def _map_function(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        chunksize: int,
        *,
        progress: Wanted = None,
        timeout_s: float | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        sent = payload.function(function, self._by_value)
        apart = sent.goes_apart()
        head = sent.head(apart=apart, retried=self.retries(options.get("limit_count")))
        calls = payload.pieces(((item,) for item in items), chunksize)
        inputs = (payload.many_calls(head, piece, self._by_value) for piece in calls)
        jobs = self.submit_many(self.function_type(sent.data if apart else b""), inputs, **options)
        return self._answers(jobs, progress, timeout_s)

    def _answers(self, jobs: JobSet, progress: Wanted, timeout_s: float | None) -> Iterator[Any]:
        for result in self._me.in_order(jobs, progress=progress, timeout_s=timeout_s):
            yield from payload.answer_of(result)


def packages_of(wanted: Iterable[str]) -> tuple[str, ...]:
    """Requirements as they were named, one a text; the server checks them."""
    if isinstance(wanted, str):
        raise Invalid("is one text", field="packages", remedy='give a list: packages=["scikit-learn"]')
    return tuple(str(one) for one in wanted)
