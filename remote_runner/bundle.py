"""Pack this package into one reproducible .pyz. Runs on the server only, and is not in it itself."""

import hashlib
import io
import os
import zipfile
from typing import List, NamedTuple, Tuple

#: Times in the archive: the earliest a zip can hold, so that equal sources give equal bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)

Bundle = NamedTuple("Bundle", [("path", str), ("digest", str)])


def build(dest: "os.PathLike[str]") -> Bundle:
    """Write ``dest/<digest>.pyz`` (beside, then renamed) unless it is there; answer its path and hex digest."""
    data = content()
    digest = hashlib.sha256(data).hexdigest()
    folder = os.fspath(dest)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, digest + ".pyz")
    if not os.path.exists(path):
        beside = "%s.%d" % (path, os.getpid())
        with open(beside, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())  # after a power loss the name could be there without its content
        os.replace(beside, path)
    return Bundle(path, digest)


def content() -> bytes:
    """The bytes of the archive: sorted names, fixed times, deflated."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(_members()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return out.getvalue()


def _members() -> List[Tuple[str, bytes]]:
    here = os.path.dirname(os.path.abspath(__file__))
    found = []
    for name in os.listdir(here):
        if name.endswith(".py") and name != os.path.basename(__file__):
            with open(os.path.join(here, name), "rb") as stream:
                found.append(("remote_runner/" + name, stream.read()))
    entrance = dict(found)["remote_runner/__main__.py"]
    return [*found, ("__main__.py", entrance)]
