"""How one answer leads to the next request: the links of API v1's OpenAPI document. A table, no more.

Tools that walk the API find their way by it, the tests among them.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Link(NamedTuple):
    """From an answer to another view, with what that is to be asked."""

    view: str
    parameters: Mapping[str, str]


def _links(parameter: str, expression: str, *views: str) -> tuple[Link, ...]:
    return tuple(Link(view, {parameter: expression}) for view in views)


_FIRST_JOB: Final = "$response.body#/first_id"
_ITS_NUMBER: Final = _links("path.number", "$response.body#/command_id", "commands.one")
_OF_A_JOB: Final = ("jobs.detail", "jobs.attempts", "jobs.log", "downloads.log_file", "downloads.result_file")
_OF_A_TYPE: Final = ("job_types.one", "signatures.of_type", "job_types.rollback", "job_types.forget")
_OF_A_VERSION: Final = ("job_types.version", "job_types.diff", "job_types.download")

#: View to where its answer leads.
LINKS: Final[Mapping[str, tuple[Link, ...]]] = {
    "jobs.submit": _links("path.job_id", _FIRST_JOB, *_OF_A_JOB),
    "jobs.listing": _links("path.job_id", "$response.body#/jobs/0/id", *_OF_A_JOB),
    "job_types.publish": (
        *_links("path.job_type", "$request.path.job_type", *_OF_A_TYPE),
        *(
            Link(view, {"path.job_type": "$request.path.job_type", "path.version": "$response.body#/version"})
            for view in _OF_A_VERSION
        ),
    ),
    "failures.listing": _links(
        "path.fingerprint", "$response.body#/groups/0/fingerprint", "failures.detail", "failures.mute"
    ),
    **{f"commands.{verb}": _ITS_NUMBER for verb in ("add", "admit", "doctor", "doctor_of_server", "trust", "purge")},
}


def described(endpoint: str) -> dict[str, Any]:
    """The links of a view's answer as the document writes them; empty where it leads nowhere."""
    return {
        f"{place}_{link.view.replace('.', '_')}": {
            "operationId": link.view.replace(".", "_"),
            "parameters": dict(link.parameters),
        }
        for place, link in enumerate(LINKS.get(endpoint, ()))
    }
