"""Judging the lake: what is wrong with its rows now, for all active workspaces at once.

Belongs here: each rule as one query whose rows are the offences, no Dagster. Does not: failures of reading
(`checks.no_partial_failures` tells those from the ledger), showing the offences (`checks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gsc_pipeline.days import pacific_today
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import SITE_IMPRESSION, SYNC_LEDGER, TABLES, URL_IMPRESSION
from gsc_pipeline.lake.sql import connect, reading

if TYPE_CHECKING:
    import duckdb

RECENT = timedelta(days=2)
"""Rules that open a day's rows judge the days read since; those read earlier were judged then."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule about one table. `sql` selects the offences; `is_error` means that data is wrong.

    `remedy` says what to do about an offence.

    The query may use `$active` (workspace ids), `$today` (Pacific), `$since` (a moment), and
    the view `recent`: the ledger's rows of active workspaces whose days were read since.
    """

    name: str
    table: str
    description: str
    sql: str
    remedy: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule found: the offences as rows under `columns`, none when all is well."""

    rule: Rule
    columns: tuple[str, ...]
    offences: tuple[tuple[Any, ...], ...]

    @property
    def passed(self) -> bool:
        """Whether there is no offence."""
        return not self.offences


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


def _unique(table: str, keys: Sequence[str]) -> str:
    others = ", ".join(key for key in keys if key not in _DAY.split(", "))
    return f"""
        SELECT {_DAY}, {others}, count(*) AS times
        FROM {table} JOIN (SELECT {_DAY} FROM recent) USING ({_DAY})
        WHERE month IN (SELECT DISTINCT month FROM recent)
        GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"""


def _not_over(table: str) -> str:
    return f"""
        SELECT workspace, site_url, search_type, data_date, count(*) AS rows
        FROM {table} WHERE data_date >= $today GROUP BY ALL ORDER BY ALL"""


_TRUNCATED = """
    SELECT workspace, site_url, search_type, count(DISTINCT data_date) AS days,
           min(data_date) AS first_day, max(data_date) AS last_day,
           round(100.0 * sum(held.clicks) FILTER (is_anonymized_query) / sum(held.clicks), 1)
               AS percent_of_clicks_without_a_query
    FROM recent LEFT JOIN searchdata_site_impression AS held
        USING (workspace, site_url, search_type, data_date)
    WHERE truncated GROUP BY ALL ORDER BY ALL"""

_UNUSUAL_ANONYMISED_SHARE = """
    WITH days AS (
        SELECT workspace, site_url, search_type, data_date,
               sum(held.impressions) FILTER (is_anonymized_query) / sum(held.impressions) AS share
        FROM searchdata_site_impression AS held JOIN sync_ledger
            USING (workspace, site_url, search_type, data_date)
        WHERE status = 'final' AND workspace IN (SELECT unnest($active)) AND data_date >= $today - 40
        GROUP BY ALL HAVING sum(held.impressions) >= 100
    ), numbered AS (
        SELECT *, row_number() OVER (
            PARTITION BY workspace, site_url, search_type ORDER BY data_date DESC) AS nth
        FROM days
    ), usual AS (
        SELECT workspace, site_url, search_type, median(share) AS usual, mad(share) AS spread
        FROM numbered WHERE nth > 7 GROUP BY ALL HAVING count(*) >= 14
    )
    SELECT workspace, site_url, search_type, data_date, round(100 * coalesce(share, 0), 1) AS percent,
           round(100 * usual, 1) AS usual_percent
    FROM numbered JOIN usual USING (workspace, site_url, search_type)
    WHERE nth <= 7 AND abs(coalesce(share, 0) - usual) > greatest(5 * 1.4826 * spread, 0.10)
    ORDER BY ALL"""

_SITE, _URL = SITE_IMPRESSION.name, URL_IMPRESSION.name

_READ_AGAIN = "Read the days again: gsc sync WORKSPACE --start DAY --end DAY --full, or materialize them."
_LOOK = "Nothing else may write to the lake. " + _READ_AGAIN
_CAPPED = (
    "Google gives no more rows of such a day, and its totals are true all the same. More of its queries are "
    "to be had by verifying parts of the site as properties of their own."
)
_COMPARE = (
    "Compare the day with Search Console's own page. If they agree, the site's queries changed; if not, read "
    "the day again: gsc sync WORKSPACE --start DAY --end DAY --full."
)

RULES = (
    Rule(
        "totals_reconcile",
        _SITE,
        "Rows with queries and anonymised rows together are each day's totals.",
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
        "Every row that was read is there, and pages were shown no less often than the property.",
        _reconciles(_URL, "url_rows", "(held.impressions < recent.impressions AND NOT truncated)"),
        _READ_AGAIN,
    ),
    Rule(
        "keys_unique",
        _SITE,
        "No two rows of a day have the same key: its numbers count once.",
        _unique(_SITE, SITE_IMPRESSION.keys),
        _LOOK,
        is_error=True,
    ),
    Rule(
        "keys_unique",
        _URL,
        "No two rows of a day have the same key: its numbers count once.",
        _unique(_URL, URL_IMPRESSION.keys),
        _LOOK,
        is_error=True,
    ),
    Rule(
        "no_day_beyond_yesterday",
        _SITE,
        "No row is of a day that is not over in California.",
        _not_over(_SITE),
        _LOOK,
        is_error=True,
    ),
    Rule(
        "no_day_beyond_yesterday",
        _URL,
        "No row is of a day that is not over in California.",
        _not_over(_URL),
        _LOOK,
        is_error=True,
    ),
    Rule(
        "no_truncated_days",
        _SITE,
        "No day read lately met the API's cap of 50,000 rows, beyond which rows are not to be had.",
        _TRUNCATED,
        _CAPPED,
    ),
    Rule(
        "anonymised_share_is_usual",
        _SITE,
        "The share of anonymised impressions is within its usual range (median and MAD of the days before).",
        _UNUSUAL_ANONYMISED_SHARE,
        _COMPARE,
    ),
)


def judge(
    rules: Sequence[Rule],
    lake: Lake,
    active: Sequence[str],
    *,
    now: datetime,
    since: datetime | None = None,
) -> list[Verdict]:
    """Apply the rules to the lake as it is at `now` (aware), for the `active` workspaces.

    `since` overrides from when on days count as recently read. Raises LakeError where it cannot be read.
    """
    known = {
        "active": list(active),
        "today": pacific_today(now),
        "since": since or now - RECENT,
    }
    days = [SITE_IMPRESSION, URL_IMPRESSION, SYNC_LEDGER]
    with reading(lake, days), connect(lake, days) as connection:
        connection.execute(
            f"""CREATE TEMP TABLE recent AS SELECT * FROM {SYNC_LEDGER.name}
                WHERE last_read_at >= $since AND workspace IN (SELECT unnest($active))""",
            {name: known[name] for name in ("since", "active")},
        )
        return [_apply(rule, connection, known) for rule in rules]


ADDED_BY_THE_NEXT_SYNC = "is missing; the next sync that writes the table adds it"


def schema_differences(lake: Lake) -> list[tuple[str, str]]:
    """Tables whose columns are not those declared: name, and what differs."""
    differences = []
    for table in TABLES:
        held = lake.schema_of(table)
        if held is not None and (found := _differences(held, table.schema)):
            differences.append((table.name, ", ".join(found)))
    return differences


def _differences(held: pa.Schema, declared: pa.Schema) -> list[str]:
    """What differs, whatever the order of the columns."""
    found = []
    for name in sorted({*held.names, *declared.names}):
        index, wanted = held.get_field_index(name), declared.get_field_index(name)
        if index >= 0 and wanted >= 0 and held.field(index).equals(declared.field(wanted)):
            continue
        if index < 0 and declared.field(wanted).nullable:
            found.append(f"{name} {ADDED_BY_THE_NEXT_SYNC}")
        else:
            found += [str(schema.field(at)) for schema, at in ((held, index), (declared, wanted)) if at >= 0]
    return found


def _apply(rule: Rule, connection: duckdb.DuckDBPyConnection, known: dict[str, Any]) -> Verdict:
    used = {name: value for name, value in known.items() if f"${name}" in rule.sql}
    result = connection.execute(rule.sql, used)
    columns = tuple(column[0] for column in result.description or ())
    return Verdict(rule, columns, tuple(result.fetchall()))
