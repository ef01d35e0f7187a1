"""The job folders of the ledger test. Every job writes what it does to a side file that the product does not know of.

A line is one write to a file opened for appending, so lines of many processes never mix:
``start TOKEN NONCE``, ``end TOKEN NONCE ok|raise``, ``return JOB ATTEMPT TOKEN NONCE start|ok|raise``. The token names
an input, the nonce one run of ``work()``; the result holds both, so that every stored result can be found again here.
"""

from typing import Final

NOTE: Final = """
import os


def note(path, *words):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (" ".join(map(str, words)) + "\\n").encode())
    finally:
        os.close(descriptor)


def begun(path, token):
    nonce = os.urandom(6).hex()
    note(path, "start", token, nonce)
    return nonce


def well(path, token, nonce, **more):
    note(path, "end", token, nonce, "ok")
    return dict({"result": {"token": token, "nonce": nonce}}, **more)
"""

QUICK: Final = """
from note import begun, well


def work(path, token, padding=""):
    return well(path, token, begun(path, token))
"""

NAP: Final = """
import time

from note import begun, well


def work(path, token, seconds):
    nonce = begun(path, token)
    time.sleep(seconds)
    return well(path, token, nonce)
"""

FAULTY: Final = """
import os
import signal

from note import begun, note, well


def work(path, token, how):
    nonce = begun(path, token)
    if how == "raise":
        note(path, "end", token, nonce, "raise")
        raise RuntimeError("on purpose: " + nonce)
    if how == "exit":
        os._exit(7)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    return well(path, token, nonce)
"""

#: Leaves a process behind that has a session of its own, no environment, and none of our descriptors.
DAEMON: Final = """
import os

from note import begun, well


def work(path, token, mark):
    nonce = begun(path, token)
    mark += "-" + os.getcwd().partition("/roots/")[2].partition("/")[0]
    if os.fork() == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                os.closerange(0, 256)
                os.execve("/bin/sh", [mark, "-c", "while :; do sleep 1; done"], {"PATH": "/usr/bin:/bin"})
        finally:
            os._exit(0)
    return well(path, token, nonce)
"""

BACK: Final = """
from note import begun, well


def work(path, token, fails=False):
    nonce = begun(path, token)
    return well(path, token, nonce, return_data={"path": path, "token": token, "nonce": nonce, "fails": fails})
"""

RETURN: Final = """
import os

from note import note


def work(data):
    words = "return", os.environ["MJ_JOB_ID"], os.environ["MJ_ATTEMPT"], data["token"], data["nonce"]
    note(data["path"], *words, "start")
    if data["fails"]:
        note(data["path"], *words, "raise")
        raise RuntimeError("on purpose")
    note(data["path"], *words, "ok")
"""

FOLDERS: Final = {
    "quick": {"main": QUICK},
    "nap": {"main": NAP},
    "faulty": {"main": FAULTY},
    "daemon": {"main": DAEMON},
    "back": {"main": BACK, "return_main": RETURN},
}
