"""Syncs `search_appearance`: the search appearances of each day, by property and by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pyarrow as pa

from gsc_pipeline.days import Clock, Window, month_of, months_before, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.requests import (
    AppearancePages,
    AppearanceRequest,
    AppearanceTotals,
)
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.confirm import unconfirmed
from gsc_pipeline.sync.decide import HISTORY_MONTHS, Decision, Verdict, decide
from gsc_pipeline.sync.grains import Grain, grain_rows, search_type_in_tables
from gsc_pipeline.sync.ledger import LedgerKey, Status
from gsc_pipeline.sync.paging import Pages, read_pages_twice_if_moved
from gsc_pipeline.sync.read import probe
from gsc_pipeline.sync.report import OnProgress
from gsc_pipeline.sync.tables.days import KnownDays, TableDay, TableDays, read_known
from gsc_pipeline.sync.tables.runner import TableContext, TableReport, Task, TaskResult, sync_by_property
from gsc_pipeline.workspaces.registry import Workspace

DAYS = 14
"""Complete days that each sync brings up to date, however many calls that takes."""

MOST_APPEARANCES = 500
"""The most search appearances of a day. Search Console has some forty, and each is a call."""

BACKFILL_SECONDS = 600.0
"""No earlier day is read by a sync that has taken this long."""


def sync_appearance(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    window: Window | None = None,
    full: bool = False,
    backfill_calls: int = 0,
    concurrency: int = 4,
    commit_rows: int = 150_000,
    clock: Clock = utc_now,
    seconds: Callable[[], float] = time.monotonic,
    run_id: str | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> TableReport:
    """Bring the search appearances of `window` up to date, newest day first.

    Without a window, these are the last DAYS complete days, and then earlier ones of the sixteen months that
    Search Console shows, with `backfill_calls` calls at most (also those of several properties together) and
    until BACKFILL_SECONDS after the start. The next sync continues.

    A day is read if `decide` says so: if it was never read, its totals have changed, or it has become final;
    with `full`, each day of the window, by default of the last DAYS. One call per property and search type
    returns the totals of all days. Each day that is read takes one call for its appearances, and one or more
    calls for the pages of each appearance. All rows of a day are replaced in one commit. Raises only
    LakeError and StateError.
    """
    context = TableContext.start(
        workspace, console, lake, clock, run_id, commit_rows=commit_rows, on_progress=on_progress
    )
    today = pacific_today(context.now)
    if full and window is None:
        window = Window.last_complete(DAYS, today)
    span = window or Window(months_before(today, HISTORY_MONTHS), today)
    known_of = read_known(context, SEARCH_APPEARANCE, span)
    # The days of an explicit window, or else the last DAYS, are read however many calls that takes.
    current = window or Window.last_complete(DAYS, today)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="gsc-appearance") as executor:
        plan = _Plan(span, current, full, _Backfill(console, backfill_calls, seconds), executor)

        def tasks(site_url: str) -> list[Task]:
            each = [_Appearances(context, plan, site_url, kind, known_of) for kind in workspace.search_types]
            return [Task(one.run, one.search_type) for one in each]

        return sync_by_property(context, SEARCH_APPEARANCE, tasks)


class _Backfill:
    """The calls and the time that a sync may still spend on days before the last DAYS."""

    def __init__(self, console: SearchConsole, calls: int, seconds: Callable[[], float]) -> None:
        self.is_on = calls > 0
        self._console, self._calls, self._seconds = console, calls, seconds
        self._end = seconds() + BACKFILL_SECONDS

    @contextmanager
    def spent(self) -> Iterator[Callable[[], bool]]:
        """Count the calls of the block, retries included. Yields whether another day may be read."""
        before = self._console.usage().calls

        def may_continue() -> bool:
            return self._console.usage().calls - before < self._calls and self._seconds() < self._end

        try:
            yield may_continue
        finally:
            self._calls -= self._console.usage().calls - before


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a sync reads of each property.

    Due days in `current` are read, those in the rest of `span` as far as `backfill` allows. `executor` reads
    the pages of a day's appearances.
    """

    span: Window
    current: Window
    full: bool
    backfill: _Backfill
    executor: ThreadPoolExecutor


class _Appearances:
    """The search appearances of one property and search type."""

    def __init__(
        self,
        context: TableContext,
        plan: _Plan,
        site_url: str,
        search_type: SearchType,
        known_of: Callable[[LedgerKey], KnownDays],
    ) -> None:
        self._context, self._plan = context, plan
        self._site_url, self._asked_type = site_url, search_type
        self.search_type = search_type_in_tables(search_type)
        self._known = known_of((site_url, self.search_type))
        self._has_appearances = bool(self._known.held)

    def run(self, result: TaskResult) -> None:
        days = TableDays(self._context, SEARCH_APPEARANCE, result, self._known.in_ledger)
        decisions = self._decide(result)
        result.unchanged += sum(
            one.verdict is Verdict.UNCHANGED and one.totals.impressions > 0 for one in decisions
        )
        # Provisional data can disappear and come back: its rows stay until the day is final.
        empty = [
            one
            for one in decisions
            if one.verdict is Verdict.CLEAR
            and (one.status is Status.EMPTY or one.day not in self._known.held)
        ]
        days.clear(empty, self._known.held)
        due = [one for one in decisions if one.verdict is Verdict.READ]
        is_done = days.read([one for one in due if one.day in self._plan.current], self._read)
        if is_done and self._plan.backfill.is_on:
            earlier = [one for one in due if one.day not in self._plan.current]
            with self._plan.backfill.spent() as may_continue:
                days.read(earlier, self._read, may_continue=may_continue)

    def _decide(self, result: TaskResult) -> list[Decision]:
        """The decisions. A decision to remove rows is left out unless a second answer confirms it."""
        console, today = self._context.console, pacific_today(self._context.now)
        probed = probe(console, self._site_url, self._asked_type, self._plan.span)
        decisions = decide(self._plan.span, probed, self._known.records, today=today, full=self._plan.full)
        cleared = [
            one.day for one in decisions if one.verdict is Verdict.CLEAR and one.day in self._known.held
        ]
        problem = unconfirmed(console, self._site_url, self._asked_type, cleared)
        if problem is None:
            return decisions
        result.problems.append(problem)
        return [one for one in decisions if one.day not in problem.days]

    def _read(self, decision: Decision) -> TableDay | None:
        day, is_held = decision.day, decision.day in self._known.held
        totals = self._pages(AppearanceTotals(self._asked_type, day))
        calls = totals.api_calls
        if totals.rows.num_rows == 0 and is_held and decision.status is not Status.FINAL:
            return None
        if totals.rows.num_rows == 0 and self._has_appearances:
            # One empty answer may be wrong, so only a second one deletes rows, or counts as a read.
            totals = self._pages(AppearanceTotals(self._asked_type, day))
            calls += totals.api_calls
        if totals.rows.num_rows > MOST_APPEARANCES:
            raise WrongAnswerError(f"the answer names {totals.rows.num_rows} search appearances of {day}")
        appearances = totals.rows["searchAppearance"]
        self._has_appearances |= len(appearances) > 0
        requests = [AppearancePages(self._asked_type, one, day) for one in appearances.to_pylist()]
        by_page = list(self._plan.executor.map(self._pages_of_appearance, requests))
        rows = [
            self._rows(Grain.PROPERTY, totals.rows, decision, appearances),
            *(
                self._rows(Grain.PAGE, pages.rows, decision, request.appearance)
                for request, pages in zip(requests, by_page, strict=True)
            ),
        ]
        return TableDay(
            pa.concat_tables(rows),
            truncated=any(pages.is_cut for pages in by_page),
            api_calls=calls + sum(pages.api_calls for pages in by_page),
        )

    def _pages(self, request: AppearanceRequest) -> Pages:
        return read_pages_twice_if_moved(self._context.console, self._site_url, request)

    def _pages_of_appearance(self, request: AppearancePages) -> Pages:
        """The pages of an appearance that the day has; one empty answer may be wrong."""
        pages = self._pages(request)
        if pages.received:
            return pages
        again = self._pages(request)
        return replace(again, api_calls=pages.api_calls + again.api_calls)

    def _rows(
        self, grain: Grain, rows: pa.Table, decision: Decision, appearance: str | pa.ChunkedArray
    ) -> pa.Table:
        values = {
            "workspace": self._context.workspace.id,
            "month": month_of(decision.day),
            "data_date": decision.day,
            "site_url": self._site_url,
            "search_type": self.search_type,
            "search_appearance": appearance,
            "is_final": decision.status is Status.FINAL,
        }
        return grain_rows(SEARCH_APPEARANCE, grain, rows, values)
