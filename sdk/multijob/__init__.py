"""The client of Multi Job over SSH: insert jobs, get results. Speaks HTTP to the server and nothing else."""

from .actions import Operation
from .client import Client
from .errors import (
    Busy,
    Conflict,
    Invalid,
    JobFailed,
    MultiJobError,
    NotAllowed,
    NotFound,
    NotInstalled,
    OperationFailed,
    ServerError,
    Unreachable,
    WaitTimeout,
)
from .executor import Executor
from .functions import FunctionJob
from .future import FunctionFuture
from .job import Job
from .job_types import JobType
from .jobset import JobSet
from .local import LoadedJob
from .machines import Machine
from .summaries import Batch, FailureGroup
from .values import Input, Printed, Progress, Published, Reached, Result, call

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Busy",
    "Client",
    "Conflict",
    "Executor",
    "FailureGroup",
    "FunctionFuture",
    "FunctionJob",
    "Input",
    "Invalid",
    "Job",
    "JobFailed",
    "JobSet",
    "JobType",
    "LoadedJob",
    "Machine",
    "MultiJobError",
    "NotAllowed",
    "NotFound",
    "NotInstalled",
    "Operation",
    "OperationFailed",
    "Printed",
    "Progress",
    "Published",
    "Reached",
    "Result",
    "ServerError",
    "Unreachable",
    "WaitTimeout",
    "call",
    "register_joblib",
]


def register_joblib() -> None:
    """After this, joblib runs on machines: ``with joblib.parallel_config("multijob"): …``."""
    from .joblib_backend import register

    register()
