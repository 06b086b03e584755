"""Syncs `url_inspections`: inspects a limited number of pages of each property a day, most clicks first."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, days_between
from gsc_pipeline.lake.schemas import SYNC_LEDGER, URL_IMPRESSION, URL_INSPECTIONS
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import (
    FAILED_ANSWERS,
    IllegalRequestError,
    SearchConsoleError,
)
from gsc_pipeline.search_console.inspections import Inspection
from gsc_pipeline.state.store import StateError
from gsc_pipeline.sync.day_order import GIVE_UP_AFTER
from gsc_pipeline.sync.ledger import Status
from gsc_pipeline.sync.tables.runner import TableContext, TableReport, Task, TaskResult, sync_by_property
from gsc_pipeline.workspaces.registry import Workspace

PER_DAY = 500
"""Inspections of a property per Pacific day. Google allows 2,000, shared with other tools."""

RANKING_DAYS = 28
"""The pages are ranked by the clicks of this many final days."""

COMMIT_PAGES = 100
"""Inspections per commit. A run that is stopped keeps the inspections of earlier commits."""


def sync_inspections(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    per_day: int = PER_DAY,
    concurrency: int = 4,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> TableReport:
    """Inspect the due pages of each property: at most `per_day` of a property per Pacific day.

    A refusal ends the inspections of its property: the credential is not a full user, or the quota is used
    up. Earlier inspections stay committed. Raises only LakeError and StateError.
    """
    context = TableContext.start(workspace, console, lake, clock, run_id)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="gsc-inspect") as executor:

        def inspect(result: TaskResult) -> None:
            today = pacific_today(context.now)
            inspected = _inspected(context, result.site_url)
            left = per_day - inspected.filter(pc.field("inspected_on") == today).num_rows
            if left > 0:
                pages = _ranked_pages(context, result.site_url)
                urls = due_pages(pages, inspected, today, pages.num_rows)
                _Inspections(context, result, clock, executor, left).run(urls)

        return sync_by_property(context, URL_INSPECTIONS, lambda site_url: [Task(inspect)])


def due_pages(pages: pa.Table, inspected: pa.Table, today: date, most: int) -> list[str]:
    """The addresses to inspect, at most `most`.

    Pages that were never inspected come first, those with the most clicks before the others. The pages whose
    last inspection is the oldest follow.

    `pages` has url, clicks and impressions, each page once; `inspected` has a row (url, inspected_at,
    inspected_on) for each earlier inspection. A page is inspected at most once per Pacific day.
    """
    last = inspected.group_by("url").aggregate([("inspected_at", "max"), ("inspected_on", "max")])
    known = pages.join(last, keys="url", join_type="left outer")
    due = known.filter(pc.fill_null(pc.less(known["inspected_on_max"], today), True))
    order = pc.sort_indices(
        due.append_column("never", pc.is_null(due["inspected_at_max"])),
        sort_keys=[
            ("never", "descending"),
            ("inspected_at_max", "ascending"),
            ("clicks", "descending"),
            ("impressions", "descending"),
            ("url", "ascending"),
        ],
    )
    urls: list[str] = due["url"].take(order[: max(most, 0)]).to_pylist()
    return urls


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the API returned for a page, and when: an inspection, or an error of this page alone."""

    url: str
    at: datetime
    found: Inspection | SearchConsoleError


class _Inspections:
    """The inspections of one property's pages, run concurrently and committed in groups."""

    def __init__(
        self,
        context: TableContext,
        result: TaskResult,
        clock: Clock,
        executor: ThreadPoolExecutor,
        most_calls: int,
    ) -> None:
        self._context = context
        self._result = result
        self._clock = clock
        self._executor = executor
        self._left: deque[str] = deque()
        self._calls_left = most_calls
        self._illegal: list[tuple[str, IllegalRequestError]] = []
        self._failed_in_a_row = 0
        self._rejected_in_a_row = 0
        self._is_shuffled = False
        self._is_over = False
        self._lock = threading.Lock()

    def run(self, urls: Sequence[str]) -> None:
        """Inspect the pages in order, until the calls are used up. Raises the error that ends them before.

        After a page whose call fails, or several in a row that are rejected, the others follow in an order
        that differs from run to run: pages that always fail would otherwise come first in every run, and keep
        all others from being inspected. So `urls` are all pages that are due, however few calls are left.
        """
        self._left.extend(urls)
        try:
            while self._left and self._calls_left > 0 and not self._is_over:
                self._inspect_some()
        finally:
            self._report_illegal()

    def _inspect_some(self) -> None:
        pending = [self._executor.submit(self._inspect_next) for _ in range(COMMIT_PAGES)]
        done: list[_Answer] = []
        end: SearchConsoleError | StateError | None = None
        for future in pending:
            try:
                answer = future.result()
            except (SearchConsoleError, StateError) as error:
                end = end or error
                continue
            if answer is None:
                continue
            if isinstance(answer.found, Inspection):
                done.append(answer)
            elif isinstance(answer.found, IllegalRequestError):
                self._illegal.append((answer.url, answer.found))
            else:
                self._result.add_problem(answer.found, about=answer.url)
        self._commit(done)
        if end is not None:
            raise end

    def _inspect_next(self) -> _Answer | None:
        """Inspect the next page, in a thread of the pool. None if there is no page to inspect."""
        with self._lock:
            if self._is_over or not self._left or self._calls_left <= 0:
                return None
            self._calls_left -= 1
            url, failed_before = self._left.popleft(), self._failed_in_a_row
        found: Inspection | SearchConsoleError
        try:
            found = self._context.console.inspect(self._result.site_url, url)
        except IllegalRequestError as error:
            self._count_rejection()
            found = error
        except FAILED_ANSWERS as error:
            self._count_failure(failed_before)
            found = error
        except (SearchConsoleError, StateError):
            self._is_over = True
            raise
        else:
            with self._lock:
                self._failed_in_a_row = self._rejected_in_a_row = 0
        return _Answer(url, self._clock(), found)

    def _count_failure(self, failed_before: int) -> None:
        with self._lock:
            # Pages that are requested at the same time count once: all of them may be among the first.
            if self._failed_in_a_row == failed_before:
                self._failed_in_a_row += 1
                self._is_over |= self._failed_in_a_row == GIVE_UP_AFTER
                self._shuffle()

    def _count_rejection(self) -> None:
        with self._lock:
            # A single address that Google does not accept is no reason to give up the order by clicks.
            self._rejected_in_a_row += 1
            if self._rejected_in_a_row == GIVE_UP_AFTER:
                self._shuffle()

    def _shuffle(self) -> None:
        if not self._is_shuffled:
            self._is_shuffled = True
            # Each step of a shuffle would search a long deque.
            left = list(self._left)
            random.Random(self._context.run_id).shuffle(left)
            self._left = deque(left)

    def _commit(self, done: Sequence[_Answer]) -> None:
        if not done:
            return
        rows = [self._row(one) for one in done]
        self._context.lake.append(URL_INSPECTIONS, pa.Table.from_pylist(rows, schema=URL_INSPECTIONS.schema))
        self._result.read += len(rows)
        self._result.rows += len(rows)

    def _row(self, done: _Answer) -> dict[str, object]:
        assert isinstance(done.found, Inspection)
        values = asdict(done.found)
        day = pacific_today(done.at)
        return {
            **values,
            "result_json": values["raw"],
            "workspace": self._context.workspace.id,
            "month": month_of(day),
            "site_url": self._result.site_url,
            "url": done.url,
            "inspected_at": done.at,
            "inspected_on": day,
            "run_id": self._context.run_id,
        }

    def _report_illegal(self) -> None:
        if self._illegal:
            (url, error), *others = self._illegal
            more = f" and {len(others)} more" if others else ""
            self._result.add_problem(error, about=f"{url}{more}")


def _inspected(context: TableContext, site_url: str) -> pa.Table:
    of_property = (pc.field("workspace") == context.workspace.id) & (pc.field("site_url") == site_url)
    return context.lake.read(
        URL_INSPECTIONS, columns=["url", "inspected_at", "inspected_on"], where=of_property
    )


def _ranked_pages(context: TableContext, site_url: str) -> pa.Table:
    """Each page of the property's last final days, with its clicks and impressions over all search types."""
    of_property = (pc.field("workspace") == context.workspace.id) & (pc.field("site_url") == site_url)
    final = context.lake.read(
        SYNC_LEDGER, columns=["data_date"], where=of_property & (pc.field("status") == Status.FINAL.value)
    )
    days = sorted(set(final["data_date"].to_pylist()))[-RANKING_DAYS:]
    columns = ["url", "clicks", "impressions"]
    if not days:
        rows = URL_IMPRESSION.schema.empty_table().select(columns)
    else:
        where = of_property & days_between(days[0], days[-1]) & pc.field("data_date").isin(days)
        rows = context.lake.read(URL_IMPRESSION, columns=columns, where=where)
    sums = rows.group_by("url").aggregate([("clicks", "sum"), ("impressions", "sum")])
    return sums.rename_columns(columns)
