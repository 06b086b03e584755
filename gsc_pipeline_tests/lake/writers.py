"""Processes that commit to one table at the same moment, each commit under a run id of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from gsc_pipeline.lake.lake import RUN_ID, Lake
from gsc_pipeline.lake.schemas import URL_IMPRESSION
from gsc_pipeline.lake.targets import Target
from gsc_pipeline_tests.waiting import HANG_SECONDS

DAY = date(2026, 11, 20)
SITE = "sc-domain:acme.com"


@dataclass(frozen=True)
class Written:
    """The seconds of each commit by its run id, the errors of those that failed, and the seconds of all."""

    seconds: dict[str, float]
    errors: tuple[str, ...]
    wall: float


def write_at_once(uri: str, *, writers: int, commits: int) -> Written:
    """Let every writer commit so often, by turns appending a row and replacing what it has appended."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(writers + 1), context.Queue()
    processes = [
        context.Process(target=write, args=(uri, number, commits, start, results))
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    start.wait(HANG_SECONDS)
    began = time.perf_counter()
    found = [results.get(timeout=10 * HANG_SECONDS) for _ in processes]
    wall = time.perf_counter() - began
    for process in processes:
        process.join()
    seconds = {run: taken for one, _ in found for run, taken in one.items()}
    return Written(seconds, tuple(error for _, one in found for error in one), wall)


def write(uri: str, number: int, commits: int, start: Any, results: Any) -> None:
    """The commits of one process."""
    lake, workspace = Lake(uri), f"w{number:02d}"
    seconds, errors = {}, []
    start.wait(HANG_SECONDS)
    for commit in range(commits):
        run = lake.for_run(f"{workspace}-{commit}")
        began = time.perf_counter()
        try:
            if commit % 2:
                target = Target(workspace, SITE, "WEB", (DAY,))
                run.replace(URL_IMPRESSION, target, _row(workspace, commit))
            else:
                run.append(URL_IMPRESSION, _row(workspace, commit))
            seconds[f"{workspace}-{commit}"] = time.perf_counter() - began
        # The error is the result: what failed is counted by the process that asked for it.
        except Exception as error:  # noqa: BLE001
            errors.append(repr(error))
    results.put((seconds, errors))


def commits_by_run(uri: str) -> Counter[str]:
    """How many commits of the table's log carry each run id. The creation of the table is left out."""
    history = DeltaTable(Lake(uri).table_uri(URL_IMPRESSION)).history()
    return Counter(one[RUN_ID] for one in history if one["operation"] == "WRITE")


def clicks(uri: str) -> dict[str, list[int]]:
    """The clicks of each writer's rows, which are the numbers of the commits that wrote them."""
    found: dict[str, list[int]] = {}
    for row in Lake(uri).read(URL_IMPRESSION, columns=["workspace", "clicks"]).to_pylist():
        found.setdefault(row["workspace"], []).append(row["clicks"])
    return {workspace: sorted(numbers) for workspace, numbers in sorted(found.items())}


def clicks_after(writers: int, commits: int) -> dict[str, list[int]]:
    """What `clicks` has to find: a replacement holds its own row, an append adds one."""
    last = commits - 1
    held = [last] if last % 2 or not last else [last - 1, last]
    return {f"w{number:02d}": held for number in range(writers)}


def _row(workspace: str, number: int) -> pa.Table:
    schema = URL_IMPRESSION.schema
    given = {
        "workspace": workspace,
        "month": f"{DAY:%Y-%m}",
        "site_url": SITE,
        "search_type": "WEB",
        "data_date": DAY,
        "clicks": number,
    }
    zero = {"string": "", "int64": 0, "bool": False, "double": 0.0}
    row = {field.name: given.get(field.name, zero.get(str(field.type))) for field in schema}
    return pa.Table.from_pylist([row], schema=schema)
