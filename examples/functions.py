"""Functions on machines, with no job folder: python examples/functions.py (needs a server, and multijob[functions])."""

from multijob import Executor

with Executor() as executor:
    print(sum(executor.map(lambda n: n * n, range(1000), chunksize=50)))
    future = executor.submit(divmod, 1, 0)
    try:
        future.result()
    except ZeroDivisionError as error:
        print(error.__cause__)  # the machine, the attempt, and the traceback from there
