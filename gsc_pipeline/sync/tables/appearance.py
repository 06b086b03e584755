"""Syncs `search_appearance`: the search appearances of the last days, by property and by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, Window, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, Target, days_between
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.requests import AppearancePages, AppearanceTotals
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.grains import Grain, grain_rows, search_type_in_tables
from gsc_pipeline.sync.paging import read_pages
from gsc_pipeline.sync.read import probe
from gsc_pipeline.sync.tables.runner import (
    TableContext,
    TableReport,
    Task,
    TaskResult,
    read_days,
    sync_by_property,
)
from gsc_pipeline.workspaces.registry import Workspace

DAYS = 14
"""Complete days that each sync covers."""


def sync_appearance(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    days: int = DAYS,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> TableReport:
    """Read the search appearances of the last `days` complete days, newest first.

    A day that was final when its rows were read is not read again. One call per property and search type
    returns which days have data and which are final. Each day takes one call for its appearances, and one or
    more calls for the pages of each appearance. All rows of a day are replaced in one commit. Raises only
    LakeError and StateError.
    """
    context = TableContext.start(workspace, console, lake, clock, run_id)
    window = Window.last_complete(days, pacific_today(context.now))

    def tasks(site_url: str) -> list[Task]:
        each = [_Appearances(context, window, site_url, kind) for kind in workspace.search_types]
        return [Task(site_url, one.run, one.search_type) for one in each]

    return sync_by_property(context, SEARCH_APPEARANCE, tasks)


class _Appearances:
    """The search appearances of one property and search type."""

    def __init__(self, context: TableContext, window: Window, site_url: str, search_type: SearchType) -> None:
        self._context = context
        self._window = window
        self._site_url = site_url
        self._asked_type = search_type
        self.search_type = search_type_in_tables(search_type)

    def run(self, result: TaskResult) -> None:
        probed = probe(self._context.console, self._site_url, self._asked_type, self._window)
        held = self._held()
        due = [day for day in sorted(probed.totals, reverse=True) if not held.get(day, False)]
        result.unchanged += len(probed.totals) - len(due)
        first_incomplete = probed.first_incomplete

        def read(day: date) -> int:
            is_final = first_incomplete is None or day < first_incomplete
            return self._read(day, is_final=is_final, is_held=day in held)

        read_days(result, due, read)

    def _read(self, day: date, *, is_final: bool, is_held: bool) -> int:
        console = self._context.console
        request = AppearanceTotals(self._asked_type, day)
        totals = read_pages(console, self._site_url, request).rows
        if totals.num_rows == 0:
            # Provisional data can disappear and come back: its rows stay until the day is final.
            if not (is_final and is_held):
                return 0
            # One empty answer may be wrong, so only a second one deletes rows.
            totals = read_pages(console, self._site_url, request).rows
        appearances = totals["searchAppearance"]
        rows = [self._rows(Grain.PROPERTY, totals, day, appearances, is_final)]
        for appearance in appearances.to_pylist():
            pages = AppearancePages(self._asked_type, appearance, day)
            by_page = read_pages(console, self._site_url, pages).rows
            rows.append(self._rows(Grain.PAGE, by_page, day, appearance, is_final))
        target = Target(self._context.workspace.id, self._site_url, self.search_type, (day,))
        written = pa.concat_tables(rows)
        self._context.lake.replace(SEARCH_APPEARANCE, target, written)
        count: int = written.num_rows
        return count

    def _rows(
        self, grain: Grain, rows: pa.Table, day: date, appearance: str | pa.ChunkedArray, is_final: bool
    ) -> pa.Table:
        values = {
            "workspace": self._context.workspace.id,
            "month": month_of(day),
            "data_date": day,
            "site_url": self._site_url,
            "search_type": self.search_type,
            "search_appearance": appearance,
            "is_final": is_final,
        }
        return grain_rows(SEARCH_APPEARANCE, grain, rows, values)

    def _held(self) -> Mapping[date, bool]:
        """The days that have rows, and whether each was final when it was read."""
        where = (
            (pc.field("workspace") == self._context.workspace.id)
            & days_between(self._window.start, self._window.last)
            & (pc.field("site_url") == self._site_url)
            & (pc.field("search_type") == self.search_type)
            & (pc.field("grain") == Grain.PROPERTY.value)
        )
        rows = self._context.lake.read(SEARCH_APPEARANCE, columns=["data_date", "is_final"], where=where)
        return {row["data_date"]: row["is_final"] for row in rows.to_pylist()}
