"""Reading one day: the grains that make the rows of both tables, read again when they do not add up.

Belongs here: which grains a search type has, the cap, and what contradicts what. Does not: paging
(`paging`), what the rows of a table are (`grains`), which days to read (`decide`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import (
    IllegalRequestError,
    SearchConsoleError,
    ServiceUnavailableError,
)
from gsc_pipeline.search_console.requests import (
    DAY_ROWS_CAP,
    DailyTotals,
    DayRequest,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
)
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType
from gsc_pipeline.sync.decide import Probe
from gsc_pipeline.sync.grains import DayOf, site_rows, url_rows
from gsc_pipeline.sync.ledger import DayTotals
from gsc_pipeline.sync.paging import each_key_once, read_pages

HadQueries = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class DayRead:
    """One day as read: the rows of both tables, whether a grain met the cap, and what it took.

    `adds_up` is false where the grains still contradict each other or the probe after a second read,
    `lost_queries` true where a grain with queries was empty twice though earlier reads had named rows.
    """

    day: date
    site_rows: pa.Table
    url_rows: pa.Table
    truncated: bool
    api_calls: int
    seconds: float
    adds_up: bool = True
    lost_queries: bool = False


@dataclass(frozen=True, slots=True)
class Grain:
    """All pages of one grain: its rows, each key once, and how many came twice while paging."""

    keys: tuple[str, ...]
    rows: pa.Table
    repeats: int
    truncated: bool
    api_calls: int


class OptionalDevice:
    """Whether the API takes device for googleNews: sources disagree, so the first answer decides.

    Shared by a whole sync, so that a refusal is met once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken: bool | None = None

    def read(self, read: Callable[[bool], Grain]) -> Grain:
        """`read(with_device)`, with device unless that has been refused."""
        with self._lock:
            if self._is_taken is None:
                try:
                    grain = read(True)
                except IllegalRequestError:
                    self._is_taken = False
                else:
                    self._is_taken = True
                    return grain
        return read(self._is_taken)


def probe(console: SearchConsole, site_url: str, search_type: SearchType, window: Window) -> Probe:
    """Ask, in one call, for each day's totals over the window and the first incomplete day."""
    answer = console.query(site_url, DailyTotals(search_type, window))
    try:
        totals = {
            date.fromisoformat(row["date"]): DayTotals(row["clicks"], row["impressions"], row["position"])
            for row in answer.rows.to_pylist()
        }
    except ValueError as error:
        raise ServiceUnavailableError(f"the days of the answer could not be read ({error})") from None
    return Probe(totals, answer.first_incomplete_date)


class DayReader:
    """Reads days of one property and search type, the grains of a day side by side."""

    def __init__(
        self,
        console: SearchConsole,
        workspace: str,
        site_url: str,
        search_type: SearchType,
        *,
        executor: ThreadPoolExecutor,
        device: OptionalDevice,
    ) -> None:
        self._console = console
        self._workspace = workspace
        self._site_url = site_url
        self._search_type = search_type
        self._executor = executor
        self._device = device

    def start(
        self, day: date, expected: DayTotals, had_queries: HadQueries = lambda day: False
    ) -> PendingDay:
        """Begin to read a day whose totals the probe gave as `expected`.

        `had_queries` answers whether an earlier read of a day found rows with a query. It is only asked
        where this one finds none.
        """
        return PendingDay(self, day, expected, had_queries, self.submit(day), time.monotonic())

    def submit(self, day: date) -> list[Future[Grain]]:
        """Begin to read every grain of a day."""
        # The grains without query come first: they hold the true totals, and rows with a query are
        # fewer than they if anything moves in between.
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

    def _read_feed(self, request: PropertyTotals | PageTotals) -> Grain:
        if request.search_type is not FeedType.GOOGLE_NEWS:
            return self._read(request)
        return self._device.read(lambda with_device: self._read(replace(request, with_device=with_device)))

    def _read(self, request: DayRequest) -> Grain:
        pages = read_pages(self._console, self._site_url, request)
        return Grain(
            request.dimensions,
            pages.rows,
            repeats=pages.received - pages.rows.num_rows,
            truncated=pages.received >= DAY_ROWS_CAP,
            api_calls=pages.api_calls,
        )

    def day_read(self, day: date, grains: Sequence[Grain], calls: int, seconds: float) -> DayRead:
        """Make the rows of both tables from a day's grains, in the order of `submit`."""
        of = DayOf(self._workspace, self._site_url, self._search_type, day)
        property_totals, page_totals, *queries = (grain.rows for grain in grains)
        property_queries, page_queries = queries or (None, None)
        return DayRead(
            day,
            site_rows(of, property_totals, property_queries),
            url_rows(of, page_totals, page_queries),
            truncated=any(grain.truncated for grain in grains),
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
    futures: Sequence[Future[Grain]]
    started: float

    def result(self) -> DayRead:
        """Wait for the day. Raises the SearchConsoleError of the first call that failed.

        A day whose grains do not add up (to each other, or to the probe) is read once more, as is one
        without a row with a query where earlier reads had some. Raises ServiceUnavailableError where it is
        empty though the probe showed data.
        """
        try:
            grains = [future.result() for future in self.futures]
        except SearchConsoleError:
            self.cancel()
            raise
        calls = _calls(grains)
        adds_up = _add_up(grains, self.expected)
        is_doubtful = self._lacks_queries(grains)
        if not adds_up or is_doubtful:
            again = [future.result() for future in self.reader.submit(self.day)]
            calls += _calls(again)
            grains = [_together(*pair) for pair in zip(grains, again, strict=True)]
            adds_up = _add_up(again, self.expected)
        if self.expected.impressions and not all(grain.rows.num_rows for grain in grains[:2]):
            raise ServiceUnavailableError(
                f"{self.day} was answered without rows, though it has {self.expected.impressions} impressions"
            )
        read = self.reader.day_read(self.day, grains, calls, time.monotonic() - self.started)
        lost_queries = is_doubtful and self._lacks_queries(grains)
        return replace(read, adds_up=adds_up, lost_queries=lost_queries)

    def _lacks_queries(self, grains: Sequence[Grain]) -> bool:
        """Whether a grain with queries is empty though earlier reads of the day had rows with a query."""
        is_empty = any(grain.rows.num_rows == 0 for grain in grains[2:])
        return is_empty and self.expected.impressions > 0 and self.had_queries(self.day)

    def cancel(self) -> None:
        """Leave out the calls that have not begun."""
        for future in self.futures:
            future.cancel()


def _calls(grains: Sequence[Grain]) -> int:
    return sum(grain.api_calls for grain in grains)


def _add_up(grains: Sequence[Grain], expected: DayTotals) -> bool:
    """Whether the grains agree with the probe and with each other.

    They do not when the day moved while it was read, or when ties moved between pages: each row that
    came twice then stands for one that did not come.
    """
    if any(grain.repeats for grain in grains):
        return False
    totals = _sums(grains[0])
    if totals != (expected.clicks, expected.impressions):
        return False
    # Grains come as totals then queries, by property and by page.
    return all(
        named <= total
        for whole, part in zip(grains[:2], grains[2:], strict=False)
        for named, total in zip(_sums(part), _sums(whole), strict=True)
        if not whole.truncated
    )


def _sums(grain: Grain) -> tuple[int, int]:
    return tuple(pc.sum(grain.rows[name]).as_py() or 0 for name in ("clicks", "impressions"))  # type: ignore[return-value]


def _together(first: Grain, again: Grain) -> Grain:
    """The second read; where rows were missed while paging, with those that only the first has."""
    if not again.repeats:
        return again
    rows = each_key_once(pa.concat_tables([again.rows, first.rows]), again.keys)
    return replace(again, rows=rows)
