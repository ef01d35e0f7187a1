"""Push a folder as a tar archive through one command, for nodes without rsync. Same files, same modes, none linked."""

import io
import os
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.errors import NodeUnfit, NodeUnreachable
from orchestrator.ssh.deadlines import deadline
from orchestrator.ssh.stream import Stream

_UNPACK = 'umask 077; mkdir -p -- "$1" && cd -- "$1" && exec tar -xpof -'
_CHUNK_BYTES = 1 << 18


def push(start: Callable[[Sequence[str]], Stream], source: Path, dest: str, ends_at: float) -> int:
    """Copy the content of ``source`` into the new folder ``dest`` on the node; answer bytes sent."""
    stream = start(["sh", "-c", _UNPACK, "sh", dest])
    sink = _Sink(stream)
    try:
        with deadline(ends_at - time.monotonic(), stream.close):
            complaint = _write(sink, source)
            while stream.receive():
                pass
            code = stream.exit_code(ends_at)
    finally:
        said = stream.stderr_tail()
        stream.close()
    if code != 0 or complaint:
        raise NodeUnfit(f"tar on the node ended with {code}: {said.strip()[-600:] or complaint}")
    return sink.sent_bytes


def _write(sink: "_Sink", source: Path) -> str:
    """Send it all; what went wrong, where the node's tar stopped listening."""
    try:
        with tarfile.open(
            fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8", bufsize=_CHUNK_BYTES
        ) as archive:
            for folder, folders, names in os.walk(source):
                for name in sorted(folders + names):
                    _add(archive, source, Path(folder) / name)
        sink.stream.end_input()
    except NodeUnreachable as error:
        return str(error)
    return ""


def _add(archive: tarfile.TarFile, source: Path, path: Path) -> None:
    info = archive.gettarinfo(path, arcname=str(path.relative_to(source)))
    if info.isdir():
        info.mode = 0o700
    elif path.is_file() and not path.is_symlink():
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
        info.mode = 0o500 if info.mode & 0o100 else 0o400
    else:
        return  # links and special files never travel
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    with path.open("rb") if info.isreg() else io.BytesIO() as content:
        archive.addfile(info, content)


class _Sink(io.RawIOBase):
    """Lets tarfile write to a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sent_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.stream.send_gently(bytes(data))
        self.sent_bytes += len(data)
        return len(data)
