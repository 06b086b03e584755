"""Completes the days that the API cut off, and remembers where filters see no more than the cut rows."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from gsc_pipeline.search_console.errors import (
    DEFERRED,
    SearchConsoleError,
    TransientError,
    forget_frames,
)
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
from gsc_pipeline.sync.parts import (
    CALLS_OF_PART,
    Ask,
    InParts,
    MovedError,
    PagesOf,
    read_in_parts,
    with_earlier,
)
from gsc_pipeline.sync.past_cap import (
    Cell,
    Pages,
    Part,
    are_among,
    exceeds,
    impressions_by_cell,
    sums_by,
)

log = logging.getLogger(__name__)

TRIED_AGAIN_AFTER = timedelta(days=30)
"""After filters saw no more than the cut rows, they are not tried again for this long."""

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
    """The most calls for parts on one day, for a property and search type, and what counts as cut.

    All syncs of a Pacific day share the calls, which may be for several days of data. An answer of at least
    `cut_rows` rows is cut.
    """

    calls: int = 200
    cut_rows: int = CUT_ROWS


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of `past_cap` of a workspace: what the parts of a cut grain last brought.

    `grain` is a CutGrain, or one of a later release.
    """

    site_url: str
    search_type: str
    grain: str
    data_date: date
    tried_at: datetime
    sees_every_row: bool | None
    rows: int
    clicks: int
    impressions: int
    calls: int
    is_complete: bool

    def sees_every_row_at(self, now: datetime) -> bool | None:
        """Whether filters see every row, as far as that is still known."""
        return self.sees_every_row if now < self.tried_at + TRIED_AGAIN_AFTER else None


@dataclass(frozen=True, slots=True)
class TriedRows:
    """The rows of `past_cap` of some grains of a property and search type, as the target of a replacement."""

    workspace: str
    site_url: str
    search_type: str
    grains: tuple[str, ...] = tuple(CutGrain)

    def predicate(self) -> str:
        """The SQL condition for these rows."""
        grains = ", ".join(sql_text(str(grain)) for grain in self.grains)
        return (
            f"workspace = {sql_text(self.workspace)} AND site_url = {sql_text(self.site_url)} "
            f"AND search_type = {sql_text(self.search_type)} AND grain IN ({grains})"
        )


def read_tried(lake: Lake, target: TriedRows) -> dict[str, Tried]:
    """What was last tried for a property and search type, nothing if the table is damaged."""
    where = (pc.field("site_url") == target.site_url) & (pc.field("search_type") == target.search_type)
    names = list(Tried.__dataclass_fields__)
    try:
        rows = lake.read(PAST_CAP, columns=names, where=where, workspace=target.workspace).to_pylist()
    except DamagedError as error:
        log.warning("workspace %s: what was tried past the cap is unknown: %s", target.workspace, error)
        return {}
    return {row["grain"]: Tried(**row) for row in rows}


def may_bring_more(tried: Collection[Tried], now: datetime) -> bool:
    """Whether parts of cut answers may bring rows: not if filters are known to see the cut rows alone."""
    return not tried or any(one.sees_every_row_at(now) is not False for one in tried)


def write_tried(lake: Lake, target: TriedRows, tried: Iterable[Tried]) -> None:
    """Replace the target's rows, unless the table is damaged. Raises LakeError."""
    rows = [{"workspace": target.workspace, **asdict(one)} for one in tried]
    try:
        lake.replace(PAST_CAP, target, pa.Table.from_pylist(rows, schema=PAST_CAP.schema))
    except DamagedError as error:
        log.warning("workspace %s: what was tried past the cap is not recorded: %s", target.workspace, error)


Read = Callable[[DayRequest], "Future[GrainRows]"]
"""Starts to read a grain of a day."""


class Earlier(ABC):
    """What the tables hold of a cut day, in the columns of answers. Read when needed, to save memory."""

    @abstractmethod
    def named(self, of: CutGrain) -> pa.Table:
        """The rows of a grain with a query."""

    @abstractmethod
    def cut(self, of: CutGrain) -> pa.Table:
        """The rows without a query that are truncated."""

    @abstractmethod
    def pages(self) -> pa.Table:
        """The sums of the table by page."""


class CutDays:
    """Completes the cut days `of` one property and search type within a sync.

    `known` returns what was tried before; it is called once, for the first cut day. `now` (aware) is when the
    sync started. `spent` calls of the budget were sent by earlier syncs of the same Pacific day.
    """

    def __init__(
        self,
        options: PastCapOptions,
        known: Callable[[], Mapping[str, Tried]],
        *,
        of: tuple[str, str],
        now: datetime,
        at_once: int,
        spent: int = 0,
    ) -> None:
        self.options = options
        self.left = options.calls - spent
        """The calls that may still be sent."""
        self._of = of
        self._news: dict[str, Tried] = {}
        self._read_known = known
        self._known: dict[str, Tried] | None = None
        self._now, self._at_once = now, at_once
        self._is_over = False

    @property
    def may_go_on(self) -> bool:
        """Whether to ask for more parts of days that earlier syncs left cut."""
        # One call is for the totals by page.
        if self._is_over or self.left <= CALLS_OF_PART:
            return False
        return may_bring_more(self._all_known().values(), self._now)

    def start(self, day: date, search_type: SearchType, read: Read, earlier: Earlier | None = None) -> CutDay:
        """What completes one day. `read` starts to read one of its grains, `earlier` reads its rows."""
        return CutDay(self, day, search_type, read, earlier)

    def to_complete(self, grains: Sequence[GrainRows]) -> list[CutGrain]:
        """The cut grains of a day that are to be asked for in parts."""
        cut = [one for one, place in _PLACES.items() if place < len(grains) and grains[place].is_cut]
        if not cut or self._is_over or self.left <= 0:
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
        # Filters that brought rows of this day before may bring no more for a part that is asked for again.
        sees_every_row = grain.has_earlier or self._sees_every_row(of) is True
        return read_in_parts(
            read,
            grain,
            cells,
            pages_of,
            cap=self.options.cut_rows,
            calls=calls,
            at_once=self._at_once,
            sees_every_row=sees_every_row,
        )

    def note(self, day: date, of: CutGrain, found: InParts) -> None:
        """Remember what the parts of a grain brought."""
        if found.calls:
            self._news[of] = Tried(
                *self._of,
                of.value,
                day,
                self._now,
                found.sees_every_row,
                found.rows,
                found.clicks,
                found.impressions,
                found.calls,
                is_complete=not found.grain.is_cut,
            )
            self._known = {**(self._known or {}), of.value: self._news[of]}

    def take_news(self) -> list[Tried]:
        """The newest trial of each grain since the last call."""
        news, self._news = self._news, {}
        return list(news.values())

    def end(self, error: SearchConsoleError) -> None:
        """Ask for nothing more in this sync if the failure of a call affects the calls that follow."""
        self._is_over |= isinstance(error, DEFERRED) or not isinstance(error, TransientError)

    def _sees_every_row(self, of: CutGrain) -> bool | None:
        tried = self._all_known().get(of.value)
        return tried.sees_every_row_at(self._now) if tried else None

    def _all_known(self) -> Mapping[str, Tried]:
        if self._known is None:
            self._known = dict(self._read_known())
        return self._known


def _sizes(tables: Sequence[pa.Table]) -> list[tuple[int, int]]:
    return [(rows.num_rows, pc.sum(rows["impressions"]).as_py() or 0) for rows in tables]


class CutDay:
    """Completes one day.

    `calls` are those sent for it, `error` is the failure that ended it. `parts_left`: more parts may be asked
    for by a later sync.
    """

    def __init__(
        self, days: CutDays, day: date, search_type: SearchType, read: Read, earlier: Earlier | None
    ) -> None:
        self.calls = 0
        self.error: SearchConsoleError | None = None
        self.parts_left = False
        self._earlier = earlier
        self._cut_before: Mapping[CutGrain, pa.Table] = {}
        """The keys that earlier syncs left cut; of queries by page only if they had every page."""
        self._sizes_before: list[tuple[int, int]] = []
        self._days, self._day, self._search_type, self._read = days, day, search_type, read

    def complete(self, grains: Sequence[GrainRows]) -> list[GrainRows]:
        """The grains with the rows that their parts brought. The totals do not change.

        Raises MovedError if rows contradict each other or their totals: the day moved between two answers.
        """
        try:
            return self._complete(list(grains))
        except MovedError:
            self._earlier, self._cut_before = None, {}
            raise

    def _complete(self, done: list[GrainRows]) -> list[GrainRows]:
        to_complete = self._days.to_complete(done)
        open_grains = {of for of, place in _PLACES.items() if place < len(done) and done[place].is_cut}
        united: set[CutGrain] = set()
        try:
            by_page = self._cell_totals(done) if set(to_complete) - {CutGrain.QUERIES} else None
            if to_complete:
                self._unite_pages(done, by_page)
            whole = {of for of in to_complete if self._was_whole(of) or not done[_PLACES[of]].is_cut}
            to_ask = [of for of in to_complete if of not in whole]
            open_grains -= whole
            for of in to_complete:
                self._unite(done, of)
                united.add(of)
                if of in whole:
                    continue
                cells = done[TOTALS].rows if by_page is None or of is CutGrain.QUERIES else by_page
                # A share that is too small for one part would never bring anything.
                share = self._days.left // (len(to_ask) - to_ask.index(of))
                left = max(share, min(CALLS_OF_PART, self._days.left))
                found = self._ask(of, done, cells, left)
                totals = done[PAGES].rows if of is CutGrain.PAGE_QUERIES else cells
                before = done[_PLACES[of]].rows
                if found.rows and exceeds(found.grain.rows, totals) and not exceeds(before, totals):
                    raise MovedError
                done[_PLACES[of]] = found.grain
                if not found.is_ended and found.sees_every_row is not False:
                    open_grains.discard(of)
                self._days.note(self._day, of, found)
                if found.error:
                    raise found.error
        except SearchConsoleError as error:
            forget_frames(error)
            self.error = error
            self._days.end(error)
        if self.calls:
            # These replace the day's rows, so grains that were not asked for keep their earlier rows too.
            for of in open_grains - united:
                self._unite(done, of)
        self.parts_left = bool(open_grains)
        return done

    def end_without_progress(self, cut: Sequence[pa.Table]) -> None:
        """Leave no parts to later tries if this one, after another, left the same rows `cut`."""
        if self._earlier is not None and self.error is None:
            self.parts_left &= self._sizes_before != _sizes(cut)

    def _unite_pages(self, done: list[GrainRows], by_page: pa.Table | None) -> None:
        """Add the pages that earlier syncs had, and note what these left cut. Raises MovedError."""
        if self._earlier is None:
            return
        cut = {of: self._earlier.cut(of) for of in (CutGrain.QUERIES, CutGrain.PAGE_QUERIES)}
        self._sizes_before = _sizes(list(cut.values()))
        if by_page is not None and done[PAGES].is_cut:
            earlier = self._earlier.pages()
            cells = [name for name in ("country", "device") if name in by_page.column_names]
            sums = sums_by(earlier, cells, ("clicks", "impressions"))
            # In other cells the table by page has the totals of some pages, and named rows of others.
            whole = sums.filter(are_among(sums, by_page, sums.column_names))
            pages = earlier.filter(are_among(earlier, whole, cells))
            has_every_page = whole.num_rows == by_page.num_rows
            done[PAGES] = with_earlier(done[PAGES], pages, pages.slice(0, 0) if has_every_page else None)
            if not has_every_page:
                del cut[CutGrain.PAGE_QUERIES]
        self._cut_before = cut

    def _unite(self, done: list[GrainRows], of: CutGrain) -> None:
        """Add the rows with queries that earlier syncs brought. Raises MovedError."""
        place = _PLACES[of]
        if self._earlier is not None and of is not CutGrain.PAGES and done[place].is_cut:
            done[place] = with_earlier(done[place], self._earlier.named(of), self._cut_before.get(of))
            release_memory()

    def _was_whole(self, of: CutGrain) -> bool:
        """Whether earlier syncs left nothing cut."""
        cut = self._cut_before.get(of)
        return cut is not None and cut.num_rows == 0

    def _spend(self, calls: int) -> None:
        self.calls += calls
        self._days.left -= calls

    def _cell_totals(self, grains: Sequence[GrainRows]) -> pa.Table:
        """The true totals by country and device of the table by page."""
        if isinstance(self._search_type, FeedType):
            return grains[TOTALS].rows
        if not grains[PAGES].is_cut:
            return grains[PAGES].rows
        answer = self._read(CellTotals(self._search_type, self._day)).result()
        self._spend(answer.api_calls)
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
            self._spend(moved.calls)
            raise
        self._spend(found.calls)
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
