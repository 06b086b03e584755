"""Concurrent commits of several processes to one table."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.scale.common import Part, Sizes, ms, today
from benchmarks.scale.filling import history, workspace_id
from benchmarks.scale.rows import SITE, url_rows
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import URL_IMPRESSION
from gsc_pipeline.lake.targets import Target

ROWS_A_DAY = 100


def measure(folder: Path, sizes: Sizes) -> Part:
    """Each process replaces 14 days of a workspace of its own, repeatedly."""
    days = history(1, today())[-14:]
    alone = _commits(folder / "alone", 1, sizes.commits, days)
    together = _commits(folder / "together", sizes.writers, sizes.commits, days)
    return Part(
        "Commits of many processes at once",
        ("processes", "commits", "successful", "median of a commit", "slowest", "commits a second"),
        tuple(
            (
                str(processes),
                str(processes * sizes.commits),
                str(len(seconds)),
                ms(statistics.median(seconds)),
                ms(max(seconds)),
                f"{len(seconds) / wall:,.1f}",
            )
            for processes, (seconds, wall) in ((1, alone), (sizes.writers, together))
        ),
        f"Every commit replaces 14 days of {ROWS_A_DAY} rows. Writers of different workspaces never "
        "conflict. If two write the same version of the log, one retries, so the rate of commits is limited "
        "by the processors and the log.",
    )


def _commits(folder: Path, processes: int, commits: int, days: list[date]) -> tuple[list[float], float]:
    """Seconds of each successful commit, and of all."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes + 1), context.Queue()
    runners = [
        context.Process(target=commit_often, args=(str(folder), number, commits, days, start, results))
        for number in range(processes)
    ]
    for runner in runners:
        runner.start()
    start.wait(120)
    started = time.perf_counter()
    seconds = [taken for _ in runners for taken in results.get(timeout=600)]
    wall = time.perf_counter() - started
    for runner in runners:
        runner.join()
    return seconds, wall


def commit_often(uri: str, number: int, commits: int, days: list[date], start: Any, results: Any) -> None:
    """The commits of one process, each timed. A failed one is not counted."""
    lake, workspace = Lake(uri), workspace_id(number)
    rows = url_rows(workspace, ROWS_A_DAY, days)
    start.wait(120)
    seconds = []
    try:
        for _ in range(commits):
            began = time.perf_counter()
            lake.replace(URL_IMPRESSION, Target(workspace, SITE, "WEB", tuple(days)), rows)
            seconds.append(time.perf_counter() - began)
    finally:
        results.put(seconds)
