"""Status, checks and health of all workspaces at once, before and after housekeeping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.scale.common import Part, Sizes, in_a_process, mib, s, timed, today, workspaces
from benchmarks.scale.filling import lake_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.maintenance import compact_and_vacuum
from gsc_pipeline.lake.quality import RULES, evaluate, schema_differences
from gsc_pipeline.monitoring.status import StateReader, workspace_states
from gsc_pipeline.sync.failures import of_configured, read_standing


def measure(folder: Path, sizes: Sizes) -> Part:
    """Measure each in a process of its own, as it is run."""
    lake = lake_of(folder.parent, sizes.workspaces, sizes.months, today())
    works: dict[str, Callable[..., Any]] = {
        "`gsc status`": state,
        "the check `no_partial_failures`": standing,
        f"all {len(RULES) + 1} data checks of `gsc_checks`, one after another": checks,
        "the health page of `gsc serve`, first": health_first,
    }
    before = [in_a_process(work, lake.uri, sizes.workspaces) for work in works.values()]
    housekeeping = timed(lambda: compact_and_vacuum(lake))
    after = [in_a_process(work, lake.uri, sizes.workspaces) for work in works.values()]
    again = in_a_process(health_again, lake.uri, sizes.workspaces)
    rows = [
        (name, s(one.wall), s(one.cpu), mib(one.peak_mib), s(two.wall), s(two.cpu))
        for name, one, two in zip(works, before, after, strict=True)
    ]
    rows.append(("the health page of `gsc serve`, later", "", "", "", s(again.result), ""))
    files = sum(table.files_after for table in housekeeping.result)
    return Part(
        f"Status and checks of {sizes.workspaces:,} workspaces with {sizes.months} months",
        ("", "wall", "CPU", "peak memory", "wall after housekeeping", "CPU after it"),
        tuple(rows),
        f"The ledger and the runs have {files:,} files: the ledger is partitioned by workspace, the runs by "
        f"month. Housekeeping took {housekeeping.wall:,.0f} s. Reading every row of a table opens every "
        "file, which takes some tenths of a millisecond each. The checks open only the files of recently "
        "read days, by the bounds in Delta's log.",
    )


def state(uri: str, count: int) -> int:
    """What `gsc status` computes."""
    return len(workspace_states(workspaces(count, Path("key.json")), Lake(uri)))


def standing(uri: str, count: int) -> int:
    """What the check of standing failures reads."""
    return len(of_configured(read_standing(Lake(uri)), workspaces(count, Path("key.json"))))


def checks(uri: str, count: int) -> int:
    """Each rule separately, as Dagster runs them."""
    lake, now = Lake(uri), datetime.now(UTC)
    active: Sequence[str] = [workspace.id for workspace in workspaces(count, Path("key.json"))]
    for rule in RULES:
        evaluate([rule], lake, active, now=now)
    return len(schema_differences(lake))


def health_first(uri: str, count: int) -> int:
    """What a server's first answer reads."""
    return len(StateReader(Lake(uri)).read(workspaces(count, Path("key.json"))))


def health_again(uri: str, count: int) -> float:
    """Seconds of its next read, when nothing has changed."""
    reader, everyone = StateReader(Lake(uri)), workspaces(count, Path("key.json"))
    reader.read(everyone)
    return timed(lambda: reader.read(everyone)).wall
