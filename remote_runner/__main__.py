"""The entrance on a node. Written so that any Python can parse it: refuses politely below the floor."""

import os
import sys

FLOOR = (3, 6)


def main():
    # type: () -> int
    if sys.version_info < FLOOR:
        words = "Python %d.%d is too old for a runner: %d.%d or newer is needed\n"
        sys.stderr.write(words % (sys.version_info[:2] + FLOOR))
        return 3
    unpack(os.path.abspath(sys.argv[0]))
    from remote_runner.verbs import run

    return run(sys.argv[1:])


def unpack(archive):
    # type: (str) -> None
    """Import from a folder beside the archive, made once: there Python keeps what it has compiled."""
    folder, kind = os.path.splitext(archive)
    if kind != ".pyz":
        return
    try:
        if not os.path.isdir(folder):
            _write(folder)
    except OSError:
        return  # nowhere to write: the archive itself will do
    sys.path.insert(0, folder)


def _write(folder):
    # type: (str) -> None
    beside = "%s.%d" % (folder, os.getpid())
    os.makedirs(os.path.join(beside, "remote_runner"), 0o700)
    loader = globals()["__loader__"]
    # The only list of an archive's names that costs no import; from Python 3.13 on it is asked for.
    files = loader._files if hasattr(loader, "_files") else loader._get_files()  # noqa: SLF001
    for name in files:
        if name.startswith("remote_runner"):
            with open(os.path.join(beside, name), "wb") as stream:
                stream.write(loader.get_data(name))
    try:
        os.rename(beside, folder)
    except OSError:
        if not os.path.isdir(folder):  # or another one was quicker
            raise


if __name__ == "__main__":
    sys.exit(main())
