"""`python -m gsc_pipeline.demo`: sync the demonstration and show it, or run a command in its world."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gsc_pipeline.demo.world import demonstration

FOLDER = Path("data/demo")

_BY_PROPERTY = """
    SELECT workspace, site_url AS property, count(DISTINCT data_date) AS days,
           sum(clicks) AS clicks, sum(impressions) AS impressions,
           round(100.0 * sum(clicks) / sum(impressions), 2) AS ctr_percent,
           round(sum(sum_top_position) / sum(impressions) + 1, 1) AS position,
           round(100.0 * sum(impressions) FILTER (is_anonymized_query) / sum(impressions), 1)
               AS anonymised_percent
    FROM searchdata_site_impression GROUP BY ALL ORDER BY clicks DESC"""

_TOP_QUERIES = """
    SELECT query, sum(clicks) AS clicks, sum(impressions) AS impressions,
           round(sum(sum_top_position) / sum(impressions) + 1, 1) AS position
    FROM searchdata_site_impression
    WHERE workspace = 'bluebird' AND NOT is_anonymized_query
    GROUP BY query ORDER BY clicks DESC, query LIMIT 10"""

_NEXT = f"""
This was the whole pipeline over the real wire protocol, with made-up numbers. The lake is in {FOLDER}/lake.
What to do next:
  make up          the same in Dagster's UI, on http://127.0.0.1:3000: open an asset and materialize it,
                   or switch on gsc_auto_sync under Automation
  .venv/bin/gsc simulate --export DIR
                   your own site, from the CSV files of Search Console's export button
  docs/setup.md    your own properties, through Google's API"""


def main(command: Sequence[str]) -> int:
    """Run `command` in the demonstration's world, or sync and show it. Returns the exit code."""
    with demonstration(FOLDER) as environment:
        if command:
            return _run(command, environment)
        for step in (
            ["gsc", "sync", "--days", "28"],
            ["gsc", "query", _BY_PROPERTY],
            ["gsc", "query", _TOP_QUERIES],
        ):
            print(f"\n$ {step[0]} {step[1]} {' '.join(step[2:]).strip()}", flush=True)  # noqa: T201
            code = _run(step, environment)
            if code:
                return code
    print(_NEXT)  # noqa: T201
    return 0


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    beside = Path(sys.executable).with_name(command[0])
    program = str(beside) if beside.exists() else command[0]
    process = subprocess.Popen([program, *command[1:]], env=environment)
    # Ctrl-C reaches the command as well, and a request to end is passed on: this waits for it either way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
