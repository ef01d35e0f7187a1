"""What a session has done by other hands, so that feeding never waits for it: folders, polls, sweeps, the purge.

Each errand ends with an event. Acts through the session's transport; knows nothing of jobs.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from jobs.errors import JobsError
from orchestrator.errors import NodeUnreachable, OrchestratorError
from orchestrator.node import deploy, equip, health
from orchestrator.node.events import Deployed, DeployFailed, Equipped, Loaded, MachineEvent, NotEquipped, Purged, Swept
from orchestrator.node.site import Site
from orchestrator.node.transport import Transport
from orchestrator.node.workshop import Workshop

log = logging.getLogger(__name__)

_IN_THE_LOG = "the server's log says how"


class Errands:
    """Of one machine. ``here`` answers its connection and our place on it, or raises NodeUnreachable."""

    def __init__(
        self,
        machine_id: str,
        here: Callable[[], tuple[Transport, Site]],
        tell: Callable[[MachineEvent], None],
        *,
        hands: Executor,
        polls: Executor,
        builders: Executor,
        shop: Workshop,
        poll_timeout_s: float,
        on_silence: Callable[[Transport | None], None],
    ) -> None:
        """``polls``, ``builders``: hands of their own, for nothing is to wait behind folders, nor behind packages.
        ``on_silence``: a poll got no answer.
        """
        self._machine_id = machine_id
        self._here = here
        self._tell = tell
        self._hands = hands
        self._polls = polls
        self._builders = builders
        self._shop = shop
        self._poll_timeout_s = poll_timeout_s
        self._on_silence = on_silence
        self._load: health.Load | None = None
        self._polling = threading.Lock()

    # what is asked for

    def send_version(
        self, job_type: str, version: int, digest: str, source: Callable[[], Path], present: list[str]
    ) -> None:
        """Deployed or DeployFailed follows."""
        self._hands.submit(self._deploy, job_type, version, digest, source, present)

    def equip(self, digest: str, lines: Callable[[], Sequence[str]], env: Mapping[str, str]) -> None:
        """Equipped or NotEquipped follows."""
        self._builders.submit(self._equip, digest, lines, env)

    def poll(self) -> None:
        """Loaded follows, or ``on_silence``; one at a time."""
        if self._polling.acquire(blocking=False):
            self._polls.submit(self._poll)

    def sweep(self) -> None:
        """Nothing follows; what failed is done at the next one."""
        self._hands.submit(self._sweep)

    def purge(self) -> None:
        """Purged follows."""
        self._hands.submit(self._purge)

    # by the hands

    def _deploy(self, job_type: str, version: int, digest: str, source: Callable[[], Path], present: list[str]) -> None:
        name = deploy.version_name(version, digest)
        try:
            transport, site = self._here()
            if name not in present:
                deploy.send_version(transport, site, job_type, name, digest, source(), present)
        except OrchestratorError as error:
            self._tell(DeployFailed(self._machine_id, job_type, version, str(error)))
        except Exception:
            log.exception("sending a version failed", extra={"machine": self._machine_id, "job_type": job_type})
            self._tell(DeployFailed(self._machine_id, job_type, version, _IN_THE_LOG))
        else:
            self._tell(Deployed(self._machine_id, job_type, version, name))
            if len(present) >= deploy.VERSIONS_KEPT:
                self._sweep()

    def _equip(self, digest: str, lines: Callable[[], Sequence[str]], env: Mapping[str, str]) -> None:
        failed = NotEquipped(self._machine_id, digest, _IN_THE_LOG)
        try:
            transport, site = self._here()
            found = equip.equip(transport, site, self._shop, equip.Wanted(digest, lines(), env))
            self._tell(Equipped(self._machine_id, found))
            return
        except equip.CannotEquip as error:
            failed = NotEquipped(self._machine_id, digest, error.why, error.log, is_final=error.is_final)
        except NodeUnreachable:
            failed = NotEquipped(self._machine_id, digest, "")
        except (OrchestratorError, JobsError) as error:
            failed = NotEquipped(self._machine_id, digest, str(error))
        except Exception:
            log.exception("installing packages failed", extra={"machine": self._machine_id, "environment": digest})
        self._tell(failed)

    def _sweep(self) -> None:
        try:
            rows = deploy.sweep(*self._here(), unused_s=self._shop.unused_s, environments_bytes=self._shop.limit_bytes)
            self._tell(Swept(self._machine_id, equip.all_found(rows)))
        except OrchestratorError as error:
            log.info("not swept: %s", error, extra={"machine": self._machine_id})
        except Exception:
            log.exception("sweeping failed", extra={"machine": self._machine_id})

    def _purge(self) -> None:
        answer: Mapping[str, Any] = {}
        error = ""
        try:
            answer = deploy.purge(*self._here())
        except OrchestratorError as fault:
            error = str(fault)
        except Exception:
            log.exception("purging failed", extra={"machine": self._machine_id})
            error = _IN_THE_LOG
        self._tell(Purged(self._machine_id, answer, error))

    def _poll(self) -> None:
        transport: Transport | None = None
        try:
            transport, site = self._here()
            self._load = health.poll(transport, site.root, self._load, timeout_s=self._poll_timeout_s)
            self._tell(Loaded(self._machine_id, self._load))
        except NodeUnreachable:
            self._on_silence(transport)
        except OrchestratorError as error:
            log.warning("poll failed: %s", error, extra={"machine": self._machine_id})
        except Exception:
            log.exception("poll failed", extra={"machine": self._machine_id})
        finally:
            with contextlib.suppress(RuntimeError):
                self._polling.release()
