"""Completes the days that the API cut off, and remembers where filters see no more than the cut rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.arrow_process import release_memory
from gsc_pipeline.lake.errors import DamagedError
from gsc_pipeline.lake.lake import Lake, sql_text
from gsc_pipeline.lake.schemas import PAST_CAP
from gsc_pipeline.search_console.errors import DEFERRED, SearchConsoleError, TransientError
from gsc_pipeline.search_console.requests import (
    CUT_ROWS,
    CellFilter,
    CellTotals,
    DayRequest,
    PageFilters,
    PageQueries,
    PageTotals,
    PropertyQueries,
)
from gsc_pipeline.search_console.search_types import FeedType, SearchType
from gsc_pipeline.sync.paging import GrainRows
from gsc_pipeline.sync.parts import Ask, InParts, MovedError, PagesOf, read_in_parts
from gsc_pipeline.sync.past_cap import Cell, Pages, Part, exceeds, impressions_by_cell

log = logging.getLogger(__name__)

TRIED_AGAIN_AFTER = timedelta(days=30)
"""How long filters are not tried again where they see no more than the cut rows."""

TOTALS, PAGES, QUERIES, PAGE_QUERIES = range(4)
"""The places of a day's grains, in the order in which DayReader reads them. Feeds have the first two."""


class CutGrain(StrEnum):
    """A grain that the API may cut off, as in the table `past_cap`."""

    QUERIES = "queries"
    PAGES = "pages"
    PAGE_QUERIES = "queries by page"


_PLACES = {CutGrain.QUERIES: QUERIES, CutGrain.PAGES: PAGES, CutGrain.PAGE_QUERIES: PAGE_QUERIES}
"""In the order in which they are completed: queries by page need the pages."""


@dataclass(frozen=True, slots=True)
class PastCapOptions:
    """The most calls for one day of a property and search type, and from how many rows an answer is cut."""

    calls: int = 200
    cut_rows: int = CUT_ROWS


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of `past_cap`, of one property and search type: what the parts of a cut grain last brought."""

    grain: CutGrain
    data_date: date
    tried_at: datetime
    sees_every_row: bool | None
    rows: int
    clicks: int
    impressions: int
    calls: int
    is_complete: bool

    def tells(self, now: datetime) -> bool | None:
        """Whether filters see every row, as far as that is still known."""
        return self.sees_every_row if now < self.tried_at + TRIED_AGAIN_AFTER else None


@dataclass(frozen=True, slots=True)
class TriedRows:
    """The rows of `past_cap` of some grains of a property and search type, as the target of a replacement."""

    workspace: str
    site_url: str
    search_type: str
    grains: tuple[CutGrain, ...] = tuple(CutGrain)

    def predicate(self) -> str:
        """The SQL condition for these rows."""
        grains = ", ".join(sql_text(grain.value) for grain in self.grains)
        return (
            f"workspace = {sql_text(self.workspace)} AND site_url = {sql_text(self.site_url)} "
            f"AND search_type = {sql_text(self.search_type)} AND grain IN ({grains})"
        )


def read_tried(lake: Lake, target: TriedRows) -> dict[CutGrain, Tried]:
    """What was last tried for a property and search type, nothing if the table is damaged."""
    where = (pc.field("site_url") == target.site_url) & (pc.field("search_type") == target.search_type)
    names = list(Tried.__dataclass_fields__)
    try:
        rows = lake.read(PAST_CAP, columns=names, where=where, workspace=target.workspace).to_pylist()
    except DamagedError as error:
        log.warning("workspace %s: what was tried past the cap is unknown: %s", target.workspace, error)
        return {}
    known = {grain.value: grain for grain in CutGrain}
    return {
        known[row["grain"]]: Tried(**{**row, "grain": known[row["grain"]]})
        for row in rows
        if row["grain"] in known
    }


def write_tried(lake: Lake, target: TriedRows, tried: Iterable[Tried]) -> None:
    """Replace the target's rows, unless the table is damaged. Raises LakeError."""
    of = {"workspace": target.workspace, "site_url": target.site_url, "search_type": target.search_type}
    rows = [{**of, **asdict(one), "grain": one.grain.value} for one in tried]
    try:
        lake.replace(PAST_CAP, target, pa.Table.from_pylist(rows, schema=PAST_CAP.schema))
    except DamagedError as error:
        log.warning("workspace %s: what was tried past the cap is not recorded: %s", target.workspace, error)


Read = Callable[[DayRequest], "Future[GrainRows]"]
"""Starts to read a grain of a day."""


class CutDays:
    """Completes the cut days of one property and search type within a sync.

    `known` returns what was tried before; it is called once, for the first cut day. `now` (aware) is when the
    sync started.
    """

    def __init__(
        self,
        options: PastCapOptions,
        known: Callable[[], Mapping[CutGrain, Tried]],
        *,
        now: datetime,
        at_once: int,
    ) -> None:
        self.options = options
        self._news: dict[CutGrain, Tried] = {}
        self._read_known = known
        self._known: dict[CutGrain, Tried] | None = None
        self._now, self._at_once = now, at_once
        self._is_over = False

    def start(self, day: date, search_type: SearchType, read: Read) -> CutDay:
        """What completes one day. `read` starts to read one of its grains."""
        return CutDay(self, day, search_type, read)

    def to_complete(self, grains: Sequence[GrainRows]) -> list[CutGrain]:
        """The cut grains of a day that are to be asked for in parts."""
        cut = [one for one, place in _PLACES.items() if place < len(grains) and grains[place].is_cut]
        if not cut or self._is_over or self.options.calls <= 0:
            return []
        return [one for one in cut if self._sees_every_row(one) is not False]

    def ask(
        self,
        of: CutGrain,
        grain: GrainRows,
        read: Ask,
        cells: Mapping[Cell, int],
        pages_of: PagesOf,
        calls: int,
    ) -> InParts:
        """Ask for a grain in parts, with at most `calls` calls. Raises MovedError."""
        return read_in_parts(
            read,
            grain,
            cells,
            pages_of,
            cap=self.options.cut_rows,
            calls=calls,
            at_once=self._at_once,
            sees_every_row=self._sees_every_row(of),
        )

    def note(self, day: date, of: CutGrain, found: InParts) -> None:
        """Remember what the parts of a grain brought."""
        if found.calls:
            brought = (found.rows, found.clicks, found.impressions, found.calls, not found.grain.is_cut)
            self._news[of] = Tried(of, day, self._now, found.sees_every_row, *brought)
            self._known = {**(self._known or {}), of: self._news[of]}

    def take_news(self) -> list[Tried]:
        """What was last tried of each grain since this was last called."""
        news, self._news = self._news, {}
        return list(news.values())

    def end(self, error: SearchConsoleError) -> None:
        """Ask for nothing more in this sync if the failure of a call affects the calls that follow."""
        self._is_over |= isinstance(error, DEFERRED) or not isinstance(error, TransientError)

    def _sees_every_row(self, of: CutGrain) -> bool | None:
        if self._known is None:
            self._known = dict(self._read_known())
        tried = self._known.get(of)
        return tried.tells(self._now) if tried else None


class CutDay:
    """Completes one day. `calls` are those sent for it, `error` is the failure that ended it."""

    def __init__(self, days: CutDays, day: date, search_type: SearchType, read: Read) -> None:
        self.calls = 0
        self.error: SearchConsoleError | None = None
        self._days, self._day, self._search_type, self._read = days, day, search_type, read

    def complete(self, grains: Sequence[GrainRows]) -> list[GrainRows]:
        """The grains with the rows that their parts brought. The totals do not change.

        Raises MovedError if rows contradict each other or their totals: the day moved between two answers.
        """
        done = list(grains)
        to_complete = self._days.to_complete(grains)
        try:
            by_page = self._cell_totals(grains) if set(to_complete) - {CutGrain.QUERIES} else None
            for number, of in enumerate(to_complete):
                cells = grains[TOTALS].rows if by_page is None or of is CutGrain.QUERIES else by_page
                left = (self._days.options.calls - self.calls) // (len(to_complete) - number)
                found = self._ask(of, done, cells, left)
                totals = done[PAGES].rows if of is CutGrain.PAGE_QUERIES else cells
                before = done[_PLACES[of]].rows
                if found.rows and exceeds(found.grain.rows, totals) and not exceeds(before, totals):
                    raise MovedError
                done[_PLACES[of]] = found.grain
                self._days.note(self._day, of, found)
                if found.error:
                    raise found.error
        except SearchConsoleError as error:
            self.error = error
            self._days.end(error)
        return done

    def _cell_totals(self, grains: Sequence[GrainRows]) -> pa.Table:
        """The true totals by country and device of the table by page."""
        if isinstance(self._search_type, FeedType):
            return grains[TOTALS].rows
        if not grains[PAGES].is_cut:
            return grains[PAGES].rows
        answer = self._read(CellTotals(self._search_type, self._day)).result()
        self.calls += answer.api_calls
        return answer.rows

    def _ask(self, of: CutGrain, grains: Sequence[GrainRows], cells: pa.Table, calls: int) -> InParts:
        grain, pages = grains[_PLACES[of]], grains[PAGES]

        def pages_of(part: Part) -> Pages | None:
            if of is CutGrain.QUERIES:
                return None
            if of is CutGrain.PAGES:
                return Pages(part.known, are_all=False)
            return Pages(pages.rows, are_all=not pages.is_cut)

        def ask(filters: PageFilters) -> Future[GrainRows]:
            return self._read(self._request(of, filters, with_device="device" in grain.keys))

        try:
            found = self._days.ask(of, grain, ask, impressions_by_cell(cells), pages_of, calls)
        except MovedError as moved:
            self.calls += moved.calls
            raise
        self.calls += found.calls
        release_memory()
        return found

    def _request(self, of: CutGrain, filters: PageFilters, *, with_device: bool) -> DayRequest:
        search_type, day = self._search_type, self._day
        if of is CutGrain.PAGES or isinstance(search_type, FeedType):
            return PageTotals(search_type, day, with_device, filters)
        if of is CutGrain.PAGE_QUERIES:
            return PageQueries(search_type, day, filters)
        cells = tuple(one for one in filters if isinstance(one, CellFilter))
        return PropertyQueries(search_type, day, cells)
