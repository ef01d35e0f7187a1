# coding=utf-8
"""The smallest useful job: adds x and y, and says so under a label.

work() runs on a machine; this folder is its current directory. What it returns must be JSON.
"""

import time


def work(x, y, label="new_job"):
    total = x + y
    return {
        # Required: what is stored and shown.
        "result": "sum result: %s, label: %s, unix_time: %.3f" % (total, label, time.time()),
        # Optional: how many things this job made; summed up in the statistics. Default 1.
        "count": 1,
        # Optional: handed to work() of return_main.py on the server, where there is one. Default None: nothing to do.
        "return_data": None,
    }


if __name__ == "__main__":
    print(work(x=1, y=2, label="tried by hand"))
