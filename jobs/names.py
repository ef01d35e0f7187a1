"""What names may look like. Pure: a name that passes is safe as a folder, a label and a parameter everywhere."""

import re

from jobs.errors import InvalidInput

#: Job types and machines: also parts of paths.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: Control characters (C0, C1, line separators), commas of both kinds, and lone surrogates.
_FORBIDDEN_IN_LABEL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029,\uff0c\ud800-\udfff]")
LABEL_LIMIT = 64


def check_plain(field: str, name: object) -> str:
    """A job type or a machine: letters, digits, ``_ - .``, not starting with ``-`` or ``.``, at most 64."""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise InvalidInput(
            field, "must be 1 to 64 letters, digits, '_', '-' or '.', starting with a letter, a digit or '_'"
        )
    return name


def is_plain(name: str) -> bool:
    """Whether this can be a job type or a machine."""
    return _PLAIN.fullmatch(name) is not None


def check_label(field: str, label: object) -> str:
    """A tag or a batch: any text of at most 64 characters without control characters and commas; may be empty."""
    if not isinstance(label, str) or len(label) > LABEL_LIMIT or _FORBIDDEN_IN_LABEL.search(label):
        raise InvalidInput(field, f"must be at most {LABEL_LIMIT} characters without control characters or commas")
    return label
