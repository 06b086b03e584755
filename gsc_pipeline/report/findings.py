"""The findings of the report: titles, explanations, advice and columns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gsc_pipeline.lake.schemas import (
    ANOMALIES,
    CANNIBALISATION,
    CONTENT_DECAY,
    CTR_GAP,
    INDEX_COVERAGE,
    STRIKING_DISTANCE,
    WINNERS_AND_LOSERS,
    TableSpec,
)

SHOWN = 10
"""Rows of each finding on the page, and of a preview; the CSV has all."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column on the page. `kind` says how values are written: text, url, words, day, count, share, ..."""

    name: str
    heading: str
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A section of the page: all rows of a table, or those with one of the `values` in the column `only`.

    `meaning` and `advice` may use the names of thresholds in braces.
    """

    table: TableSpec
    title: str
    meaning: str
    advice: str
    columns: tuple[Column, ...]
    only: str = ""
    values: tuple[str | bool, ...] = ()

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows that the finding shows, in the order of the table."""
        return rows[rows[self.only].isin(self.values)] if self.only else rows

    def shown(self, rows: pd.DataFrame, *, canonical: bool) -> tuple[Column, ...]:
        """The columns for `rows`: rows of several properties or search types name theirs.

        A canonical query is beside the number of queries that it stands for.
        """
        named = (one for one in _SERIES if one.name in rows and rows[one.name].nunique() > 1)
        columns = (*self.columns, *named)
        if not canonical or _QUERY not in columns:
            return columns
        return tuple(new for one in columns for new in ((one, _SPELLINGS) if one == _QUERY else (one,)))


_QUERY, _URL = Column("query", "Query", "text"), Column("url", "Page", "url")
_SERIES = (Column("site_url", "Property", "text"), Column("search_type", "Search type", "words"))
_SPELLINGS = Column("queries", "Queries", "count")
_IMPRESSIONS, _CLICKS = Column("impressions", "Impressions", "count"), Column("clicks", "Clicks", "count")
_POSITION = Column("position", "Position", "decimal")
_BEFORE, _CHANGE = Column("clicks_before", "Before", "count"), Column("change", "Change", "change")
_SHARE = Column("change_share", "Change %", "change_share")
_MOVED = (Column("item", "Query or page", "url"), _BEFORE, _CLICKS, _CHANGE, _SHARE, _POSITION)

FINDINGS = (
    Finding(
        STRIKING_DISTANCE,
        "Within striking distance",
        "Non-brand queries with an average position from {striking_position_from} to "
        "{striking_position_to} and at least {striking_impressions} impressions.",
        "Strengthen the page for the query, and link to it from related pages. At position "
        "{striking_target_position} it would get about the extra clicks shown.",
        (_QUERY, _URL, _IMPRESSIONS, _POSITION, _CLICKS, Column("potential_clicks", "Extra clicks", "count")),
        only="is_brand",
        values=(False,),
    ),
    Finding(
        CTR_GAP,
        "Seen, but not clicked",
        "Non-brand queries with at least {ctr_gap_impressions} impressions in {curve_days} days and at most "
        "{ctr_gap_share} of the clicks that other results of this site get at the same positions.",
        "Rewrite the title and description of the page so that they answer the query, then watch the CTR.",
        (
            _QUERY,
            Column("device", "Device", "words"),
            _URL,
            _IMPRESSIONS,
            Column("ctr", "CTR", "share"),
            Column("expected_ctr", "Expected CTR", "share"),
            Column("gap_clicks", "Missing clicks", "count"),
        ),
    ),
    Finding(
        CANNIBALISATION,
        "Pages that compete with each other",
        "Non-brand queries with at least {cannibalisation_clicks} clicks, of which several pages have at "
        "least {cannibalisation_share} each. A concentration of 1 means one page, 0.5 two equal pages.",
        "Choose the page that should rank for the query, and link to it from the others, or merge them.",
        (
            _QUERY,
            _URL,
            _CLICKS,
            Column("click_share", "Share of clicks", "share"),
            _POSITION,
            Column("hhi", "Concentration", "decimal2"),
        ),
        only="is_brand",
        values=(False,),
    ),
    Finding(
        CONTENT_DECAY,
        "Pages that lose clicks",
        "Pages that lost at least {decay_share} of {decay_clicks} clicks or more, against the previous "
        "window or the year before.",
        "Update these pages, starting at the top, and check which results now rank above them.",
        (_URL, Column("compared_with", "Compared with", "words"), _BEFORE, _CLICKS, _CHANGE, _SHARE),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "Winners",
        "Queries and pages with at least {change_impressions} impressions in this and the previous window, "
        "and at least {change_share} more clicks, which is more than chance.",
        "Find out what worked, and repeat it elsewhere.",
        _MOVED,
        only="kind",
        values=("winner",),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "Losers",
        "Queries and pages with at least {change_impressions} impressions in this and the previous window, "
        "and at least {change_share} fewer clicks, which is more than chance.",
        "Check the position. If it got worse, other results rank higher now; if not, the result page may "
        "have changed.",
        _MOVED,
        only="kind",
        values=("loser",),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "New and lost",
        "Queries and pages with at least {change_impressions} impressions in one of these windows, and none "
        "in the other.",
        "Check that nothing important was lost: a removed page needs a redirect.",
        (
            *_MOVED[:1],
            Column("kind", "Type", "words"),
            Column("clicks_before", "Clicks before", "count"),
            Column("clicks", "Clicks now", "count"),
            Column("impressions_before", "Impressions before", "count"),
            Column("impressions", "Impressions now", "count"),
        ),
        only="kind",
        values=("new", "lost"),
    ),
    Finding(
        ANOMALIES,
        "Unusual days",
        "Days of the last {window_days} that differ by at least {anomaly_share} from the same weekday in the "
        "{anomaly_weeks} weeks before, and by more than is usual.",
        "Compare each day with what happened on it: a release, an outage, a campaign, news. What is known to "
        "set a day apart is named, which does not mean that it is the cause.",
        (
            Column("data_date", "Day", "day"),
            Column("metric", "Measure", "words"),
            Column("value", "Value", "number"),
            Column("expected", "Expected", "number"),
            Column("robust_z", "Deviations", "decimal"),
            Column("annotation", "Known", "text"),
        ),
    ),
    Finding(
        INDEX_COVERAGE,
        "Index problems",
        "Index states of inspected pages, and sitemaps, that need attention.",
        "Open the example in the URL inspection of Search Console, fix the cause, and request indexing.",
        (
            Column("item", "State or sitemap", "text"),
            Column("pages", "Pages", "count"),
            Column("errors", "Errors", "count"),
            Column("example_url", "Example", "url"),
        ),
        only="is_problem",
        values=(True,),
    ),
)
"""In the order of the page."""


_LAST = ("site_url", "search_type")
_LEFT_OUT = ("workspace", "month", "as_of", "days")


def preview_columns(table: TableSpec) -> list[str]:
    """The columns for a preview of the table: those of its findings if it has any, with the property last."""
    findings = [one for one in FINDINGS if one.table == table]
    shown = {column.name for one in findings for column in one.columns}
    shown |= {one.only for one in findings} | {"dimension", "content_group"}
    names = [name for name in table.schema.names if name not in (*_LAST, *_LEFT_OUT)]
    chosen = [name for name in names if name in shown or not findings]
    return [*chosen, *(name for name in _LAST if name in table.schema.names)]
