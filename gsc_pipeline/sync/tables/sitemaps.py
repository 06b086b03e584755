"""Syncs `sitemaps`: the sitemaps of each property, one row per sitemap and Pacific day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, sql_text
from gsc_pipeline.lake.schemas import SITEMAPS
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.sitemaps import Sitemap
from gsc_pipeline.sync.tables.runner import TableContext, TableReport, Task, TaskResult, sync_by_property
from gsc_pipeline.workspaces.registry import Workspace


@dataclass(frozen=True, slots=True)
class _Observation:
    """Selects the rows of one property and day."""

    workspace: str
    site_url: str
    day: date

    def predicate(self) -> str:
        return (
            f"workspace = {sql_text(self.workspace)} AND month = {sql_text(month_of(self.day))} "
            f"AND site_url = {sql_text(self.site_url)} AND observed_on = DATE '{self.day}'"
        )


def sync_sitemaps(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> TableReport:
    """List every property's sitemaps, and replace the rows of the current Pacific day.

    If a list cannot be read, earlier rows of the day stay. An empty list of a property that had sitemaps is
    requested again. Raises only LakeError and StateError.
    """
    context = TableContext.start(workspace, console, lake, clock, run_id)

    def observe(result: TaskResult) -> None:
        seen = console.sitemaps(result.site_url)
        if not seen and _was_listed(context, result.site_url):
            # One empty answer may be wrong.
            seen = console.sitemaps(result.site_url)
        day = pacific_today(context.now)
        rows = sitemap_rows(context, result.site_url, seen)
        if rows.num_rows or lake.dataset(SITEMAPS) is not None:
            lake.replace(SITEMAPS, _Observation(workspace.id, result.site_url, day), rows)
        result.read += 1
        result.rows += rows.num_rows

    return sync_by_property(context, SITEMAPS, lambda site_url: [Task(observe)])


def _was_listed(context: TableContext, site_url: str) -> bool:
    of_property = (pc.field("workspace") == context.workspace.id) & (pc.field("site_url") == site_url)
    return bool(context.lake.read(SITEMAPS, columns=["path"], where=of_property).num_rows)


def sitemap_rows(context: TableContext, site_url: str, sitemaps: Iterable[Sitemap]) -> pa.Table:
    """Rows of the table `sitemaps`, one for each sitemap, dated by the start of the sync."""
    day = pacific_today(context.now)
    rows = [
        {
            "workspace": context.workspace.id,
            "month": month_of(day),
            "site_url": site_url,
            "observed_on": day,
            "observed_at": context.now,
            "path": sitemap.path,
            "type": sitemap.type or None,
            "is_index": sitemap.is_index,
            "is_pending": sitemap.is_pending,
            "last_submitted": sitemap.last_submitted,
            "last_downloaded": sitemap.last_downloaded,
            "warnings": sitemap.warnings,
            "errors": sitemap.errors,
            "submitted": sum(content.submitted for content in sitemap.contents),
            "indexed": sum(content.indexed for content in sitemap.contents),
            "contents": [
                {"kind": content.type, "submitted": content.submitted, "indexed": content.indexed}
                for content in sitemap.contents
            ],
            "run_id": context.run_id,
        }
        for sitemap in sitemaps
    ]
    return pa.Table.from_pylist(rows, schema=SITEMAPS.schema)
