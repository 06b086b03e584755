"""What looks at all workspaces at once: state, checks, figures; before and after tidying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.scale.common import Part, Sizes, in_a_process, mib, s, timed, today, workspaces
from benchmarks.scale.filling import lake_of
from gsc_pipeline.figures import FiguresReader
from gsc_pipeline.lake.housekeeping import compact_and_vacuum
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.quality import RULES, judge, schema_differences
from gsc_pipeline.status import workspace_states
from gsc_pipeline.sync.standing import of_configured, read_standing


def measure(folder: Path, sizes: Sizes) -> Part:
    """Each in a process of its own, as they are run."""
    lake = lake_of(folder.parent, sizes.workspaces, sizes.months, today())
    works: dict[str, Callable[..., Any]] = {
        "`gsc status`": state,
        "the check `no_partial_failures`": standing,
        f"all {len(RULES) + 1} data checks of `gsc_checks`, one after another": checks,
        "figures of `gsc serve`, at its start": figures_first,
    }
    before = [in_a_process(work, lake.uri, sizes.workspaces) for work in works.values()]
    tidying = timed(lambda: compact_and_vacuum(lake))
    after = [in_a_process(work, lake.uri, sizes.workspaces) for work in works.values()]
    again = in_a_process(figures_again, lake.uri, sizes.workspaces)
    rows = [
        (name, s(one.wall), s(one.cpu), mib(one.peak_mib), s(two.wall), s(two.cpu))
        for name, one, two in zip(works, before, after, strict=True)
    ]
    rows.append(("figures of `gsc serve`, later", "", "", "", s(again.result), ""))
    files = sum(table.files_after for table in tidying.result)
    return Part(
        f"Looking at {sizes.workspaces:,} workspaces with {sizes.months} months",
        ("", "wall", "CPU", "peak memory", "wall after housekeeping", "CPU after it"),
        tuple(rows),
        f"The ledger and the runs have {files:,} files: the one is partitioned by workspace, the other by "
        f"month; housekeeping itself took {tidying.wall:,.0f} s. Whatever reads every row of a table opens "
        "every file, some tenths of a millisecond each. The checks open those of days read lately only, "
        "which they know from the bounds in Delta's log.",
    )


def state(uri: str, count: int) -> int:
    """What `gsc status` computes."""
    return len(workspace_states(workspaces(count, Path("key.json")), Lake(uri)))


def standing(uri: str, count: int) -> int:
    """What the check of standing failures reads."""
    return len(of_configured(read_standing(Lake(uri)), workspaces(count, Path("key.json"))))


def checks(uri: str, count: int) -> int:
    """Each rule by itself, as Dagster runs them."""
    lake, now = Lake(uri), datetime.now(UTC)
    active: Sequence[str] = [workspace.id for workspace in workspaces(count, Path("key.json"))]
    for rule in RULES:
        judge([rule], lake, active, now=now)
    return len(schema_differences(lake))


def figures_first(uri: str, count: int) -> int:
    """A server's first look."""
    return len(FiguresReader(Lake(uri)).read(workspaces(count, Path("key.json"))).workspaces)


def figures_again(uri: str, count: int) -> float:
    """Seconds of its next look."""
    reader, everyone = FiguresReader(Lake(uri)), workspaces(count, Path("key.json"))
    reader.read(everyone)
    return timed(lambda: reader.read(everyone)).wall
