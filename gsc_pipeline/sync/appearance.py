"""Search appearances of the last days, of the property and of its pages: a day is replaced as a whole.

Belongs here: which days are read, and the two steps it takes. Does not: their wire format
(`search_console`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Clock, Window, month_of, pacific_today, utc_now
from gsc_pipeline.lake.lake import Lake, Target, days_between
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE
from gsc_pipeline.search_console.client import SearchConsole
from gsc_pipeline.search_console.errors import ServiceUnavailableError
from gsc_pipeline.search_console.requests import AppearancePages, AppearanceTotals
from gsc_pipeline.search_console.search_types import SearchType
from gsc_pipeline.sync.grains import search_type_in_tables
from gsc_pipeline.sync.paging import read_pages
from gsc_pipeline.sync.read import probe
from gsc_pipeline.sync.sources import Part, SourceContext, SourceReport, Tally, read_days, sync_parts
from gsc_pipeline.sync.two_grains import Grain, grain_rows
from gsc_pipeline.workspaces import Workspace

DAYS = 14
"""Complete days that each sync looks at."""


def sync_appearance(
    workspace: Workspace,
    console: SearchConsole,
    lake: Lake,
    *,
    days: int = DAYS,
    clock: Clock = utc_now,
    run_id: str | None = None,
) -> SourceReport:
    """Read the search appearances of the last `days` complete days, newest first, until each is final.

    One call per property and search type tells which days have data and which are final. Each day takes
    one call for its appearances, and one or more for the pages of each. Raises only LakeError.
    """
    context = SourceContext.starting(workspace, console, lake, clock, run_id)
    window = Window.last_complete(days, pacific_today(context.now))

    def parts(site_url: str) -> list[Part]:
        each = [_Appearances(context, window, site_url, kind) for kind in workspace.search_types]
        return [Part(site_url, one.run, one.word) for one in each]

    return sync_parts(context, SEARCH_APPEARANCE, parts)


class _Appearances:
    """The search appearances of one property and search type."""

    def __init__(
        self, context: SourceContext, window: Window, site_url: str, search_type: SearchType
    ) -> None:
        self._context = context
        self._window = window
        self._site_url = site_url
        self._search_type = search_type
        self.word = search_type_in_tables(search_type)

    def run(self, tally: Tally) -> None:
        probed = probe(self._context.console, self._site_url, self._search_type, self._window)
        held = self._held()
        due = [day for day in sorted(probed.totals, reverse=True) if not held.get(day, False)]
        tally.unchanged += len(probed.totals) - len(due)
        first_incomplete = probed.first_incomplete

        def read(day: date) -> int:
            is_final = first_incomplete is None or day < first_incomplete
            return self._read(day, is_final=is_final, is_held=day in held)

        read_days(tally, due, read)

    def _read(self, day: date, *, is_final: bool, is_held: bool) -> int:
        console = self._context.console
        totals = read_pages(console, self._site_url, AppearanceTotals(self._search_type, day)).rows
        # Fresh data has been seen to come and go. Of a final day such an answer is no news either.
        if totals.num_rows == 0 and is_final and is_held:
            raise ServiceUnavailableError(
                f"the answer names no search appearance of {day}, known to have some"
            )
        if totals.num_rows == 0:
            return 0
        words = totals["searchAppearance"]
        rows = [self._rows(Grain.PROPERTY, totals, day, words, is_final)]
        for word in words.to_pylist():
            request = AppearancePages(self._search_type, word, day)
            by_page = read_pages(console, self._site_url, request).rows
            rows.append(self._rows(Grain.PAGE, by_page, day, word, is_final))
        target = Target(self._context.workspace.id, self._site_url, self.word, (day,))
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
            "search_type": self.word,
            "search_appearance": appearance,
            "is_final": is_final,
        }
        return grain_rows(SEARCH_APPEARANCE, grain, rows, values)

    def _held(self) -> Mapping[date, bool]:
        """The days of which there are rows, and whether they were final when these were read."""
        where = (
            (pc.field("workspace") == self._context.workspace.id)
            & days_between(self._window.start, self._window.last)
            & (pc.field("site_url") == self._site_url)
            & (pc.field("search_type") == self.word)
            & (pc.field("grain") == Grain.PROPERTY.value)
        )
        rows = self._context.lake.read(SEARCH_APPEARANCE, columns=["data_date", "is_final"], where=where)
        return {row["data_date"]: row["is_final"] for row in rows.to_pylist()}
