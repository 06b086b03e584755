"""Data-quality rules: SQL queries over the lake that return the violations, for all active workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import pacific_today
from gsc_pipeline.lake.annotations.stored import as_table, known
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import (
    MORE_LEDGER,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITE_IMPRESSION,
    SYNC_LEDGER,
    TABLES,
    URL_IMPRESSION,
    TableSpec,
)
from gsc_pipeline.lake.sql import connect, reading

if TYPE_CHECKING:
    import duckdb

RECENT = timedelta(days=2)
"""Rules that need a day's rows check the days read within this time; others were checked before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule about one table. `sql` selects the violations, `remedy` is the next step for the user.

    `is_error`: a violation means that data is wrong. The query can use `$active` (workspace ids), `$today`
    (a Pacific date), `$since` (a timestamp), and two tables: `recent`, the ledger's rows of active workspaces
    whose days were read since then, and `unlike`, the known data faults and changes of counting.
    """

    name: str
    table: str
    description: str
    sql: str
    remedy: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The violations of a rule, as rows with `columns`."""

    rule: Rule
    columns: tuple[str, ...]
    violations: tuple[tuple[Any, ...], ...]

    @property
    def passed(self) -> bool:
        """Whether there are no violations."""
        return not self.violations


_DAY = "workspace, site_url, search_type, data_date"


def _reconciles(table: str, rows: str, differs: str) -> str:
    return f"""
        SELECT {_DAY}, recent.clicks AS clicks_of_day, held.clicks AS clicks_held,
               recent.impressions AS impressions_of_day, held.impressions AS impressions_held,
               recent.{rows} AS rows_of_day, held.rows AS rows_held
        FROM recent LEFT JOIN (
            SELECT {_DAY}, sum(clicks) AS clicks, sum(impressions) AS impressions, count(*) AS rows
            FROM {table} WHERE month IN (SELECT DISTINCT month FROM recent) GROUP BY ALL
        ) AS held USING ({_DAY})
        WHERE status IN ('final', 'provisional') AND recent.impressions > 0
          AND (held.rows IS NULL OR held.rows <> recent.{rows} OR {differs})
        ORDER BY ALL"""


def _unique(table: TableSpec) -> str:
    others = ", ".join(key for key in table.keys if key not in _DAY.split(", "))
    return f"""
        SELECT {_DAY}, {others}, count(*) AS times
        FROM {table.name} JOIN (SELECT {_DAY} FROM recent) USING ({_DAY})
        WHERE month IN (SELECT DISTINCT month FROM recent)
        GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"""


def _not_over(table: str) -> str:
    return f"""
        SELECT {_DAY}, count(*) AS rows
        FROM {table} WHERE data_date >= $today AND workspace IN (SELECT unnest($active))
        GROUP BY ALL ORDER BY ALL"""


_TRUNCATED = """
    SELECT workspace, site_url, search_type, count(*) AS days,
           min(data_date) AS first_day, max(data_date) AS last_day,
           round(100.0 * sum(cut_clicks) / sum(clicks), 1) AS percent_of_clicks_cut,
           round(100.0 * sum(cut_impressions) / sum(impressions), 1) AS percent_of_impressions_cut
    FROM recent WHERE truncated GROUP BY ALL ORDER BY ALL"""


def _truncated_in(table: TableSpec) -> str:
    return f"""
        SELECT workspace, site_url, search_type, count(*) AS days,
               min(data_date) AS first_day, max(data_date) AS last_day
        FROM {MORE_LEDGER.name}
        WHERE table_name = '{table.name}' AND truncated AND last_read_at >= $since
          AND workspace IN (SELECT unnest($active))
        GROUP BY ALL ORDER BY ALL"""


_UNUSUAL_ANONYMISED_SHARE = """
    WITH days AS (
        SELECT workspace, site_url, search_type, data_date,
               sum(held.impressions) FILTER (is_anonymized_query) / sum(held.impressions) AS share
        FROM searchdata_site_impression AS held JOIN sync_ledger
            USING (workspace, site_url, search_type, data_date)
        WHERE status = 'final' AND NOT truncated AND workspace IN (SELECT unnest($active))
          AND data_date >= $today - 40
        GROUP BY ALL HAVING sum(held.impressions) >= 100
    ), numbered AS (
        SELECT *, row_number() OVER (
            PARTITION BY workspace, site_url, search_type ORDER BY data_date DESC) AS nth
        FROM days
    ), usual AS (
        SELECT workspace, site_url, search_type, median(share) AS usual, mad(share) AS spread
        FROM numbered WHERE nth > 7 GROUP BY ALL HAVING count(*) >= 14
    ), covered AS (
        SELECT n.workspace, n.site_url, n.search_type, first_day, last_day,
               avg((data_date BETWEEN first_day AND last_day)::INTEGER) AS usual_share
        FROM numbered AS n JOIN unlike AS u
            ON n.workspace = coalesce(u.workspace, n.workspace)
            AND n.site_url = coalesce(u.site_url, n.site_url)
            AND list_contains(coalesce(search_types, [n.search_type]), n.search_type)
            AND list_contains(coalesce(metrics, ['impressions']), 'impressions')
        WHERE nth > 7 GROUP BY ALL
    )
    SELECT workspace, site_url, search_type, data_date, round(100 * coalesce(share, 0), 1) AS percent,
           round(100 * usual, 1) AS usual_percent
    FROM numbered JOIN usual USING (workspace, site_url, search_type)
    WHERE nth <= 7 AND abs(coalesce(share, 0) - usual) > greatest(5 * 1.4826 * spread, 0.10)
      AND NOT EXISTS (
          FROM covered WHERE (covered.workspace, covered.site_url, covered.search_type)
              = (numbered.workspace, numbered.site_url, numbered.search_type)
            AND abs((data_date BETWEEN first_day AND last_day)::INTEGER - usual_share) >= 0.5)
    ORDER BY ALL"""

# A property whose ledger ends before that of its workspace is no longer synced, so nothing is known of it.
_WENT_DARK = """
    WITH series AS (
        SELECT workspace, site_url, search_type, data_date, clicks, impressions,
               status IN ('final', 'empty') AS is_final,
               max(data_date) FILTER (impressions > 0)
                   OVER (PARTITION BY workspace, site_url, search_type) AS last_shown,
               max(data_date) OVER (PARTITION BY workspace) AS newest
        FROM sync_ledger
        WHERE workspace IN (SELECT unnest($active)) AND data_date >= $today - 120
    )
    SELECT workspace, site_url, search_type, last_shown AS last_day_with_impressions,
           count(*) FILTER (is_final AND data_date > last_shown) AS final_days_without,
           sum(clicks) FILTER (data_date BETWEEN last_shown - 27 AND last_shown)::BIGINT AS clicks_before,
           sum(impressions) FILTER (data_date BETWEEN last_shown - 27 AND last_shown)::BIGINT
               AS impressions_before
    FROM series GROUP BY workspace, site_url, search_type, last_shown, newest
    HAVING final_days_without >= 2 AND max(data_date) >= newest - 7
       AND count(*) FILTER (impressions > 0 AND data_date > last_shown - 28) >= 25
    ORDER BY ALL"""

_SITE, _URL = SITE_IMPRESSION.name, URL_IMPRESSION.name

_READ_AGAIN = "Read the days again: gsc sync WORKSPACE --start DAY --end DAY --full, or materialize them."
_OTHER_WRITERS = "Check that no other program writes to the lake. " + _READ_AGAIN
_CAPPED = (
    "The API gives no more rows of such a day; its totals are complete. gsc status says what requests by "
    "device and country bring (GSC_PAST_CAP), and names folders worth adding as properties (folders_of). To "
    "get all of its queries, import Google's bulk data export."
)
_CAPPED_PAGES = (
    "The API gives no more pages of such a day; the rows of grain property are complete. To get the other "
    "pages, verify parts of the site as separate properties."
)
_COMPARE = (
    "Compare the day with Search Console's own page. If they agree, the site's queries changed; if not, read "
    "the day again: gsc sync WORKSPACE --start DAY --end DAY --full."
)

WENT_DARK = Rule(
    "no_property_went_dark",
    _SITE,
    "No property that had impressions for four weeks has none on its newest final days.",
    _WENT_DARK,
    "Open the site, and Search Console's own page of it: look for an outage, a block in robots.txt, noindex, "
    "a manual action, or a move to another address.",
)

RULES = (
    WENT_DARK,
    Rule(
        "totals_reconcile",
        _SITE,
        "Rows with queries and anonymised rows add up to each day's totals.",
        _reconciles(
            _SITE,
            "site_rows",
            "(held.clicks, held.impressions) <> (recent.clicks, recent.impressions)",
        ),
        _READ_AGAIN,
    ),
    Rule(
        "totals_reconcile",
        _URL,
        "All rows that were read are present, and pages have at least as many impressions as the property.",
        _reconciles(_URL, "url_rows", "(held.impressions < recent.impressions AND NOT truncated)"),
        _READ_AGAIN,
    ),
    *(
        Rule(
            "keys_unique",
            table.name,
            "No two rows of a day have the same key.",
            _unique(table),
            _OTHER_WRITERS,
            is_error=True,
        )
        for table in (SITE_IMPRESSION, URL_IMPRESSION)
    ),
    *(
        Rule(
            "no_day_beyond_yesterday",
            table,
            "There are no rows of days that are not over in Pacific time.",
            _not_over(table),
            _OTHER_WRITERS,
            is_error=True,
        )
        for table in (_SITE, _URL)
    ),
    Rule(
        "no_truncated_days",
        _SITE,
        "No recently read day lacks rows that the API cut off (50,000 a day, property and search type).",
        _TRUNCATED,
        _CAPPED,
    ),
    Rule(
        "no_truncated_days",
        SEARCHDATA_HOURLY.name,
        "No recently read day lacks pages by hour that the API cut off (50,000 rows a day, property and "
        "search type).",
        _truncated_in(SEARCHDATA_HOURLY),
        _CAPPED_PAGES,
    ),
    Rule(
        "no_truncated_days",
        SEARCH_APPEARANCE.name,
        "No recently read day lacks pages that the API cut off (50,000 a day, property, search type and "
        "search appearance).",
        _truncated_in(SEARCH_APPEARANCE),
        _CAPPED_PAGES,
    ),
    Rule(
        "anonymised_share_is_usual",
        _SITE,
        "The share of anonymised impressions is within its usual range (median and MAD of earlier days), on "
        "days of which the API cut off no rows and that no known data fault or change of counting sets apart "
        "from the earlier ones.",
        _UNUSUAL_ANONYMISED_SHARE,
        _COMPARE,
    ),
)


def evaluate(
    rules: Sequence[Rule],
    lake: Lake,
    active: Sequence[str],
    *,
    now: datetime,
    since: datetime | None = None,
) -> list[RuleResult]:
    """Evaluate the rules for the `active` workspaces at `now` (with a time zone).

    `since`: days read since then count as recently read. Raises LakeError if the lake cannot be read.
    """
    parameters = {
        "active": list(active),
        "today": pacific_today(now),
        "since": since or now - RECENT,
    }
    days = [SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER, MORE_LEDGER]
    with reading(lake, days), connect(lake, days) as connection:
        connection.execute(
            f"""CREATE TEMP TABLE recent AS SELECT * FROM {SYNC_LEDGER.name}
                WHERE last_read_at >= $since AND workspace IN (SELECT unnest($active))""",
            {name: parameters[name] for name in ("since", "active")},
        )
        connection.register("unlike", _unlike(lake))
        return [_apply(rule, connection, parameters) for rule in rules]


def _unlike(lake: Lake) -> pa.Table:
    """The known data faults and changes of counting. Those without an end last until `date.max`."""
    found = as_table(one for one in known(lake) if one.changes_counting)
    index = found.schema.get_field_index("last_day")
    return found.set_column(index, "last_day", pc.fill_null(found["last_day"], date.max))


@dataclass(frozen=True, slots=True)
class DarkProperty:
    """A property and search type that had impressions for four weeks, and none on its newest final days.

    `clicks_before` and `impressions_before` are of the four weeks up to its last day with impressions.
    """

    workspace: str
    site_url: str
    search_type: str
    last_day_with_impressions: date
    final_days_without: int
    clicks_before: int
    impressions_before: int


def dark_properties(lake: Lake, active: Sequence[str], *, now: datetime) -> list[DarkProperty]:
    """The violations of WENT_DARK in the `active` workspaces (ids), read from the ledger alone.

    Only the last 120 days are read. Raises LakeError if the lake cannot be read.
    """
    parameters = {"active": list(active), "today": pacific_today(now)}
    with reading(lake, [SYNC_LEDGER]), connect(lake, [SYNC_LEDGER]) as connection:
        return [DarkProperty(*row) for row in _apply(WENT_DARK, connection, parameters).violations]


ADDED_BY_THE_NEXT_SYNC = "is missing; the next sync that writes the table adds it"


def schema_differences(lake: Lake) -> list[tuple[str, str]]:
    """The tables whose columns differ from the declared ones, and the differences."""
    differences = []
    for table in TABLES:
        actual = lake.schema_of(table)
        if actual is not None and (found := _differences(actual, table.schema)):
            differences.append((table.name, ", ".join(found)))
    return differences


def _differences(actual: pa.Schema, declared: pa.Schema) -> list[str]:
    """The differences, regardless of the order of the columns."""
    found = []
    for name in sorted({*actual.names, *declared.names}):
        index, wanted = actual.get_field_index(name), declared.get_field_index(name)
        if index >= 0 and wanted >= 0 and actual.field(index).equals(declared.field(wanted)):
            continue
        if index < 0 and declared.field(wanted).nullable:
            found.append(f"{name} {ADDED_BY_THE_NEXT_SYNC}")
        else:
            found += [
                str(schema.field(at)) for schema, at in ((actual, index), (declared, wanted)) if at >= 0
            ]
    return found


def _apply(rule: Rule, connection: duckdb.DuckDBPyConnection, parameters: dict[str, Any]) -> RuleResult:
    used = {name: value for name, value in parameters.items() if f"${name}" in rule.sql}
    result = connection.execute(rule.sql, used)
    columns = tuple(column[0] for column in result.description or ())
    return RuleResult(rule, columns, tuple(result.fetchall()))
