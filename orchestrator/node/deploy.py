"""Bring what a machine needs onto it: the runner once per digest, each version's folder once. Acts through a Transport.

Both arrive beside their place and are renamed into it when whole, so half of one is never run (guarantees G16).
"""

import json
import logging
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import NodeUnfit, ProtocolError
from orchestrator.node import difference
from orchestrator.node.site import Site
from orchestrator.node.transport import Completed, Transport
from remote_runner.bundle import Bundle

log = logging.getLogger(__name__)

#: Folders of a job type that a sweep leaves: the newest.
VERSIONS_KEPT: Final = 3
PUSH_TIMEOUT_S: Final = 600.0
COMMAND_TIMEOUT_S: Final = 60.0
PURGE_TIMEOUT_S: Final = 300.0

#: A connection that breaks looks like the end of input, so the size is what tells that all of it came.
_RECEIVE_FILE: Final = """
umask 077 && mkdir -p "$1" && part="$1/$2.$$" && trap 'rm -f "$part"' EXIT
cat > "$part" && [ "$(wc -c < "$part")" -eq "$3" ] && mv -f "$part" "$1/$2"
"""
#: By the system's own means, not by ours that were just removed.
_LIST: Final = 'if [ -e "$1" ]; then find "$1" -print0; fi'
_MAKE_FOLDER: Final = 'umask 077 && mkdir -p "$1"'


def send_runner(transport: Transport, site: Site, bundle: Bundle) -> None:
    """Put the runner's bundle at ``site.runner``."""
    folder, _, name = site.runner.rpartition("/")
    content = Path(bundle.path).read_bytes()
    argv = ["sh", "-c", _RECEIVE_FILE, "sh", folder, name, str(len(content))]
    done = transport.run(argv, stdin=content, timeout_s=COMMAND_TIMEOUT_S)
    _expect_success(done, "the runner could not be written")


def version_name(version: int, digest: str) -> str:
    """The folder of a version, below ``versions/<job_type>/``."""
    return f"{version}-{digest[:16]}"


def send_version(
    transport: Transport, site: Site, job_type: str, name: str, digest: str, source: Path, present: Iterable[str]
) -> None:
    """Make ``versions/<job_type>/<name>`` a read-only copy of ``source``; files it shares with an older one are linked.

    ``present``: names of this type's folders on the machine. Raises NodeUnfit when what arrived is not what was sent.
    Little that is new is one command, at a third of what rsync costs; whatever is wrong with that, rsync mends.
    """
    below, base = f"versions/{job_type}", _newest(present)
    if not _send_difference(transport, site, below, base, name, digest, source):
        send_folder(transport, site, below, name, digest, source, link_dest=base)


def _send_difference(
    transport: Transport, site: Site, below: str, base: str | None, name: str, digest: str, source: Path
) -> bool:
    """Whether it could be done so: little is new, and the older version is there as it was."""
    earlier = source.with_name(base) if base else None
    said = difference.message(earlier, source)
    if said is None:
        return False
    stage = f"{below}/.stage-{secrets.token_hex(6)}"
    links = ["--base", f"{below}/{base}"] if base else []
    argv = site.quick("receive", "--root", site.root, *links, stage, f"{below}/{name}", digest)
    done = transport.run(argv, stdin=said, timeout_s=COMMAND_TIMEOUT_S)
    if done.exit_code != 0:
        words = done.stderr[-500:].decode("utf-8", "replace").strip()
        log.info("%s/%s is sent whole: %s", below, name, words)
    return done.exit_code == 0


def send_folder(
    transport: Transport, site: Site, below: str, name: str, digest: str, source: Path, *, link_dest: str | None = None
) -> None:
    """Make ``<below>/<name>`` a read-only copy of ``source``, whole or not at all. Raises NodeUnfit."""
    parent = f"{site.root}/{below}"
    stage = f".stage-{secrets.token_hex(6)}"
    made = transport.run(["sh", "-c", _MAKE_FOLDER, "sh", parent], timeout_s=COMMAND_TIMEOUT_S)
    _expect_success(made, f"{parent} could not be made")
    transport.push(source, f"{parent}/{stage}", link_dest=link_dest, timeout_s=PUSH_TIMEOUT_S)
    sealed = transport.run(
        site.quick("seal", "--root", site.root, f"{below}/{stage}", f"{below}/{name}", digest),
        timeout_s=COMMAND_TIMEOUT_S,
    )
    _expect_success(sealed, f"{below}/{name} did not arrive whole")


def sweep(transport: Transport, site: Site, *, unused_s: float, environments_bytes: int) -> object:
    """Remove what earlier times left there: unfinished stages, all but the newest versions of each type, environments
    unused for so long and the longest unused of more than so many bytes. What it says of those that stay.
    """
    limits = ("--unused-s", str(unused_s), "--environments-bytes", str(environments_bytes))
    done = transport.run(site.command("sweep", "--root", site.root, *limits), timeout_s=COMMAND_TIMEOUT_S)
    if done.exit_code != 0:
        log.warning("%s could not be swept: %s", site.root, done.stderr[-500:].decode("utf-8", "replace").strip())
        return []
    try:
        return json.loads(done.stdout.splitlines()[-1])["environments"]
    except (ValueError, LookupError, TypeError) as error:
        raise ProtocolError(f"what is left after a sweep is not told: {error!r}") from error


def purge(transport: Transport, site: Site) -> Mapping[str, Any]:
    """Remove our folder and end what runs from it; what was removed. Raises NodeUnfit where something is left."""
    done = transport.run(site.command("purge", "--root", site.root), timeout_s=PURGE_TIMEOUT_S)
    _expect_success(done, f"{site.root} could not be removed")
    looked = transport.run(["sh", "-c", _LIST, "sh", site.root], timeout_s=COMMAND_TIMEOUT_S)
    left = looked.stdout.decode("utf-8", "replace").split("\0")[:-1]
    if left:
        raise NodeUnfit(f"{len(left)} paths could not be removed, such as {left[0]}")
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
        removed = [
            {"path": str(one["path"]), "files": int(one["files"]), "bytes": int(one["bytes"])}
            for one in answer["removed"]
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ProtocolError(f"what was removed is not told: {error!r}") from error
    return {"root": site.root, "removed": removed, "left": left}


def _newest(names: Iterable[str]) -> str | None:
    """The folder of the highest version number, the likeliest to share files with the next."""
    numbered = [(int(number), name) for name in names for number, dash, _ in [name.partition("-")] if number.isdigit()]
    return max(numbered)[1] if numbered else None


def _expect_success(done: Completed, what: str) -> None:
    if done.exit_code != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise NodeUnfit(f"{what}: {words[-500:] or f'exit code {done.exit_code}'}")
