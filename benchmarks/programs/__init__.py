"""The measured programs, each a process: `python -m benchmarks.programs.NAME JOB`.

JOB is a JSON object: `url` and `key` of the server, `site`, `start` and `end` (the first day, and the day
after the last), `folder` (a new one for the program's files), and further fields for some programs.
"""
