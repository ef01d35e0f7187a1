"""Looks a machine, or the server itself, over: step by step, each with its time, what was found and what helps.

``plan`` is pure: steps, and what is skipped. ``machine`` puts a look together from the hands of ``reach`` and
``inside``; ``look`` is what runs on the node; ``server`` looks at home; ``words`` shows a report. Nothing is changed on
a machine but for its root folder, which is tried and left as it was found.
"""
