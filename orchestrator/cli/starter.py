"""The files a new home and a new job folder begin with. Text only."""

from typing import Final

INVENTORY_YML: Final = """\
# The machines that run your jobs. Saved changes are taken over within seconds; running jobs go on.
# Check it without a server:  mj inventory check

defaults: {limit_process: 2}          # jobs at once on each machine

machines:
  this-pc: {connection: local}        # the server's own machine, without SSH

  # lab-1:
  #   host: 10.0.0.5                  # or an alias of ~/.ssh/config
  #   user: worker
  #   tag: [crawl, gpu]               # jobs with a tag run only where it is carried
  #   limit_process: 8
"""

MAIN_PY: Final = '''\
"""work() runs on a machine, with this folder as its current directory. What it returns must be JSON."""


def work(x, y=1):
    return {"result": x + y, "count": 1, "return_data": None}


if __name__ == "__main__":
    print(work(1, 2))
'''

JOB_YML: Final = """\
# All of these are optional.
# timeout: 600          # seconds after which a job is ended
# limit_count: 1        # how often a failed job is run again
# tag: gpu              # only machines with this tag
# env: {NAME: value}    # environment variables for work()
"""
