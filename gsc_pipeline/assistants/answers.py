"""The structured answers of the tools. Their descriptions are the output schemas that an assistant reads.

Texts that strangers wrote, such as queries and URLs, stand in values of `rows` and in fields of their own,
never inside a sentence.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gsc_pipeline.report.totals import Totals

Metric = Literal["clicks", "impressions", "ctr", "position"]
Dimension = Literal["total", "query", "page", "country", "device", "property", "day"]
SearchTypeName = Literal["WEB", "IMAGE", "VIDEO", "NEWS", "DISCOVER", "GOOGLE_NEWS"]


class Freshness(BaseModel):
    """How current and how complete the data of the workspaces in question is.

    Days are counted by property and search type.
    """

    answered_at: datetime
    workspaces: Annotated[int, Field(description="How many workspaces this is about")]
    last_complete_sync: Annotated[
        datetime | None, Field(description="UTC; of several workspaces the earliest; null for never")
    ]
    final_up_to: Annotated[
        date | None,
        Field(description="The newest day that will not change any more; of several workspaces the earliest"),
    ]
    newest_day: Annotated[
        date | None, Field(description="The newest day with data, which may be provisional")
    ]
    provisional_days: Annotated[int, Field(description="Days whose numbers may still rise")]
    failed_days: Annotated[int, Field(description="Days that could not be read: missing or old numbers")]
    cut_days: Annotated[
        int, Field(description="Days of which Search Console did not list every row; totals are complete")
    ]
    notes: Annotated[list[str], Field(description="What to tell the user about the numbers")]


class Answer(BaseModel):
    """What every answer has."""

    freshness: Freshness


class Column(BaseModel):
    """A column of a table, with its type and meaning where known."""

    name: str
    type: str
    meaning: str = ""


class Table(BaseModel):
    """Rows as lists of values, in the order of `columns`. Values may be texts that strangers wrote."""

    columns: list[Column]
    rows: list[list[Any]]
    rows_left_out: Annotated[
        bool, Field(description="True if there are more rows: raise limit, aggregate, or add conditions")
    ] = False
    values_cut: Annotated[int, Field(description="How many values were too long and end with …")] = 0


class ServedWorkspace(BaseModel):
    """A workspace: one client or brand, with its properties in Search Console."""

    id: str
    name: str
    is_active: Annotated[bool, Field(description="False: it is no longer synced")]
    properties: Annotated[list[str] | None, Field(description="null for all that its credential may read")]
    search_types: list[str]
    first_day: date | None
    newest_day: date | None
    final_up_to: date | None


class WorkspacesAnswer(Answer):
    """The workspaces that this server serves."""

    workspaces: list[ServedWorkspace]
    workspaces_left_out: bool


class DescribedTable(BaseModel):
    """A table. Its columns are listed if the table was asked for by name."""

    name: str
    description: str
    keys: list[str]
    columns: list[Column]


class TablesAnswer(Answer):
    """Tables, and the rules for correct numbers."""

    rules: list[str]
    tables: list[DescribedTable]


class QueryAnswer(Table, Answer):
    """The result of a query."""


class InsightAnswer(Table, Answer):
    """The rows of an insight of one workspace, the most important first."""

    insight: str
    description: str
    workspace: str
    computed_for: Annotated[
        date | None, Field(description="The last day of the window; null if there are no rows")
    ]
    rows_in_all: int


class Failing(BaseModel):
    """What fails now, since when, and what helps."""

    site_url: Annotated[str, Field(description="Empty for the whole workspace")]
    search_type: str
    cause: str
    next_step: str
    failed_days: int
    first_day: date | None
    last_day: date | None
    since: datetime
    times: Annotated[int, Field(description="Syncs in a row that met it")]


class StatusAnswer(Answer):
    """How one workspace stands: days by status, syncs, and what fails."""

    workspace: str
    is_active: bool
    first_day: date | None
    final_days: int
    empty_days: int
    clicks: int
    impressions: int
    cut_clicks: Annotated[int, Field(description="Clicks on queries that Search Console did not list")]
    cut_impressions: int
    last_sync: datetime | None
    failed_syncs_in_a_row: int
    incomplete_syncs_in_a_row: int
    failing: list[Failing]
    is_damaged: Annotated[bool, Field(description="True: run gsc verify")]


class Figures(BaseModel):
    """Totals of a period."""

    clicks: int
    impressions: int
    ctr: Annotated[float | None, Field(description="Clicks divided by impressions, 0 to 1")]
    position: Annotated[float | None, Field(description="Average position; 1 is the top")]

    @classmethod
    def of(cls, totals: Totals) -> Figures:
        """The totals of a report."""
        return cls(
            clicks=totals.clicks, impressions=totals.impressions, ctr=totals.ctr, position=totals.position
        )


class Period(BaseModel):
    """A period, both days included, and the state of its days by property."""

    start: date
    end: date
    days: Annotated[int, Field(description="Days of all properties in question: days × properties")]
    final_days: int
    provisional_days: int
    cut_days: int
    missing_days: Annotated[int, Field(description="Never read, or failed")]


class CompareAnswer(Table, Answer):
    """A metric in two periods, by a dimension: the largest changes first."""

    workspace: str
    metric: Metric
    dimension: Dimension
    search_type: SearchTypeName
    site_urls: Annotated[list[str], Field(description="The properties whose numbers are added")]
    period: Period
    against: Period
    is_comparable: Annotated[
        bool, Field(description="True if every day of both periods is final: changes are then real")
    ]
    total: Figures
    total_against: Figures
    unlisted_clicks: Annotated[
        int | None,
        Field(description="By query: clicks of the period whose query Search Console does not show"),
    ] = None


class ReportFinding(Table):
    """A finding of the report, with what it means and what to do."""

    title: str
    meaning: str
    advice: str


class ReportForecast(Table):
    """A forecast of a metric of the largest property: a row for each day, none if it was refused."""

    site_url: str
    metric: str
    made_on: Annotated[date, Field(description="The last day that it uses; the rows come after it")]
    method: str
    reason: Annotated[str, Field(description="Why there is no forecast, or what to know about it")]
    expected: Annotated[float, Field(description="Sum of its days. Ranges of days cannot be added")]
    known_days: Annotated[int, Field(description="Days with an actual value; 0 of the days to come")]
    days_in_range: Annotated[int, Field(description="Known days between low and high: 80 % are expected")]


class ReportAnswer(Answer):
    """What the client's report says: figures, what changed, what to expect, findings, what is wrong."""

    workspace: str
    name: str
    search_type: str
    first_day: date
    last_day: date
    figures: Figures
    previous: Annotated[Figures | None, Field(description="The equal period before; null if incomplete")]
    year_before: Annotated[Figures | None, Field(description="The same 52 weeks earlier; null if incomplete")]
    provisional_from: Annotated[date | None, Field(description="Days from here on are not in the figures")]
    changes: Annotated[
        Table,
        Field(
            description="Recent changes of level, the most important first; `also` has those that repeat one"
        ),
    ]
    changes_meaning: Annotated[
        str, Field(description="How to read the confidence of changes, or what it means that there are none")
    ]
    forecasts: Annotated[
        list[ReportForecast],
        Field(description="Of the next days by metric, then those of four weeks ago, with what came of them"),
    ]
    properties: Table
    devices: Table
    countries: Table
    findings: list[ReportFinding]
    failing: list[Failing]
    silent_properties: Annotated[
        Table, Field(description="Properties that had impressions for four weeks, and have none now")
    ]
