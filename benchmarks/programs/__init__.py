"""The programs that are measured, each a process of its own: `python -m benchmarks.programs.NAME JOB`.

JOB is a JSON object: `url` and `key` of the server, `site`, `start` and `end` (first day, and the day after
the last), `folder` (a new one for what the program writes), and what a program needs besides.
"""
