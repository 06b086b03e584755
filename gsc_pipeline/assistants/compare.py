"""The SQL of the tool `compare`: a metric in two periods, by a dimension."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gsc_pipeline.assistants.answers import Dimension, Metric, SearchTypeName
from gsc_pipeline.assistants.messages import CallError
from gsc_pipeline.days import ONE_DAY, Window, month_of
from gsc_pipeline.insights.windows import YEAR
from gsc_pipeline.lake.parquet_source import sql_list, sql_text
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, URL_IMPRESSION, WRITING

MOST_DAYS = 500
"""The longest period: sixteen months, what Search Console keeps."""

MEANINGS = {
    "item": "The query, page, country, device, property or day; for a day, the day of the period",
    "value": "The metric in the period",
    "value_against": "The metric in the other period",
    "change": "value minus value_against; null where one period has no impressions",
    "change_share": "change divided by value_against",
}
"""The meaning of the columns of the items."""

_YEARS = range(2000, 2100)

_CHANGES: dict[Metric, str] = {
    "clicks": "abs(change)",
    "impressions": "abs(change)",
    # A rate of few impressions changes a lot by chance.
    "ctr": "abs(change) * least(impressions, impressions_against)",
    "position": "abs(change) * least(impressions, impressions_against)",
}

_MEASURES = """
    SELECT *, clicks / nullif(impressions, 0) AS ctr,
           clicks_against / nullif(impressions_against, 0) AS ctr_against,
           sum_position / nullif(placed, 0) + 1 AS position,
           sum_position_against / nullif(placed_against, 0) + 1 AS position_against
    FROM sums
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows to compare: of some properties of a workspace, in two windows of equal length."""

    workspace: str
    site_urls: tuple[str, ...]
    search_type: SearchTypeName
    metric: Metric
    dimension: Dimension
    window: Window
    against: Window

    def items_sql(self) -> str:
        """The items with the metric in both windows and the change, the largest change first.

        Days are those of the window, each beside the day of the other window with the same number.
        """
        order = "item" if self.dimension == "day" else f"{_CHANGES[self.metric]} DESC NULLS LAST, item"
        items = {
            "total": "'total'",
            "query": "query",
            "page": "url",
            "country": "country",
            "device": "coalesce(device, '')",
            "property": "site_url",
            "day": "CAST(data_date + later AS VARCHAR)",
        }
        where = "WHERE NOT is_anonymized_query" if self.dimension == "query" else ""
        return f"""
            WITH sums AS ({self._sums(items[self.dimension], where)}), measures AS ({_MEASURES})
            SELECT item, {self.metric} AS value, {self.metric}_against AS value_against,
                   {self.metric} - {self.metric}_against AS change,
                   change / nullif({self.metric}_against, 0) AS change_share,
                   clicks, clicks_against, impressions, impressions_against
            FROM measures ORDER BY {order}
        """

    def totals_sql(self) -> str:
        """One row: the totals of both windows, and the clicks in the first that have no query."""
        return f"""
            WITH sums AS ({self._sums("'total'", "")})
            SELECT clicks, impressions, ctr, position,
                   clicks_against, impressions_against, ctr_against, position_against, unlisted
            FROM ({_MEASURES})
        """

    def days_sql(self) -> str:
        """A row for each window that has days: whether it is the first, its days by status, and cut ones."""
        return f"""
            SELECT {_within(self.window)} AS is_now, count(*) FILTER (status IN ('final', 'empty')) AS final,
                   count(*) FILTER (status IN ('provisional', '{WRITING}')) AS provisional,
                   count(*) FILTER (truncated) AS cut
            FROM {SYNC_LEDGER.name} WHERE {self._condition()} GROUP BY ALL
        """

    def _sums(self, item: str, where: str) -> str:
        table = URL_IMPRESSION if self.dimension == "page" else SITE_IMPRESSION
        position = "sum_position" if self.dimension == "page" else "sum_top_position"
        measures = {
            "clicks": ("clicks", "true"),
            "impressions": ("impressions", "true"),
            "sum_position": (position, "true"),
            "placed": ("impressions", f"{position} IS NOT NULL"),
            "unlisted": ("clicks", "is_anonymized_query"),
        }
        sums = ", ".join(
            f"coalesce(sum({column}) FILTER ({of} AND {period}), 0)::BIGINT AS {name}{suffix}"
            for period, suffix in (("is_now", ""), ("NOT is_now", "_against"))
            for name, (column, of) in measures.items()
        )
        months = sorted({month_of(day) for window in (self.window, self.against) for day in window})
        later = (self.window.start - self.against.start).days
        return f"""
            SELECT {item} AS item, {sums}
            FROM (
                SELECT *, {_within(self.window)} AS is_now, CASE WHEN is_now THEN 0 ELSE {later} END AS later
                FROM {table.name} WHERE {self._condition()} AND month IN ({sql_list(months)})
            ) {where} GROUP BY ALL
        """

    def _condition(self) -> str:
        return (
            f"workspace = {sql_text(self.workspace)} AND site_url IN ({sql_list(self.site_urls)}) "
            f"AND search_type = {sql_text(self.search_type)} "
            f"AND ({_within(self.window)} OR {_within(self.against)})"
        )


def _within(window: Window) -> str:
    return f"data_date BETWEEN DATE '{window.start}' AND DATE '{window.last}'"


def windows(start: date, end: date, against: str) -> tuple[Window, Window]:
    """The period and the equally long one to compare it with. Raises CallError.

    `against` is previous_period, previous_year (52 weeks earlier, so that weekdays match), or the first day
    of the other period.
    """
    first = None if against in ("previous_period", "previous_year") else _day(against)
    if any(day.year not in _YEARS for day in (start, end, first or start)):
        raise CallError("expected days from 2000 to 2099")
    if end < start:
        raise CallError(f"start {start} is after end {end}")
    window = Window.inclusive(start, end)
    if len(window) > MOST_DAYS:
        raise CallError(f"the period has {len(window)} days: expected at most {MOST_DAYS}")
    if first is None:
        first = start - (YEAR if against == "previous_year" else len(window)) * ONE_DAY
    other = Window(first, first + len(window) * ONE_DAY)
    if other.start < window.end and window.start < other.end:
        raise CallError(f"the periods {window} and {other} overlap: expected two that do not")
    return window, other


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CallError(
            "against: expected previous_period, previous_year, or a day such as 2026-10-01"
        ) from None
