"""The command line on a node: ``PYTHON -I RUNNER.pyz VERB ...``.

Each verb imports what it needs and no more: what Python loads is most of what a folder costs a machine.
"""

import argparse
import json
import sys
from typing import Any, List

from remote_runner.sealing import Refused


def run(argv: List[str]) -> int:
    """Do one verb; the exit code. What cannot be done is one line on stderr."""
    options = _parser().parse_args(argv)
    try:
        return int(options.verb(options))
    except (OSError, ValueError, Refused) as error:
        sys.stderr.write("%s: %s\n" % (type(error).__name__, error))
        return 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner", description="What Multi Job over SSH runs on a node.")
    verbs = parser.add_subparsers(dest="name", prog="runner")  # finding that out by itself would load shutil
    verbs.required = True
    for name, act in _VERBS.items():
        verb = verbs.add_parser(name, help=act.__doc__)
        verb.add_argument("--root", required=True)
        verb.set_defaults(verb=act)
        for argument, settings in _ARGUMENTS[name]:
            verb.add_argument(argument, **settings)
    return parser


def _attach(options: argparse.Namespace) -> int:
    """start the runner or find it, and relay the channel"""
    from remote_runner import attach

    return attach.attach(options.root, options.token)


def _seal(options: argparse.Namespace) -> int:
    """check a staged folder and rename it into place"""
    from remote_runner import sealing

    return _print(sealing.seal(options.root, options.stage, options.version, options.digest))


def _receive(options: argparse.Namespace) -> int:
    """make a version of an older one and of what comes on stdin"""
    from remote_runner import sealing

    source = sys.stdin.buffer
    return _print(sealing.receive(options.root, options.base, options.stage, options.version, options.digest, source))


def _sweep(options: argparse.Namespace) -> int:
    """remove old stages, versions, environments and journals"""
    from remote_runner import versions

    return _print(versions.sweep(options.root, options.keep, options.unused_s, options.environments_bytes))


def _purge(options: argparse.Namespace) -> int:
    """stop the runner and remove everything"""
    from remote_runner import versions

    return _print(versions.purge(options.root))


def _environment(options: argparse.Namespace) -> int:
    """look for an environment or build it; what it should be comes as a line of JSON on stdin"""
    from remote_runner import building

    spec = json.loads(sys.stdin.readline())
    answer = (building.look if options.act == "look" else building.build)(options.root, spec)
    sys.stdout.write(options.token)  # so that whatever a login printed before can be told apart
    return _print(answer)


def _print(answer: Any) -> int:
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


_VERBS = {
    "attach": _attach,
    "seal": _seal,
    "receive": _receive,
    "sweep": _sweep,
    "purge": _purge,
    "environment": _environment,
}
_ARGUMENTS = {
    "attach": [("--token", {"required": True})],
    "seal": [("stage", {}), ("version", {"metavar": "NAME"}), ("digest", {})],
    "receive": [("--base", {}), ("stage", {}), ("version", {"metavar": "NAME"}), ("digest", {})],
    "sweep": [
        ("--keep", {"nargs": "*", "default": []}),
        ("--unused-s", {"type": float, "required": True}),
        ("--environments-bytes", {"type": int, "required": True}),
    ],
    "environment": [("act", {"choices": ("look", "build")}), ("--token", {"default": ""})],
    "purge": [],
}  # type: Any
