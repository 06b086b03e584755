"""Syncs `properties`: the properties that a credential can see, one row for each change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, month_of, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import PROPERTIES
from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.sync.tables.runner import TableContext, TableReport, TaskResult, sync_table
from gsc_pipeline.workspaces.registry import Workspace


class ChangeKind(StrEnum):
    """What happened to a property, as the credential sees it."""

    ADDED = "added"
    CHANGED = "changed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """A property that was added, changed its permission level, or was lost. Levels as in the API."""

    site_url: str
    change: ChangeKind
    permission_level: str | None
    previous_level: str | None


def sync_properties(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> TableReport:
    """List the properties that the credential can see, and record the changes since the last list."""
    context = TableContext.start(workspace, console, lake, clock, run_id)

    def run(results: list[TaskResult]) -> None:
        sites = console.sites()
        known = known_properties(lake, workspace.id)
        if known and not sites:
            raise WrongAnswerError(f"the list of properties is empty, although it had {len(known)} before")
        changes = record_properties(lake, workspace.id, sites, context.now, context.run_id, known)
        changed = {change.site_url for change in changes}
        for site_url in sorted(changed | {site.site_url for site in sites}):
            n = int(site_url in changed)
            results.append(TaskResult(site_url, read=n, unchanged=1 - n, rows=n))

    return sync_table(context, PROPERTIES, run)


def record_properties(
    lake: Lake,
    workspace_id: str,
    sites: Iterable[Site],
    now: datetime,
    run_id: str,
    known: Iterable[KnownProperty],
) -> tuple[PropertyChange, ...]:
    """Record the changes since `known` was recorded, in one commit. Without a change nothing is written.

    `sites` are all properties that the credential can see at `now` (aware), unverified ones included.
    """
    changes = changes_between(levels_now(known), sites)
    if changes:
        rows = [
            {
                **asdict(change),
                "workspace": workspace_id,
                "month": month_of(now.astimezone(UTC).date()),
                "observed_at": now,
                "run_id": run_id,
            }
            for change in changes
        ]
        lake.append(PROPERTIES, pa.Table.from_pylist(rows, schema=PROPERTIES.schema))
    return changes


@dataclass(frozen=True, slots=True)
class KnownProperty:
    """A recorded property: its current permission level (None if it is lost), and all its levels so far."""

    site_url: str
    permission_level: str | None
    levels: frozenset[str]


def known_properties(lake: Lake, workspace_id: str) -> list[KnownProperty]:
    """Every property that the credential has ever seen, as recorded."""
    rows = lake.read(
        PROPERTIES,
        columns=["site_url", "observed_at", "permission_level"],
        where=pc.field("workspace") == workspace_id,
    )
    levels: dict[str, list[str | None]] = {}
    for row in rows.sort_by("observed_at").to_pylist():
        levels.setdefault(row["site_url"], []).append(row["permission_level"])
    return [
        KnownProperty(site_url, its_levels[-1], frozenset(level for level in its_levels if level))
        for site_url, its_levels in levels.items()
    ]


def levels_now(known: Iterable[KnownProperty]) -> dict[str, str]:
    """The permission level of each property that is not lost."""
    return {one.site_url: one.permission_level for one in known if one.permission_level is not None}


def once_readable(known: Iterable[KnownProperty]) -> set[str]:
    """The properties that the credential could read at any time."""
    return {
        one.site_url for one in known if any(Site(one.site_url, level).is_readable for level in one.levels)
    }


def changes_between(known: Mapping[str, str], sites: Iterable[Site]) -> tuple[PropertyChange, ...]:
    """The changes from the known levels to those of `sites`, ordered by property."""
    seen = {site.site_url: site.permission_level for site in sites}
    changes = (_change(site_url, known.get(site_url), seen.get(site_url)) for site_url in {**known, **seen})
    return tuple(sorted((change for change in changes if change is not None), key=lambda one: one.site_url))


def _change(site_url: str, before: str | None, now: str | None) -> PropertyChange | None:
    if before == now:
        return None
    change = ChangeKind.ADDED if before is None else ChangeKind.LOST if now is None else ChangeKind.CHANGED
    return PropertyChange(site_url, change, now, before)
