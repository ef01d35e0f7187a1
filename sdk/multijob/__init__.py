"""The client of Multi Job over SSH: insert jobs, get results. Speaks HTTP to the server and nothing else."""

from .client import Client
from .errors import (
    Busy,
    Conflict,
    Invalid,
    MultiJobError,
    NotAllowed,
    NotFound,
    ServerError,
    Unreachable,
    WaitTimeout,
)
from .local import LoadedJob
from .values import Input, JobSet, Progress, Published, Result, call

__version__ = "0.1.0"

__all__ = [
    "Busy",
    "Client",
    "Conflict",
    "Input",
    "Invalid",
    "JobSet",
    "LoadedJob",
    "MultiJobError",
    "NotAllowed",
    "NotFound",
    "Progress",
    "Published",
    "Result",
    "ServerError",
    "Unreachable",
    "WaitTimeout",
    "call",
]
