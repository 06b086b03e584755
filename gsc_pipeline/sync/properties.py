"""Which properties a credential can see, over time: a row for each change, none while nothing changes.

Belongs here: what a change is, and recording it. Does not: which properties a sync reads (`workspace`).
"""

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
from gsc_pipeline.sync.sources import SourceContext, SourceReport, Tally, sync_one
from gsc_pipeline.workspaces import Workspace


class Change(StrEnum):
    """What happened to a property, as the credential sees it."""

    ADDED = "added"
    CHANGED = "changed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """A property that appeared, changed its permission level, or was lost; levels are the API's words."""

    site_url: str
    change: Change
    permission_level: str | None
    previous_level: str | None


def sync_properties(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> SourceReport:
    """Ask what the credential can see, and record what has changed since it was last asked."""
    context = SourceContext.starting(workspace, console, lake, clock, run_id)

    def run(tallies: list[Tally]) -> None:
        sites = console.sites()
        changes = record_properties(lake, workspace.id, sites, context.now, context.run_id)
        changed = {change.site_url for change in changes}
        for site_url in sorted(changed | {site.site_url for site in sites}):
            moved = site_url in changed
            tallies.append(Tally(site_url, read=int(moved), unchanged=int(not moved), rows=int(moved)))

    return sync_one(context, PROPERTIES, run)


def record_properties(
    lake: Lake, workspace_id: str, sites: Iterable[Site], now: datetime, run_id: str
) -> tuple[PropertyChange, ...]:
    """Record what has changed since the last recording, in one commit; nothing is written without a change.

    `sites` is everything the credential can see at the moment `now` (aware), unverified ones included.
    """
    changes = changes_between(known_levels(lake, workspace_id), sites)
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


def known_levels(lake: Lake, workspace_id: str) -> dict[str, str]:
    """The permission level of each property that the credential could see when last asked."""
    rows = lake.read(
        PROPERTIES,
        columns=["site_url", "observed_at", "permission_level"],
        where=pc.field("workspace") == workspace_id,
    )
    latest = {row["site_url"]: row["permission_level"] for row in rows.sort_by("observed_at").to_pylist()}
    return {site_url: level for site_url, level in latest.items() if level is not None}


def changes_between(known: Mapping[str, str], sites: Iterable[Site]) -> tuple[PropertyChange, ...]:
    """What leads from the known levels to those of `sites`, by property."""
    seen = {site.site_url: site.permission_level for site in sites}
    changes = (_change(site_url, known.get(site_url), seen.get(site_url)) for site_url in {**known, **seen})
    return tuple(sorted((change for change in changes if change is not None), key=lambda one: one.site_url))


def _change(site_url: str, before: str | None, now: str | None) -> PropertyChange | None:
    if before == now:
        return None
    change = Change.ADDED if before is None else Change.LOST if now is None else Change.CHANGED
    return PropertyChange(site_url, change, now, before)
