"""joblib on machines: ``register()``, then ``with joblib.parallel_config("multijob"): Parallel()(…)``.

joblib's own wrapping of the calls stays here: the machines need what the functions need, and joblib only if they do.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import requests.exceptions
import urllib3.exceptions
from joblib import register_parallel_backend
from joblib.parallel import AutoBatchingMixin, ParallelBackendBase

from . import remote_parts
from .client import Client
from .executor import Executor
from .future import FunctionFuture

NAME = "multijob"
#: Sent along with every call. scikit-learn hands over the warning filters of this process, and those name classes of
#: what our client imports.
_BY_VALUE = (remote_parts, requests.exceptions, urllib3.exceptions)


class MultiJobBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Short calls are put together by joblib until a job takes a fraction of a second.

    ``parallel_config("multijob", client=…, tag=…, batch=…, limit_count=…, by_value=[…], packages=[…])``: as for
    ``Executor``.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_inner_max_num_threads = False

    def __init__(
        self,
        client: Client | None = None,
        *,
        by_value: Any = (),
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self._client = client or Client()
        self._options = {**options, "by_value": [*by_value, *_BY_VALUE]}
        self._executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls can run at once: what was asked for, or (below 0) as many as the machines take."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return n_jobs
        seats: int = sum(machine["limit_process"] for machine in self._client.machines() if machine["state"] == "ready")
        return max(1, seats + 1 + (-1 if n_jobs is None else n_jobs))

    def submit(self, func: Any, callback: Callable[[Future[Any]], object] | None = None) -> FunctionFuture:
        """Send a batch of calls."""
        if self._executor is None:
            self._executor = Executor(self._client, **self._options)
        future = self._executor.submit(remote_parts.call_each, func.items)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: FunctionFuture) -> Any:
        """What the batch answered, or what a call of it raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - another batch can always follow
        """A call has failed: nobody wants what the others answer."""
        if self._executor is not None:
            self._executor.cancel(running=True)

    def terminate(self) -> None:
        """joblib has all it wanted."""
        if self._executor is not None:
            self._executor.cancel(running=True)
            self._executor.shutdown(wait=False)
            self._executor = None


def register() -> None:
    """Let joblib know the backend by its name."""
    register_parallel_backend(NAME, MultiJobBackend)


register()
