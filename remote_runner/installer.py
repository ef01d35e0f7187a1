"""What is said to pip and uv, and what their words mean. Pure, but for reading the machine's own pip configuration.

A machine's settings for packages are those its pip uses: uv gets them translated, so that both ask the same index.
"""

import configparser
import os
import re
from typing import Dict, List, Mapping, NamedTuple, Optional

#: Of the installer's words, so much is shown.
WORDS_LIMIT = 2000
WORDS_LINES = 25
#: The oldest uv whose options are known here.
UV_LEAST = (0, 5)

#: Failures of the way or of the machine; anything else an installer says is about the packages.
_TROUBLE = re.compile(
    r"No space left|Disk quota|Read-only file system|Cannot allocate memory|MemoryError|Temporary failure in name"
    r"|Name or service not known|Network is unreachable|No route to host|Connection (?:refused|reset|aborted|timed out)"
    r"|timed out|NewConnectionError|ProxyError|ReadTimeout|ConnectTimeout|SSLError|certificate"
    r"|error sending request|dns error|tcp connect error|5\d\d (?:Server Error|Service Unavailable|Bad Gateway)",
    re.IGNORECASE,
)
_BEGIN = re.compile(r"\s*(?:ERROR:|error:|×|Traceback )")
_NOISE = re.compile(r"WARNING: (?:Location|Retrying|The script|Running pip)|\[notice\]|Looking in |DEPRECATION:")

Sources = NamedTuple(
    "Sources",
    [
        ("index_url", str),  # "": the tool's own default
        ("extra", List[str]),
        ("find_links", List[str]),
        ("cert", str),
        ("trusted", List[str]),
        ("no_index", bool),
    ],
)


def pip_files(environ: Mapping[str, str], home: str) -> List[str]:
    """Where pip looks for its configuration, the weakest first."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    shared = environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    own = environ.get("XDG_CONFIG_HOME", os.path.join(home, ".config"))
    files = [os.path.join(each, "pip", "pip.conf") for each in reversed(shared) if each]
    files += ["/etc/pip.conf", os.path.join(home, ".pip", "pip.conf"), os.path.join(own, "pip", "pip.conf")]
    return [*files, chosen] if chosen else files


def read_pip(files: List[str]) -> Dict[str, str]:
    """What these files say for an install; what cannot be read says nothing."""
    said: Dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                said.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    return said


def sources(said: Mapping[str, str], environ: Mapping[str, str]) -> Sources:
    """Where pip would take packages from: what its files say, then its variables. Pure."""

    def value(key: str) -> str:
        return environ.get("PIP_" + key.upper().replace("-", "_"), said.get(key, "")).strip()

    return Sources(
        value("index-url"),
        value("extra-index-url").split(),
        value("find-links").split(),
        value("cert"),
        value("trusted-host").split(),
        value("no-index").lower() in ("1", "true", "yes", "on"),
    )


def chosen(spec_index: Optional[str], wheels: str, found: Sources) -> Sources:
    """The same with what the server says laid over it: an index of its own, none at all, and wheels it sent. Pure."""
    if spec_index == "none":
        return Sources("", [], [wheels] if wheels else [], found.cert, [], True)
    if spec_index:
        found = found._replace(index_url=spec_index, extra=[], no_index=False)
    return found._replace(find_links=[wheels, *found.find_links] if wheels else found.find_links)


def pip_arguments(said: Sources) -> List[str]:
    """For ``pip install``, whose own configuration is not to matter beside them. Pure."""
    arguments = ["--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar", "off"]
    if said.no_index:
        arguments.append("--no-index")
    elif said.index_url:
        arguments += ["--index-url", said.index_url]
    for url in [] if said.no_index else said.extra:
        arguments += ["--extra-index-url", url]
    return arguments + _common(said, "--find-links", "--trusted-host")


def uv_arguments(said: Sources) -> List[str]:
    """For ``uv pip install``. Several indexes are searched as pip does. Pure."""
    arguments = ["--no-progress", "--color", "never", "--compile-bytecode"]
    if said.no_index:
        arguments.append("--no-index")
    elif said.index_url:
        arguments += ["--default-index", said.index_url]
    for url in [] if said.no_index else said.extra:
        arguments += ["--index", url]
    if said.extra and not said.no_index:
        arguments += ["--index-strategy", "unsafe-best-match"]
    return arguments + _common(said, "--find-links", "--allow-insecure-host")


def _common(said: Sources, links: str, hosts: str) -> List[str]:
    arguments = []
    for place in said.find_links:
        arguments += [links, place]
    for host in said.trusted:
        arguments += [hosts, host]
    return arguments


def words(log: str) -> str:
    """What the installer says went wrong: from its first line about an error on, or its last lines. Pure."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    first = next((at for at, line in enumerate(lines) if _BEGIN.match(line)), max(0, len(lines) - WORDS_LINES))
    return "\n".join(lines[first : first + WORDS_LINES])[:WORDS_LIMIT]


def is_about_packages(log: str) -> bool:
    """Whether another try would end the same: the installer understood, and said no. Pure."""
    return _TROUBLE.search(log) is None


def uv_version(text: str) -> Optional[List[int]]:
    """The numbers in what ``uv --version`` says. Pure."""
    found = re.match(r"uv (\d+)\.(\d+)", text)
    return [int(found.group(1)), int(found.group(2))] if found else None
