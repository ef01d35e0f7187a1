"""Small job folders that tests share, as source text."""

ADD = """
def work(x, y=0):
    return x + y
"""

#: Writes a line when it starts and one when it ends, where the product does not look.
LEDGER = """
import os, time

def note(ledger, what, job):
    with open(ledger, "a") as file:
        file.write("%s %s\\n" % (what, job))

def work(ledger, job, seconds=0.0):
    note(ledger, "start", job)
    time.sleep(seconds)
    note(ledger, "end", job)
    return {"result": job, "count": 1}
"""

#: Runs until a file appears: tests decide when it ends.
UNTIL = """
import os, time

def work(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.path.basename(os.getcwd())
"""

ZOO = """
import os, signal, sys

def work(kind):
    print("before", kind)
    if kind == "raises":
        raise ValueError("a mistake on purpose")
    if kind == "exits":
        sys.exit(3)
    if kind == "exits hard":
        os._exit(7)
    if kind == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "set":
        return {"result": {"a": {1, 2, 3}}}
    if kind == "nan":
        return {"result": [1.0, float("nan")]}
    if kind == "no result":
        return {"count": 3}
    return kind
"""
