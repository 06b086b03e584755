"""Asks for the parts of a cut answer, within a number of calls, and unites their rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.lake.encoding import encoded
from gsc_pipeline.search_console.errors import IllegalRequestError, SearchConsoleError, forget_frames
from gsc_pipeline.search_console.requests import DAY_ROWS_CAP, PAGE_ROWS, PageFilters
from gsc_pipeline.sync.paging import FULL_PAGE_SHARE, GrainRows, each_key_once
from gsc_pipeline.sync.past_cap import (
    EVERYTHING,
    FEW_VALUES,
    Cell,
    Pages,
    Part,
    after_first,
    are_among,
    kept,
    singly,
    split,
    whole,
)

TRIAL_CALLS = 3
"""The most calls to find out whether filters see the rows past the cap. Three grains make nine in all."""

CALLS_OF_PART = DAY_ROWS_CAP // PAGE_ROWS + 1
"""The most calls for a part: an answer at the cap is followed by a page without rows."""

Ask = Callable[[PageFilters], "Future[GrainRows]"]
"""Starts to read a grain with filters."""

PagesOf = Callable[[Part], Pages | None]
"""Returns the pages of a part, or None in the table by property."""


class MovedError(Exception):
    """The day moved between two answers: their rows contradict each other. `calls` were sent before."""

    calls = 0


@dataclass(frozen=True, slots=True)
class InParts:
    """A cut grain after its parts were asked for.

    `rows`, `clicks` and `impressions` are of the rows that it lacked before, `calls` those for its parts.
    `sees_every_row`: whether filters see the rows past the cap; None if that is not known. `error` is the
    failure that ended it. `is_ended`: a failure or the number of calls ended it before all was asked for.
    """

    grain: GrainRows
    rows: int = 0
    clicks: int = 0
    impressions: int = 0
    calls: int = 0
    sees_every_row: bool | None = None
    error: SearchConsoleError | None = None
    is_ended: bool = False


class _Queued(NamedTuple):
    """A part in the queue, and the rest of its split. The most missing impressions come first."""

    weight: int
    order: int
    part: Part
    rest: Part | None


def read_in_parts(
    ask: Ask,
    grain: GrainRows,
    cells: Mapping[Cell, int],
    pages_of: PagesOf,
    *,
    cap: int,
    calls: int,
    at_once: int,
    sees_every_row: bool,
) -> InParts:
    """Ask for the parts of a cut grain, those with the most impressions without a row first.

    `cells` are the true impressions of each country and device. At most `calls` are sent, `at_once` at a
    time. `sees_every_row`: filters are known to see the rows past the cap. If that is not known, at most
    TRIAL_CALLS find it out; if they do not see them, the grain stays as it is. Raises MovedError if the rows
    of two answers contradict each other.
    """
    return _Reading(ask, grain, pages_of, cap, calls, at_once, sees_every_row).read(cells)


@dataclass(slots=True)
class _Reading:
    """`excluding`: whether the API takes filters that leave values out."""

    ask: Ask
    grain: GrainRows
    pages_of: PagesOf
    cap: int
    most_calls: int
    at_once: int
    sees_every_row: bool
    calls: int = 0
    excluding: bool = True
    error: SearchConsoleError | None = None
    is_refused: bool = False
    queue: list[_Queued] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)
    rows: list[pa.Table] = field(default_factory=list)
    complete: list[PageFilters] = field(default_factory=list)
    is_whole: bool = True

    def read(self, cells: Mapping[Cell, int]) -> InParts:
        is_trusted = self.sees_every_row
        self._split(whole(cells, self.grain.rows))
        try:
            while queued := self._next():
                asked = [(one, self.ask(one.part.filters)) for one in queued]
                for one, answer in asked:
                    self._take(one, answer)
        except MovedError as moved:
            moved.calls = self.calls
            raise
        is_ended = bool(self.error or self.queue)
        for one in self.queue:
            self._leave(one)
        before = self.grain.rows
        rows = pa.concat_tables(self.rows) if self.rows else before.slice(0, 0)
        gained = rows.num_rows - before.num_rows
        if self.calls and not gained and not is_trusted:
            # Without a row more no part is complete: the filters may see the cut rows alone.
            sees = None if self.error else False
            return InParts(self.grain, 0, 0, 0, self.calls, sees, self.error, is_ended)
        complete = EVERYTHING if self.is_whole else tuple(self.complete)
        return InParts(
            replace(self.grain, rows=rows, complete=complete),
            gained,
            _sum(rows["clicks"]) - _sum(before["clicks"]),
            _sum(rows["impressions"]) - _sum(before["impressions"]),
            calls=self.calls,
            sees_every_row=not self.is_refused if gained or self.is_refused else None,
            error=self.error,
            is_ended=is_ended,
        )

    def _next(self) -> list[_Queued]:
        """The parts to ask for now. In a trial one at a time, and none that may take too many calls."""
        if self.error or self.is_refused or not self.queue:
            return []
        number = min(self.at_once, (self.most_calls - self.calls) // CALLS_OF_PART, len(self.queue))
        if not self.sees_every_row:
            needed = _calls_if_known(self.queue[0].part)
            number = min(number, 1) if not self.calls or self.calls + needed <= TRIAL_CALLS else 0
        return [heapq.heappop(self.queue) for _ in range(number)]

    def _take(self, queued: _Queued, answer: Future[GrainRows]) -> None:
        part = queued.part
        try:
            found = answer.result()
        except IllegalRequestError as error:
            forget_frames(error)
            self.calls += 1
            self._refuse(queued)
            return
        except SearchConsoleError as error:
            forget_frames(error)
            self.error = self.error or error
            self._leave(queued)
            return
        self.calls += found.api_calls
        if not pc.all(kept(found.rows, part.filters), min_count=0).as_py():
            self._refuse(queued)
            return
        rows = united(part.known, found)
        if rows.num_rows > part.known.num_rows:
            self.sees_every_row = True
        part = replace(part, known=rows)
        if part.is_over:
            raise MovedError
        if part.is_known or not found.is_cut:
            self._finish(part, is_complete=True)
        else:
            self._split(part)
        if queued.rest is not None:
            self._take_rest(queued.rest, part)

    def _split(self, part: Part) -> None:
        found = split(part, self.pages_of(part), excluding=self.excluding)
        if found is None:
            self._finish(part, is_complete=False)
            return
        self._keep(found.others)
        self.is_whole &= found.is_whole
        first, *others = found.parts
        self._add(first, found.rest)
        for one in others:
            self._add(one)

    def _take_rest(self, rest: Part, first: Part) -> None:
        if self.excluding:
            parts = after_first(rest, first, self.cap)
        else:
            found = singly(rest)
            parts = found.parts
            self._keep(found.others)
        for part in parts:
            self._add(part)

    def _add(self, part: Part, rest: Part | None = None) -> None:
        if part.is_over:
            raise MovedError
        if not part.is_known and not self._was_complete(part):
            if not self.grain.has_earlier or part.known.num_rows < self.cap:
                heapq.heappush(self.queue, _Queued(-part.missing, next(self.order), part, rest))
                return
            # The answer would be cut again.
            self._split(part)
        else:
            self._finish(part, is_complete=True)
        if rest is not None:
            self._take_rest(rest, part)

    def _was_complete(self, part: Part) -> bool:
        """Whether earlier reads brought every row of the part."""
        cut = self.grain.cut
        return cut is not None and not pc.any(kept(cut, part.filters), min_count=0).as_py()

    def _refuse(self, queued: _Queued) -> None:
        """Go on without filters that leave values out, or not at all if the request had none."""
        if not queued.part.but:
            self.is_refused = True
            self._leave(queued)
        elif queued.part.is_by_page:
            self.excluding = False
            self._leave(queued)
        else:
            self.excluding = False
            self._take_rest(queued.part, queued.part)

    def _leave(self, queued: _Queued) -> None:
        """Keep what is known of a part that stays cut."""
        for part in (queued.part, queued.rest):
            if part is not None:
                self._finish(part, is_complete=False)

    def _finish(self, part: Part, *, is_complete: bool) -> None:
        self._keep(part.known)
        self.is_whole &= is_complete
        if is_complete:
            self.complete.append(part.filters)

    def _keep(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self.rows.append(encoded(rows, FEW_VALUES) if "query" in rows.column_names else rows)


def with_earlier(grain: GrainRows, rows: pa.Table, cut: pa.Table | None) -> GrainRows:
    """A cut grain with the rows that earlier reads brought, and the keys of which they left rows cut.

    Raises MovedError if the rows contradict those of the grain.
    """
    rows = rows.select(grain.rows.column_names).cast(grain.rows.schema)
    is_known = are_among(rows, grain.rows, grain.keys)
    united(rows.filter(is_known), grain)
    more = rows.filter(pc.invert(is_known))
    if not more.num_rows:
        return replace(grain, cut=cut)
    return replace(grain, rows=pa.concat_tables([grain.rows, more]), has_earlier=True, cut=cut)


def united(known: pa.Table, answer: GrainRows) -> pa.Table:
    """The rows of an answer for a part, and those of earlier answers, by key.

    Raises MovedError if a key has different numbers, or if an answer that was not cut lacks a known row.
    """
    rows = pa.concat_tables([answer.rows, known.select(answer.rows.column_names)])
    first = each_key_once(rows, answer.keys)
    if not answer.is_cut and first.num_rows != answer.rows.num_rows:
        raise MovedError
    counts = ("clicks", "impressions")
    spans = rows.group_by(list(answer.keys)).aggregate(
        [(name, how) for name in counts for how in ("min", "max")]
    )
    for name in counts:
        if pc.any(pc.not_equal(spans[f"{name}_min"], spans[f"{name}_max"])).as_py():
            raise MovedError
    return first


def _calls_if_known(part: Part) -> int:
    """The calls that a part takes if its answer has only the rows that are known."""
    return 1 + int(part.known.num_rows // (FULL_PAGE_SHARE * PAGE_ROWS))


def _sum(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0
