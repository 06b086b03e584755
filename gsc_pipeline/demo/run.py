"""Running commands against the demonstration's simulator."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gsc_pipeline.demo.world import demonstration

FOLDER = Path("data/demo")
"""Where the demonstration's files go, under the working directory."""

BY_PROPERTY = """
    SELECT workspace, site_url AS property, count(DISTINCT data_date) AS days,
           sum(clicks) AS clicks, sum(impressions) AS impressions,
           round(100.0 * sum(clicks) / sum(impressions), 2) AS ctr_percent,
           round(sum(sum_top_position) / sum(impressions) + 1, 1) AS position,
           round(100.0 * sum(impressions) FILTER (is_anonymized_query) / sum(impressions), 1)
               AS anonymised_percent
    FROM searchdata_site_impression GROUP BY ALL ORDER BY clicks DESC"""
"""SQL: the totals that the lake holds of each property."""

_TOP_QUERIES = """
    SELECT query, sum(clicks) AS clicks, sum(impressions) AS impressions,
           round(sum(sum_top_position) / sum(impressions) + 1, 1) AS position
    FROM searchdata_site_impression
    WHERE workspace = 'bluebird' AND NOT is_anonymized_query
    GROUP BY query ORDER BY clicks DESC, query LIMIT 10"""


def run_demo() -> int:
    """Sync the demonstration, print tables of the lake, and return the exit code.

    The settings of the environment do not apply: nothing but `FOLDER` is written.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GSC_", "DAGSTER_"))}
    folder = FOLDER.absolute()
    with demonstration(folder) as settings:
        environment = {**kept, **settings, "GSC_AUDIT_LOG": str(folder / "audit.log")}
        for command, shown in (
            (["gsc", "sync", "--days", "28"], "gsc sync --days 28"),
            (["gsc", "query", BY_PROPERTY], f'gsc query "{BY_PROPERTY}"'),
            (["gsc", "query", _TOP_QUERIES], f'gsc query "{_TOP_QUERIES}"'),
        ):
            print(f"\n$ {shown}", flush=True)  # noqa: T201
            # In a folder without the `.env` of the user, which would replace these settings.
            if code := _run(command, environment, folder):
                return code
    print(next_steps())  # noqa: T201
    return 0


def run_in_demo(command: Sequence[str]) -> int:
    """Run a command with the environment and the demonstration's settings, and return its exit code."""
    with demonstration(FOLDER) as settings:
        return _run(command, {**os.environ, **settings})


def next_steps() -> str:
    """What to do after the demonstration, as commands of a checkout or of an installed package."""
    gsc = "gsc" if shutil.which("gsc") else os.path.relpath(_program("gsc"))
    python = os.path.relpath(sys.executable)
    dagster = f"{python} -m gsc_pipeline.demo dagster dev -m gsc_pipeline.definitions"
    if Path("Makefile").exists() and Path("gsc_pipeline/demo").is_dir():
        dagster = "make up"
    return f"""
This was a sync of made-up numbers over Search Console's protocol. All its files are in {FOLDER}.
What to do next:
  GSC_LAKE={FOLDER}/lake {gsc} query "SHOW TABLES"
      query the tables of the lake with SQL
  {dagster}
      the same in Dagster's UI, on http://127.0.0.1:3000: open an asset and materialize it, or switch on
      gsc_auto_sync under Automation
  {gsc} simulate --export DIR
      the same with your own site, from the CSV files of Search Console's export button
  docs/setup.md in the project's repository
      your own properties, through Google's API"""


def _run(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> int:
    process = subprocess.Popen([_program(command[0]), *command[1:]], env=environment, cwd=folder)
    # The terminal sends Ctrl-C to the command too, and a request to end is passed on. Either way this process
    # serves until the command has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
    return process.wait()


def _program(name: str) -> str:
    """The program of this Python's environment, or else of the PATH."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=folders) or name
