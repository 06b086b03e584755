"""The sitemaps of each property: a row for each and Pacific day, the day's last look in place of its first.

Belongs here: what is kept of a list of sitemaps. Does not: its wire format (`search_console.sitemaps`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from gsc_pipeline.days import Clock, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, sql_text
from gsc_pipeline.lake.schemas import SITEMAPS
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.sitemaps import Sitemap
from gsc_pipeline.sync.sources import Part, SourceContext, SourceReport, Tally, sync_parts
from gsc_pipeline.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class _Observation:
    """The rows of what was seen of one property on one day."""

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
) -> SourceReport:
    """Look at every property's sitemaps, and keep them as those of the Pacific day it is.

    A list that cannot be read leaves what was seen earlier in the day. Raises only LakeError.
    """
    context = SourceContext.starting(workspace, console, lake, clock, run_id)

    def observe(tally: Tally) -> None:
        seen = console.sitemaps(tally.site_url)
        day = pacific_today(context.now)
        rows = sitemap_rows(context, tally.site_url, seen)
        if rows.num_rows or lake.dataset(SITEMAPS) is not None:
            lake.replace(SITEMAPS, _Observation(workspace.id, tally.site_url, day), rows)
        tally.read += 1
        tally.rows += rows.num_rows

    return sync_parts(context, SITEMAPS, lambda site_url: [Part(site_url, observe)])


def sitemap_rows(context: SourceContext, site_url: str, sitemaps: Iterable[Sitemap]) -> pa.Table:
    """Rows of the table `sitemaps`, one for each, as seen when the sync started."""
    day = pacific_today(context.now)
    rows = [
        {
            "workspace": context.workspace.id,
            "month": month_of(day),
            "site_url": site_url,
            "observed_on": day,
            "observed_at": context.now,
            "path": sitemap.path,
            "type": sitemap.kind or None,
            "is_index": sitemap.is_index,
            "is_pending": sitemap.is_pending,
            "last_submitted": sitemap.last_submitted,
            "last_downloaded": sitemap.last_downloaded,
            "warnings": sitemap.warnings,
            "errors": sitemap.errors,
            "submitted": sum(content.submitted for content in sitemap.contents),
            "indexed": sum(content.indexed for content in sitemap.contents),
            "contents": [
                {"kind": content.kind, "submitted": content.submitted, "indexed": content.indexed}
                for content in sitemap.contents
            ],
            "run_id": context.run_id,
        }
        for sitemap in sitemaps
    ]
    return pa.Table.from_pylist(rows, schema=SITEMAPS.schema)
