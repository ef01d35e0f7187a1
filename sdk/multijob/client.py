"""The client: one object for everything that can be asked of a server. Safe to share between threads.

Put together from its parts, one a noun: ``inserting``, ``functions``, ``looking``, ``results``, ``actions``,
``job_types``, ``machines``, ``summaries``. This module holds only where the server is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import place
from .actions import Acting
from .functions import Functions
from .http import Http
from .job_types import JobTypes
from .looking import Looking
from .machines import Machines
from .results import Results
from .row import JsonObject
from .summaries import Summaries

if TYPE_CHECKING:
    from typing_extensions import Self


class Client(Functions, Looking, Results, Acting, JobTypes, Machines, Summaries):
    """Speaks to one Multi Job server.

    Where the server is: ``base_url``, else ``MJ_URL``, else what the local server wrote into its home. The token:
    ``token``, else ``MJ_TOKEN``, else the password in the URL, else ``.netrc``, else the local server's own.
    ``timeout_s``: how long one answer may take. ``retry_s``: how long calls that are safe to repeat outlast a server
    that restarts.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | None = None,
        timeout_s: float = 30,
        *,
        retry_s: float = 30,
        home: str | Path | None = None,
    ) -> None:
        self._http = Http(place.find(base_url, token, home), timeout_s=timeout_s, retry_s=retry_s)
        self._options = {}
        self._function_types = {}

    @property
    def base_url(self) -> str:
        """The server's address, without credentials."""
        return self._http.place.url

    def server(self) -> JsonObject:
        """The server's version, id, uptime, and what is wrong with its inventory."""
        return self._object("GET", "/api/v1/server")

    def me(self) -> JsonObject:
        """Whose token this is, and what it may do."""
        return self._object("GET", "/api/v1/me")

    def close(self) -> None:
        """Close this thread's connections; the client stays usable."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self.base_url}>"
