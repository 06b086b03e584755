"""The insights as a reader meets them: what each table is called, what to do about it, what to show first.

Belongs here: titles, advice, columns and their order of importance. Does not: what is found (`insights`),
HTML (`page`).
"""

from __future__ import annotations

from collections.abc import Callable
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
"""Rows of each finding that the page shows; the rest is in the CSV."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column on the page: its heading, and how its values are written.

    `kind` is text, url, count, change, share (of one, as percent), decimal or day.
    """

    name: str
    heading: str
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One insight on the page. `rank` takes the table's rows to those worth showing, the foremost first."""

    table: TableSpec
    title: str
    meaning: str
    advice: str
    columns: tuple[Column, ...]
    rank: Callable[[pd.DataFrame], pd.DataFrame]


def _by(column: str, *, ascending: bool = False, only: str = "") -> Callable[[pd.DataFrame], pd.DataFrame]:
    def ranked(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows.query(only) if only else rows
        return chosen.sort_values(column, ascending=ascending, kind="stable")

    return ranked


def _largest_changes(kinds: tuple[str, ...]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def ranked(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows[rows["kind"].isin(kinds)]
        weight = chosen["change"].abs() + (chosen["impressions"] + chosen["impressions_before"]) / 1e9
        return chosen.assign(weight=weight).sort_values("weight", ascending=False, kind="stable")

    return ranked


_QUERY, _URL = Column("query", "Query", "text"), Column("url", "Page", "url")
_IMPRESSIONS, _CLICKS = Column("impressions", "Impressions", "count"), Column("clicks", "Clicks", "count")
_POSITION = Column("position", "Position", "decimal")
_BEFORE, _CHANGE = Column("clicks_before", "Before", "count"), Column("change", "Change", "change")
_SHARE = Column("change_share", "Change %", "change_share")
_MOVED = (Column("item", "Query or page", "url"), _BEFORE, _CLICKS, _CHANGE, _SHARE, _POSITION)

FINDINGS = (
    Finding(
        STRIKING_DISTANCE,
        "Within striking distance",
        "Queries without the brand at positions 4 to 20 that many people see.",
        "Strengthen the page for the query and link to it from related pages: a place in the top three would "
        "bring about the extra clicks shown.",
        (_QUERY, _URL, _IMPRESSIONS, _POSITION, _CLICKS, Column("potential_clicks", "Extra clicks", "count")),
        _by("potential_clicks", only="not is_brand"),
    ),
    Finding(
        CTR_GAP,
        "Seen, but not clicked",
        "Queries with far fewer clicks than this site's own results get at the same positions.",
        "Rewrite the page's title and description so that they answer the query, then watch the CTR.",
        (
            _QUERY,
            Column("device", "Device", "device"),
            _URL,
            _IMPRESSIONS,
            Column("ctr", "CTR", "share"),
            Column("expected_ctr", "Expected", "share"),
            Column("gap_clicks", "Missing clicks", "count"),
        ),
        _by("gap_clicks"),
    ),
    Finding(
        CANNIBALISATION,
        "Pages that compete with each other",
        "Queries without the brand whose clicks are split between several pages.",
        "Choose the one page that should answer, link to it from the others, or merge them.",
        (
            _QUERY,
            _URL,
            _CLICKS,
            Column("click_share", "Of the clicks", "share"),
            _POSITION,
            Column("hhi", "Concentration", "decimal2"),
        ),
        _by("query_clicks", only="not is_brand"),
    ),
    Finding(
        CONTENT_DECAY,
        "Pages that lose ground",
        "Pages that lost a fifth of their clicks or more, against the window before or the year before.",
        "Bring these pages up to date, beginning at the top, and see what now stands above them.",
        (_URL, Column("compared_with", "Against", "words"), _BEFORE, _CLICKS, _CHANGE, _SHARE),
        _by("change", ascending=True),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "Winners",
        "Queries and pages with clearly more clicks than in the window before.",
        "Find out what worked, and do it again elsewhere.",
        _MOVED,
        _largest_changes(("winner",)),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "Losers",
        "Queries and pages with clearly fewer clicks than in the window before.",
        "See whether the position fell (someone is better) or only the clicks (the result page changed).",
        _MOVED,
        _largest_changes(("loser",)),
    ),
    Finding(
        WINNERS_AND_LOSERS,
        "New and lost",
        "Queries and pages that were shown in one of the two windows only.",
        "Make sure that nothing lost was wanted: a removed page needs a redirect.",
        (
            *_MOVED[:1],
            Column("kind", "What", "words"),
            Column("clicks_before", "Clicks before", "count"),
            Column("clicks", "Clicks now", "count"),
            Column("impressions_before", "Shown before", "count"),
            Column("impressions", "Shown now", "count"),
        ),
        _largest_changes(("new", "lost")),
    ),
    Finding(
        ANOMALIES,
        "Unusual days",
        "Days far from the same weekday of the weeks before.",
        "Match each with what happened that day: a release, an outage, a campaign, the news.",
        (
            Column("data_date", "Day", "day"),
            Column("site_url", "Property", "text"),
            Column("metric", "What", "words"),
            Column("value", "Was", "number"),
            Column("expected", "Usual", "number"),
            Column("robust_z", "Deviations", "decimal"),
        ),
        _by("data_date"),
    ),
    Finding(
        INDEX_COVERAGE,
        "In Google's index, or not",
        "States of inspected pages and sitemaps that someone should look at.",
        "Open the example in Search Console's URL inspection, mend the cause, and ask for indexing again.",
        (
            Column("item", "State or sitemap", "text"),
            Column("pages", "Pages", "count"),
            Column("errors", "Errors", "count"),
            Column("example_url", "Example", "url"),
        ),
        _by("pages", only="is_problem"),
    ),
)
"""In the order of the page."""
