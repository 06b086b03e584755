"""Verifies the lake: every file in the tables' logs, and every day of the ledger against the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from gsc_pipeline.lake.agreement import confirmed
from gsc_pipeline.lake.damage import DamagedFile
from gsc_pipeline.lake.errors import DamagedError, LakeError, cause_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.parquet_source import sql_list
from gsc_pipeline.lake.schemas import (
    COMPARED,
    MORE_LEDGER,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    WRITING,
    TableSpec,
)
from gsc_pipeline.lake.sql import connect
from gsc_pipeline.sync.decide import DID_NOT_ADD_UP_ONCE, DOES_NOT_ADD_UP
from gsc_pipeline.sync.ledger import DayTotals, Status

if TYPE_CHECKING:
    import duckdb


class Wrong(StrEnum):
    """What is wrong with a day."""

    UNRECORDED = "the tables hold rows, the ledger has no record"
    TWICE = "the ledger has more than one record of the day"
    RECORD = "the ledger's record has an unknown status, or says empty although there are rows"
    MONTH = "rows or the record are stored under another month than the day's"
    WRITING = "a sync was interrupted, or is still running, while it replaced the rows"
    SITE_ROWS = f"{SITE_IMPRESSION.name} does not hold as many rows as the ledger records"
    URL_ROWS = f"{URL_IMPRESSION.name} does not hold as many rows as the ledger records"
    TOTALS = f"the rows of {SITE_IMPRESSION.name} do not add up to the day's totals"
    URL_TOTALS = f"the rows of {URL_IMPRESSION.name} do not add up to the recorded sums"


@dataclass(frozen=True, slots=True)
class BadDay:
    """A day whose rows and record disagree. The recorded counts are None if there is no record.

    `position` is the average of the rows in the site table, counted from one; None for feeds.
    """

    workspace: str
    site_url: str
    search_type: str
    day: date
    wrong: Wrong
    site_rows: int
    site_rows_recorded: int | None
    url_rows: int
    url_rows_recorded: int | None
    clicks: int
    clicks_recorded: int | None
    impressions: int
    impressions_recorded: int | None
    position: float | None
    url_clicks: int
    url_impressions: int

    @property
    def series(self) -> tuple[str, str, str]:
        """The workspace, property and search type."""
        return self.workspace, self.site_url, self.search_type

    @property
    def totals(self) -> DayTotals:
        """The day's totals: the sums of the rows in the site table."""
        return DayTotals(self.clicks, self.impressions, self.position)


@dataclass(frozen=True, slots=True)
class OtherDay:
    """A day of which a table that `more_ledger` counts has another number of rows than recorded.

    `property_rows` and `page_rows` are the rows in the table, by grain.
    """

    table: str
    workspace: str
    site_url: str
    search_type: str
    day: date
    property_rows: int
    page_rows: int
    recorded: int

    @property
    def series(self) -> tuple[str, str, str]:
        """The workspace, property and search type."""
        return self.workspace, self.site_url, self.search_type

    @property
    def rows(self) -> int:
        """The rows in the table."""
        return self.property_rows + self.page_rows


_Day = TypeVar("_Day", BadDay, OtherDay)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do about it. Empty fields do not apply."""

    table: str
    what: str
    next_step: str
    workspace: str = ""
    site_url: str = ""
    search_type: str = ""
    days: int = 0
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What is wrong with logs, files and days. `compared` counts days of a property and search type.

    No day is compared if the log of a compared table is damaged. `others` are the days of the tables that
    `more_ledger` counts.
    """

    logs: tuple[DamagedError, ...]
    files: tuple[DamagedFile, ...]
    days: tuple[BadDay, ...]
    compared: int
    others: tuple[OtherDay, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.logs or self.files or self.days or self.others)

    def as_json(self) -> dict[str, Any]:
        """The findings as JSON types, dates in ISO form."""
        return {
            "ok": self.is_good,
            "days_compared": self.compared,
            "findings": [
                {k: str(v) if isinstance(v, date) else v for k, v in asdict(finding).items()}
                for finding in self.findings()
            ],
        }

    def findings(self) -> list[Finding]:
        """One finding per damaged log or file, and per property, search type and fault."""
        logs = [
            Finding(error.table, str(error), "gsc verify --repair rebuilds the log from the files")
            for error in self.logs
        ]
        files = [
            Finding(
                file.table,
                f"{file.path} {file.damage}",
                "gsc verify --repair removes it from the table and reads its days again",
                workspace=file.workspace,
            )
            for file in self.files
        ]
        days = [_of_days(found) for found in grouped(self.days, "series", "wrong")]
        others = [_of_other_days(found) for found in grouped(self.others, "table", "series")]
        return [*logs, *files, *days, *others]


def grouped(days: Iterable[_Day], *names: str) -> list[list[_Day]]:
    """The days with the same values of these attributes, each group in order."""
    ordered = sorted(days, key=attrgetter(*names, "day"))
    return [list(found) for _, found in groupby(ordered, key=attrgetter(*names))]


def verify(lake: Lake, workspaces: Collection[str] | None = None) -> Verification:
    """Check every file and compare every day, of some workspaces or of all. Changes nothing.

    Every file is read in full: the columns that are not compared may be damaged too. Raises LakeError if the
    storage is unavailable.
    """
    logs, files = _check_files(lake)
    unopened = {error.table for error in logs}
    days: list[BadDay] = []
    compared = 0
    if not unopened & {table.name for table in COMPARED}:
        days, compared = _compare(lake, files)
    # Its numbers may differ from one comparison to the other.
    days = confirmed(days, lambda: _compare(lake, files)[0], key=lambda one: (*one.series, one.day))

    def compare_others() -> list[OtherDay]:
        return [
            day
            for table in (SEARCHDATA_HOURLY, SEARCH_APPEARANCE)
            if not unopened & {table.name, MORE_LEDGER.name}
            for day in _compare_other(lake, table, files)
        ]

    others = confirmed(compare_others(), compare_others, key=lambda one: (one.table, *one.series, one.day))
    ids = None if workspaces is None else {"", *workspaces}
    return Verification(
        tuple(logs),
        tuple(file for file in files if ids is None or file.workspace in ids),
        tuple(day for day in days if ids is None or day.workspace in ids),
        compared,
        tuple(day for day in others if ids is None or day.workspace in ids),
    )


def _check_files(lake: Lake) -> tuple[list[DamagedError], list[DamagedFile]]:
    """Logs and files that are damaged."""
    logs: list[DamagedError] = []
    files: list[DamagedFile] = []
    for table in TABLES:
        try:
            files += lake.damaged_files(table, deep=True)
        except DamagedError as error:
            logs.append(error)
    return logs, files


_DAY = "workspace, site_url, search_type, data_date"
_RECORDED = (
    "status", "reason", "clicks", "impressions", "site_rows", "url_rows", "url_clicks", "url_impressions"
)  # fmt: skip
_MONTH = "strftime(data_date, '%Y-%m')"
_MONTHS = "min(month) AS first_month, max(month) AS last_month"

_SQL = f"""
    WITH site AS (
        SELECT {_DAY}, count(*) AS rows, sum(clicks) AS clicks, sum(impressions) AS impressions,
               sum(sum_top_position) AS positions, {_MONTHS}
        FROM {SITE_IMPRESSION.name} GROUP BY ALL
    ), url AS (
        SELECT {_DAY}, count(*) AS rows, sum(clicks) AS clicks, sum(impressions) AS impressions, {_MONTHS}
        FROM {URL_IMPRESSION.name} GROUP BY ALL
    ), records AS (
        SELECT {_DAY}, count(*) AS times, {_MONTHS},
               {", ".join(f"first({name}) AS {name}" for name in _RECORDED)}
        FROM {SYNC_LEDGER.name} GROUP BY ALL
    ), days AS (
        SELECT {_DAY},
               CASE
                   WHEN least(ledger.first_month, site.first_month, url.first_month) < {_MONTH}
                        OR greatest(ledger.last_month, site.last_month, url.last_month) > {_MONTH}
                       THEN 'MONTH'
                   WHEN status IS NULL THEN 'UNRECORDED'
                   WHEN times > 1 THEN 'TWICE'
                   WHEN status = '{WRITING}' THEN 'WRITING'
                   WHEN status NOT IN ({sql_list(Status)}) THEN 'RECORD'
                   WHEN coalesce(site.rows, 0) IS DISTINCT FROM site_rows THEN 'SITE_ROWS'
                   WHEN coalesce(url.rows, 0) IS DISTINCT FROM url_rows THEN 'URL_ROWS'
                   WHEN site_rows > 0 AND ledger.clicks IS NULL THEN 'UNRECORDED'
                   WHEN status = 'empty' AND site_rows > 0 THEN 'RECORD'
                   WHEN reason NOT IN ({sql_list([DOES_NOT_ADD_UP, DID_NOT_ADD_UP_ONCE])}) AND site_rows > 0
                        AND status IN ('final', 'provisional')
                        AND (site.clicks, site.impressions) <> (ledger.clicks, ledger.impressions)
                       THEN 'TOTALS'
                   WHEN url_clicks IS NOT NULL
                        AND (url.clicks, url.impressions) <> (url_clicks, url_impressions)
                       THEN 'URL_TOTALS'
               END AS wrong,
               coalesce(site.rows, 0), site_rows, coalesce(url.rows, 0), url_rows,
               coalesce(site.clicks, 0)::BIGINT, ledger.clicks,
               coalesce(site.impressions, 0)::BIGINT, ledger.impressions,
               site.positions / nullif(site.impressions, 0) + 1,
               coalesce(url.clicks, 0)::BIGINT, coalesce(url.impressions, 0)::BIGINT
        FROM records AS ledger FULL JOIN site USING ({_DAY}) FULL JOIN url USING ({_DAY})
    )"""


def _compare(lake: Lake, files: Sequence[DamagedFile]) -> tuple[list[BadDay], int]:
    """The days whose rows and record disagree, and how many were compared. Damaged files count as empty."""
    with _comparing(lake, COMPARED, files) as connection:
        connection.execute(f"CREATE TEMP TABLE found AS {_SQL} SELECT * FROM days")
        found = connection.execute("SELECT * FROM found WHERE wrong IS NOT NULL ORDER BY ALL").fetchall()
        ((compared,),) = connection.execute("SELECT count(*) FROM found").fetchall()
    days = [
        BadDay(workspace, site_url, search_type, day, Wrong[wrong], *numbers)
        for workspace, site_url, search_type, day, wrong, *numbers in found
    ]
    return days, compared


def _compare_other(lake: Lake, table: TableSpec, files: Sequence[DamagedFile]) -> list[OtherDay]:
    """The days of which the table has another number of rows than `more_ledger` records."""
    with _comparing(lake, (MORE_LEDGER, table), files) as connection:
        found = connection.execute(
            f"""WITH held AS (
                    SELECT {_DAY}, count(*) AS rows, count(*) FILTER (WHERE grain = 'property') AS by_property
                    FROM {table.name} GROUP BY ALL
                )
                SELECT {_DAY}, coalesce(by_property, 0), coalesce(rows - by_property, 0),
                       coalesce(site_rows + url_rows, 0) AS recorded
                FROM {MORE_LEDGER.name} LEFT JOIN held USING ({_DAY})
                WHERE table_name = '{table.name}' AND status <> '{WRITING}' AND coalesce(rows, 0) <> recorded
                ORDER BY ALL"""
        ).fetchall()
    return [OtherDay(table.name, *row) for row in found]


@contextmanager
def _comparing(
    lake: Lake, tables: Sequence[TableSpec], files: Sequence[DamagedFile]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection over these tables without the damaged files. Its errors become LakeError."""
    import duckdb

    without = {f"{file.table}/{file.path}" for file in files}
    try:
        with closing(connect(lake, (), whole=tables, without=without)) as connection:
            yield connection
    except (duckdb.Error, OSError) as error:
        raise LakeError(f"the days of {lake.uri} cannot be compared ({cause_of(error)})") from error


def _of_days(days: Sequence[BadDay]) -> Finding:
    one, wrong = days[0], days[0].wrong
    numbers: Any = {
        Wrong.SITE_ROWS: (one.site_rows, one.site_rows_recorded),
        Wrong.URL_ROWS: (one.url_rows, one.url_rows_recorded),
        Wrong.TOTALS: (
            f"{one.clicks} clicks and {one.impressions} impressions",
            f"{one.clicks_recorded} and {one.impressions_recorded}",
        ),
    }.get(wrong)
    example = f" ({one.day}: {numbers[0]} instead of {numbers[1]})" if numbers else ""
    is_url = wrong in (Wrong.URL_ROWS, Wrong.URL_TOTALS)
    return Finding(
        URL_IMPRESSION.name if is_url else SITE_IMPRESSION.name,
        f"{wrong.value}{example}",
        "gsc verify --repair reads these days again, if Search Console still shows them",
        workspace=one.workspace,
        site_url=one.site_url,
        search_type=one.search_type,
        days=len(days),
        first_day=one.day,
        last_day=days[-1].day,
    )


def _of_other_days(days: Sequence[OtherDay]) -> Finding:
    one = days[0]
    return Finding(
        one.table,
        f"{one.table} does not hold as many rows as {MORE_LEDGER.name} records ({one.day}: {one.rows} "
        f"instead of {one.recorded})",
        f"gsc sync {one.workspace} --more reads these days again, if Search Console still shows them; then "
        "gsc verify --repair records that the rows of the others are lost",
        workspace=one.workspace,
        site_url=one.site_url,
        search_type=one.search_type,
        days=len(days),
        first_day=one.day,
        last_day=days[-1].day,
    )
