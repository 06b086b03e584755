"""Reads one day at every grain that the two tables need, and a second time if the grains do not add up."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window, pacific_today
from gsc_pipeline.lake.arrow_process import release_memory
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, TableSpec
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import (
    IllegalRequestError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    DailyTotals,
    DayRequest,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
)
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.sync.cut_days import CutDay, CutDays, Earlier
from gsc_pipeline.sync.decide import Probe
from gsc_pipeline.sync.grains import DayOf, site_rows, sums_without_a_query, url_rows
from gsc_pipeline.sync.ledger import DayRecord, DayTotals, Source, Status
from gsc_pipeline.sync.paging import GrainRows, each_key_once, read_grain
from gsc_pipeline.sync.parts import MovedError
from gsc_pipeline.sync.past_cap import exceeds, sums_by

HadQueries = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class DayRead:
    """One day as read: the rows of both tables, and the calls and seconds that the read took.

    `lacks_pages` is true if the API cut off pages that no other answer has.
    `adds_up` is false if the grains still contradict each other or the probe after a second read.
    `lost_queries` is true if a grain with queries was empty although earlier reads of the day found queries.
    `ended_by` is the failure after which no more parts of cut grains were asked for, `part_calls` are the
    calls for parts, and `parts_left` is true if a later sync may ask for more.
    """

    day: date
    site_rows: pa.Table
    url_rows: pa.Table
    lacks_pages: bool
    api_calls: int
    seconds: float
    adds_up: bool = True
    lost_queries: bool = False
    source: Source = Source.API
    ended_by: SearchConsoleError | None = None
    part_calls: int = 0
    parts_left: bool = False

    def rows_of(self, table: TableSpec) -> pa.Table:
        """The day's rows in one of the two tables."""
        return self.site_rows if table is SITE_IMPRESSION else self.url_rows

    @property
    def truncated(self) -> bool:
        """Whether the API cut off rows that no other answer has."""
        return self.lacks_pages or has_truncated(self.site_rows) or has_truncated(self.url_rows)

    def record(
        self,
        status: Status,
        totals: DayTotals,
        reason: str,
        *,
        before: DayRecord | None,
        now: datetime,
        run_id: str,
    ) -> DayRecord:
        """The ledger's record of the day as read; `before` is its previous record."""
        return DayRecord(
            self.day,
            status,
            totals,
            site_rows=self.site_rows.num_rows,
            url_rows=self.url_rows.num_rows,
            truncated=self.truncated,
            first_read_at=(before.first_read_at if before else None) or now,
            last_read_at=now,
            api_calls=self.api_calls,
            reason=reason,
            run_id=run_id,
            url_clicks=_sum(self.url_rows["clicks"]),
            url_impressions=_sum(self.url_rows["impressions"]),
            **sums_without_a_query(self.site_rows),
            lacks_pages=self.lacks_pages,
            source=self.source,
            part_calls=self.part_calls + (before.part_calls_on(pacific_today(now)) if before else 0),
            parts_left=self.parts_left,
        )


class OptionalDevice:
    """Whether the API accepts the dimension `device` for googleNews.

    Sources disagree, so the first call of a sync decides. All properties of the sync share one object, so the
    API refuses the dimension at most once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_accepted: bool | None = None

    def read(self, read: Callable[[bool], GrainRows]) -> GrainRows:
        """Call `read(with_device)`, where `with_device` is true unless the API has refused the dimension."""
        with self._lock:
            if self._is_accepted is None:
                try:
                    grain = read(True)
                except IllegalRequestError:
                    self._is_accepted = False
                else:
                    self._is_accepted = True
                    return grain
        return read(self._is_accepted)


def probe(console: SearchConsole, site_url: str, search_type: SearchType, window: Window) -> Probe:
    """Request, in one call, each day's totals over the window and the first incomplete day."""
    answer = console.query(site_url, DailyTotals(search_type, window))
    totals = {
        date.fromisoformat(row["date"]): DayTotals(row["clicks"], row["impressions"], row["position"])
        for row in answer.rows.to_pylist()
    }
    return Probe(totals, answer.first_incomplete_date)


class DayReader:
    """Reads days of one property and search type, the grains of a day concurrently."""

    def __init__(
        self,
        console: SearchConsole,
        workspace: str,
        site_url: str,
        search_type: SearchType,
        *,
        executor: ThreadPoolExecutor,
        device: OptionalDevice,
        cut_days: CutDays | None = None,
    ) -> None:
        self._console = console
        self._workspace = workspace
        self._site_url = site_url
        self._search_type = search_type
        self._executor = executor
        self._device = device
        self._cut_days = cut_days
        self.cut_rows = cut_days.options.cut_rows if cut_days else CUT_ROWS
        """Answers of at least so many rows are cut."""

    def start(
        self,
        day: date,
        expected: DayTotals,
        had_queries: HadQueries = lambda day: False,
        *,
        is_final: bool = False,
        earlier: Earlier | None = None,
    ) -> PendingDay:
        """Start to read a day. `expected` are the day's totals in the probe.

        `had_queries` returns whether an earlier read of a day found rows with a query. It is called only if
        a grain with queries is empty in this read. Cut grains of a final day are completed;
        `earlier` are the rows that earlier reads brought of such a day.
        """
        cut_day = None
        if self._cut_days and is_final:
            cut_day = self._cut_days.start(day, self._search_type, self._submit, earlier)
        return PendingDay(self, day, expected, had_queries, cut_day, self.submit(day), time.monotonic())

    def start_all(
        self, days: Iterable[tuple[date, DayTotals, bool]], had_queries: HadQueries, *, ahead: int
    ) -> Generator[PendingDay]:
        """Read days with their expected totals, and whether they are final, in order.

        At most `ahead` days are read at a time to bound memory.
        Closing the generator cancels the calls that have not started.
        """
        started: deque[PendingDay] = deque()
        try:
            for day, expected, is_final in days:
                started.append(self.start(day, expected, had_queries, is_final=is_final))
                if len(started) >= ahead:
                    yield started.popleft()
            while started:
                yield started.popleft()
        finally:
            for pending in started:
                pending.cancel()

    def submit(self, day: date) -> list[Future[GrainRows]]:
        """Start to read every grain of a day."""
        # The grains without query first: they hold the true totals.
        if isinstance(self._search_type, QueryType):
            requests: list[DayRequest] = [
                PropertyTotals(self._search_type, day),
                PageTotals(self._search_type, day),
                PropertyQueries(self._search_type, day),
                PageQueries(self._search_type, day),
            ]
            return [self._executor.submit(self._read, request) for request in requests]
        feed = self._search_type
        return [
            self._executor.submit(self._read_feed, PropertyTotals(feed, day)),
            self._executor.submit(self._read_feed, PageTotals(feed, day)),
        ]

    def _submit(self, request: DayRequest) -> Future[GrainRows]:
        return self._executor.submit(self._read_part, request)

    def _read_part(self, request: DayRequest) -> GrainRows:
        part = self._read(request)
        # A row that appeared on two pages stands in the place of one that is missing.
        return replace(part, complete=()) if part.repeats else part

    def _read_feed(self, request: PropertyTotals | PageTotals) -> GrainRows:
        if request.search_type is not FeedType.GOOGLE_NEWS:
            return self._read(request)
        return self._device.read(lambda with_device: self._read(replace(request, with_device=with_device)))

    def _read(self, request: DayRequest) -> GrainRows:
        return read_grain(self._console, self._site_url, request, self.cut_rows)

    def day_read(self, day: date, grains: Sequence[GrainRows], calls: int, seconds: float) -> DayRead:
        """Build the rows of both tables from a day's grains, in the order of `submit`."""
        of = DayOf(self._workspace, self._site_url, self._search_type, day)
        totals, page_totals, *queries = grains
        if queries:
            property_queries, page_queries = queries
            site, url = (
                rows_of(of, whole.rows, named.rows, named.complete, named.cut)
                for rows_of, whole, named in (
                    (site_rows, totals, property_queries),
                    (url_rows, page_totals, page_queries),
                )
            )
        else:
            site, url = site_rows(of, totals.rows, None), url_rows(of, page_totals.rows, None)
        return DayRead(
            day,
            site,
            url,
            lacks_pages=page_totals.is_cut,
            api_calls=calls,
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True)
class PendingDay:
    """A day being read."""

    reader: DayReader
    day: date
    expected: DayTotals
    had_queries: HadQueries
    cut_day: CutDay | None
    futures: Sequence[Future[GrainRows]]
    started: float

    def result(self) -> DayRead:
        """Wait for the day. Raises the SearchConsoleError of the first call that failed.

        A day is read a second time if its grains contradict each other or the probe, if it has no row with a
        query although earlier reads found some, or if it moved while the parts of cut grains were read.
        Raises ServiceUnavailableError if it is empty although the probe showed data.
        """
        try:
            grains = [future.result() for future in self.futures]
        except SearchConsoleError:
            self.cancel()
            raise
        calls = _calls(grains)
        adds_up = _add_up(grains, self.expected)
        lacks_queries = self._lacks_queries(grains)
        had_rows = [grain.rows.num_rows > 0 for grain in grains]
        is_read_again = not adds_up or lacks_queries
        whole = None if is_read_again else self._completed(grains)
        if is_read_again or whole is None:
            again = [future.result() for future in self.reader.submit(self.day)]
            calls += _calls(again)
            grains = [_merged(*pair) for pair in zip(grains, again, strict=True)]
            adds_up = _add_up(grains, self.expected, moving_from=self.reader.cut_rows)
            whole = self._completed(grains) if adds_up else grains
            adds_up = adds_up and whole is not None
        grains = whole or grains
        if self.expected.impressions and not all(grain.rows.num_rows for grain in grains[:2]):
            raise ServiceUnavailableError(
                f"the answer has no rows of {self.day}, which has {self.expected.impressions} impressions"
            )
        read = self.reader.day_read(self.day, grains, calls, time.monotonic() - self.started)
        lost_queries = _lost_queries(had_rows, grains) or (lacks_queries and self._lacks_queries(grains))
        read = replace(read, adds_up=adds_up, lost_queries=lost_queries)
        if self.cut_day is None:
            return read
        self.cut_day.end_without_progress(
            [rows.filter(rows["is_truncated"]) for rows in (read.site_rows, read.url_rows)]
        )
        if self.cut_day.calls:
            release_memory()
        return replace(
            read,
            api_calls=calls + self.cut_day.calls,
            ended_by=self.cut_day.error,
            part_calls=self.cut_day.calls,
            parts_left=self.cut_day.parts_left,
        )

    def _completed(self, grains: list[GrainRows]) -> list[GrainRows] | None:
        """The grains with the rows that parts brought of what the API cut off; None if the day moved."""
        if self.cut_day is None:
            return grains
        try:
            return self.cut_day.complete(grains)
        except MovedError:
            return None

    def _lacks_queries(self, grains: Sequence[GrainRows]) -> bool:
        """Whether a grain with queries is empty although earlier reads of the day found queries."""
        is_empty = any(grain.rows.num_rows == 0 for grain in grains[2:])
        return is_empty and self.expected.impressions > 0 and self.had_queries(self.day)

    def cancel(self) -> None:
        """Cancel the calls that have not started."""
        for future in self.futures:
            future.cancel()


def _lost_queries(had_rows: Sequence[bool], again: Sequence[GrainRows]) -> bool:
    """Whether a grain with queries is empty although the first read of the same day had rows of it."""
    pairs = zip(had_rows[2:], again[2:], strict=True)
    return any(had and not grain.rows.num_rows for had, grain in pairs)


def _calls(grains: Sequence[GrainRows]) -> int:
    return sum(grain.api_calls for grain in grains)


def _add_up(grains: Sequence[GrainRows], expected: DayTotals, *, moving_from: float = math.inf) -> bool:
    """Whether the grains agree with the probe and with each other.

    They disagree if the day changed during the read, or if rows moved between pages: each row that was
    received twice means that another was missed. Named queries are a part of the totals. Answers of at least
    `moving_from` rows lack rows in any case.
    """
    if any(grain.repeats and grain.rows.num_rows + grain.repeats < moving_from for grain in grains):
        return False
    if _sums(grains[0]) != (expected.clicks, expected.impressions):
        return False
    totals, page_totals, *queries = grains
    if not queries:
        return True
    of_property, of_pages = queries
    # The totals by property are complete, as they agree with the probe. Those by page may be cut.
    return _is_part(of_property, totals) and (page_totals.is_cut or _is_part(of_pages, page_totals))


def _is_part(named: GrainRows, whole: GrainRows) -> bool:
    """Whether the rows with a query can be a part of the totals, by country and device, and by page."""
    cells = [name for name in ("country", "device") if name in whole.keys]
    totals = sums_by(whole.rows, cells, ("clicks", "impressions"))
    if exceeds(named.rows, totals, is_complete=True):
        return False
    if "page" not in whole.keys:
        return True
    pages = pc.unique(named.rows["page"])
    return pc.all(pc.is_in(pages, value_set=pc.unique(whole.rows["page"]))).as_py() is not False


def _sums(grain: GrainRows) -> tuple[int, int]:
    return _sum(grain.rows["clicks"]), _sum(grain.rows["impressions"])


def _sum(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0


def has_truncated(rows: pa.Table) -> bool:
    """Whether a row is known to have queries that the API cut off."""
    return bool(pc.any(rows["is_truncated"]).as_py())


def _merged(first: GrainRows, again: GrainRows) -> GrainRows:
    """The second read. If it missed rows between pages, rows that only the first read has are added.

    As many rows as were received, repeats included, are all there are. Otherwise the grain counts as cut:
    rows are missing, and what remains of the totals is more than anonymised queries.
    """
    if not again.repeats:
        return again
    rows = each_key_once(pa.concat_tables([again.rows, first.rows]), again.keys)
    missing = again.rows.num_rows + again.repeats - rows.num_rows
    return replace(again, rows=rows, repeats=missing, complete=() if missing else again.complete)
