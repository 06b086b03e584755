"""Syncs `searchdata_hourly`: the hours of the last ten days, by property and by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import ONE_DAY, PACIFIC, Clock, Window, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, days_between
from gsc_pipeline.lake.schemas import SEARCHDATA_HOURLY
from gsc_pipeline.search_console.answers import Answer
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.search_console.requests import HourlyPages, HourlyTotals
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.decide import Decision, Verdict
from gsc_pipeline.sync.grains import Grain, grain_rows, search_type_in_tables
from gsc_pipeline.sync.ledger import DayTotals, LedgerKey, Status
from gsc_pipeline.sync.paging import read_pages_twice_if_moved
from gsc_pipeline.sync.report import OnProgress
from gsc_pipeline.sync.tables.days import KnownDays, TableDay, TableDays, read_known
from gsc_pipeline.sync.tables.runner import TableContext, TableReport, Task, TaskResult, sync_by_property
from gsc_pipeline.workspaces.registry import Workspace

DAYS = 10
"""Days, including today, that Search Console shows by hour."""

_COMPARED = ("hour_start", "clicks", "impressions", "sum_position", "is_complete")


def sync_hourly(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    full: bool = False,
    commit_rows: int = 150_000,
    clock: Clock = utc_now,
    run_id: str | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> TableReport:
    """Bring the hours of the last ten days up to date, newest day first.

    One call per property and search type returns the property's hours of all days. A day is unchanged if all
    its hours are complete and equal those in the lake, unless `full` is true. Any other day is read by page,
    and all its rows are replaced in one commit. A day that the answer does not contain keeps its rows. A day
    of which the API cuts off pages is `truncated` in `more_ledger`. Raises only LakeError and StateError.
    """
    context = TableContext.start(
        workspace, console, lake, clock, run_id, commit_rows=commit_rows, on_progress=on_progress
    )
    today = pacific_today(context.now)
    window = Window.inclusive(today - (DAYS - 1) * ONE_DAY, today)
    known_of = read_known(context, SEARCHDATA_HOURLY, window)

    def tasks(site_url: str) -> list[Task]:
        each = [_Hours(context, site_url, kind, window, known_of, full) for kind in workspace.search_types]
        return [Task(one.run, one.search_type) for one in each]

    return sync_by_property(context, SEARCHDATA_HOURLY, tasks)


class _Hours:
    """The hours of one property and search type."""

    def __init__(
        self,
        context: TableContext,
        site_url: str,
        search_type: SearchType,
        window: Window,
        known_of: Callable[[LedgerKey], KnownDays],
        full: bool,
    ) -> None:
        self._context, self._window, self._full = context, window, full
        self._site_url = site_url
        self._asked_type = search_type
        self.search_type = search_type_in_tables(search_type)
        self._known = known_of((site_url, self.search_type))

    def run(self, result: TaskResult) -> None:
        answer = self._context.console.query(self._site_url, HourlyTotals(self._asked_type, self._window))
        shown = self._rows(Grain.PROPERTY, answer.rows, answer)
        held = self._held()
        days = sorted(set(shown["data_date"].to_pylist()), reverse=True)
        due = [
            Decision(day, Verdict.READ, status, totals, reason)
            for day in days
            for status, totals in [_state_of(_of(shown, day))]
            if (reason := self._reason_to_read(day, _of(shown, day), _of(held, day)))
        ]
        result.unchanged += len(days) - len(due)
        TableDays(self._context, SEARCHDATA_HOURLY, result, self._known.in_ledger).read(
            due, lambda one: self._read(one.day, _of(shown, one.day), answer)
        )

    def _reason_to_read(self, day: date, shown: pa.Table, held: pa.Table) -> str:
        if self._full:
            return "full read requested"
        record = self._known.records.get(day)
        if record is None or record.status in (Status.FAILED, Status.WRITING):
            return "never read, or the read was interrupted"
        return "" if _is_settled(shown, held) else "hours changed or incomplete"

    def _read(self, day: date, totals: pa.Table, answer: Answer) -> TableDay:
        request = HourlyPages(self._asked_type, day)
        pages = read_pages_twice_if_moved(self._context.console, self._site_url, request)
        if pages.rows.num_rows == 0:
            raise ServiceUnavailableError(f"the answer has no page of {day}, which has data")
        rows = pa.concat_tables([totals, self._rows(Grain.PAGE, pages.rows, answer)])
        return TableDay(rows, truncated=pages.is_cut, api_calls=pages.api_calls)

    def _rows(self, grain: Grain, rows: pa.Table, answer: Answer) -> pa.Table:
        hours = pc.dictionary_encode(rows["hour"]).combine_chunks()
        moments = [datetime.fromisoformat(text) for text in hours.dictionary.to_pylist()]
        here = [moment.astimezone(PACIFIC) for moment in moments]
        first_incomplete = answer.first_incomplete_hour

        def each(values: list[Any], type_: pa.DataType) -> pa.Array:
            return pa.array(values, type_).take(hours.indices)

        schema = SEARCHDATA_HOURLY.schema
        return grain_rows(
            SEARCHDATA_HOURLY,
            grain,
            rows,
            {
                "workspace": self._context.workspace.id,
                "site_url": self._site_url,
                "search_type": self.search_type,
                "hour_start": each(moments, schema.field("hour_start").type),
                "hour": each([moment.hour for moment in here], pa.int64()),
                "data_date": each([moment.date() for moment in here], pa.date32()),
                "month": each([month_of(moment.date()) for moment in here], pa.string()),
                "is_complete": each(
                    [first_incomplete is None or moment < first_incomplete for moment in moments], pa.bool_()
                ),
            },
        )

    def _held(self) -> pa.Table:
        return self._context.lake.read(
            SEARCHDATA_HOURLY,
            columns=["data_date", *_COMPARED],
            where=days_between(self._window.start, self._window.last)
            & (pc.field("site_url") == self._site_url)
            & (pc.field("search_type") == self.search_type)
            & (pc.field("grain") == Grain.PROPERTY.value),
            workspace=self._context.workspace.id,
        )


def _of(rows: pa.Table, day: date) -> pa.Table:
    return rows.filter(pc.field("data_date") == day)


def _is_settled(shown: pa.Table, held: pa.Table) -> bool:
    """Whether all the day's hours are complete and equal to those in the lake."""
    is_complete = bool(pc.all(shown["is_complete"]).as_py())
    return is_complete and _comparable(shown) == _comparable(held)


def _state_of(shown: pa.Table) -> tuple[Status, DayTotals]:
    """The status and the totals of a day, from the property's hours."""
    clicks, impressions, positions = (
        pc.sum(shown[name]).as_py() for name in ("clicks", "impressions", "sum_position")
    )
    position = None if positions is None or not impressions else positions / impressions + 1
    is_complete = pc.all(shown["is_complete"]).as_py()
    return Status.FINAL if is_complete else Status.PROVISIONAL, DayTotals(clicks, impressions, position)


def _comparable(rows: pa.Table) -> list[dict[str, Any]]:
    hours: list[dict[str, Any]] = rows.select(_COMPARED).sort_by("hour_start").to_pylist()
    return hours
