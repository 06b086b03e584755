"""The table content_group_days, brought up to date by reading only the days that have changed.

A stored day stays while it is final, was made by the present rules, and the ledger names the same read of it.
Of other final days the rows of pages are read again, and the months that have changed are replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from gsc_pipeline.insights.content_groups import group_sql, rules_hash
from gsc_pipeline.insights.measures import SERIES
from gsc_pipeline.insights.reader import RowQueries
from gsc_pipeline.insights.tables import as_table
from gsc_pipeline.insights.windows import FINAL, YEAR
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import CONTENT_GROUP_DAYS, URL_IMPRESSION
from gsc_pipeline.lake.targets import WorkspaceMonths
from gsc_pipeline.workspaces.content_groups import OTHER, ContentGroup

MOST_STORED = 200
"""A day keeps so many groups, those with the most clicks; `other` holds the rest. A site that has each page
at the root has a group for each page."""

ROWS_AT_ONCE = 1_000_000
"""Rows of pages that are summed at once. Memory grows with the pages of a day, up to all of these rows."""

_DAY = [*SERIES, "data_date"]
_STORED = [name for name in CONTENT_GROUP_DAYS.schema.names if name != "workspace"]

_STORED_DAYS = """
    SELECT site_url, search_type, data_date, read_at, rules,
           sum(clicks)::BIGINT AS url_clicks, sum(impressions)::BIGINT AS url_impressions
    FROM facts GROUP BY ALL"""

_MAKE_KEPT = f"""
    CREATE OR REPLACE TEMP TABLE group_days AS
    SELECT {", ".join(_STORED)} FROM facts SEMI JOIN kept USING (site_url, search_type, data_date)"""

# The group of each page once: of a day's rows many have the same page.
_MAKE_URL_GROUPS = """
    CREATE OR REPLACE TEMP TABLE url_groups AS
    SELECT url, {content_group} AS content_group
    FROM (SELECT DISTINCT url FROM facts WHERE data_date BETWEEN $first AND $last)"""

# Days are chosen after the sums: to compare each row with them takes longer than to add all days of a month.
_ADD_MISSING = f"""
    INSERT INTO group_days BY NAME
    WITH of_months AS (
        SELECT site_url, search_type, data_date, content_group, sum(clicks)::BIGINT AS clicks,
               sum(impressions)::BIGINT AS impressions, sum(sum_position)::BIGINT AS sum_position
        FROM facts JOIN url_groups USING (url) WHERE data_date BETWEEN $first AND $last GROUP BY ALL),
    sums AS (FROM of_months JOIN missing USING (site_url, search_type, data_date)),
    largest AS (
        SELECT * REPLACE (CASE WHEN row_number() OVER of_day > {MOST_STORED}
                          THEN '{OTHER}' ELSE content_group END AS content_group)
        FROM sums WINDOW of_day AS (PARTITION BY site_url, search_type, data_date
                                    ORDER BY clicks DESC, impressions DESC, content_group))
    SELECT strftime(data_date, '%Y-%m') AS month, site_url, search_type, data_date, content_group,
           sum(clicks)::BIGINT AS clicks, sum(impressions)::BIGINT AS impressions,
           sum(sum_position)::BIGINT AS sum_position,
           sum(sum_position) / nullif(sum(impressions), 0) + 1 AS position, read_at, $rules AS rules
    FROM largest GROUP BY site_url, search_type, data_date, content_group, read_at"""

_OF_MONTHS = "SELECT * FROM group_days SEMI JOIN months USING (month) ORDER BY ALL"

_LARGEST = f"""
    SELECT site_url, search_type, content_group, data_date, clicks, impressions, sum_position
    FROM group_days SEMI JOIN (
        SELECT site_url, search_type, content_group
        FROM group_days JOIN series USING (site_url, search_type)
        WHERE data_date > as_of - {YEAR} AND data_date <= as_of
        GROUP BY site_url, search_type, content_group
        QUALIFY row_number() OVER (
            PARTITION BY site_url, search_type
            ORDER BY sum(clicks) DESC, sum(impressions) DESC, content_group) <= $most
    ) USING (site_url, search_type, content_group)
    ORDER BY ALL"""


@dataclass(frozen=True, slots=True, eq=False)
class GroupDays:
    """The days of a workspace's content groups.

    `months` are those of which stored rows have changed, and `rows` all rows of these months as they are to
    be stored. `largest` is the GROUP_DAYS_INPUT of the largest groups; `count` counts the rows of all months.
    """

    months: tuple[str, ...]
    rows: pd.DataFrame
    largest: pd.DataFrame
    count: int


def group_days(
    rows: RowQueries, ledger: pd.DataFrame, final: pd.DataFrame, rules: Sequence[ContentGroup], most: int
) -> GroupDays:
    """The days of the groups: stored ones that are as the ledger has them, and the others read again.

    `ledger` has the workspace's days, `final` the final ones of current series. The `most` groups of each
    series with the most clicks in its last year are the largest. Raises LakeError if rows cannot be read.
    """
    rows.reset()
    rows.open_facts(CONTENT_GROUP_DAYS, [*_DAY, "read_at", "rules", "clicks", "impressions"], None)
    stored = rows.query(_STORED_DAYS)
    is_wanted = ledger["status"].isin(FINAL) & (ledger["url_rows"] > 0) & ledger["last_read_at"].notna()
    wanted = ledger.loc[is_wanted, [*_DAY, "last_read_at", "url_rows", "url_clicks", "url_impressions"]]
    kept = _as_stored(stored, wanted, rules_hash(rules))
    missing = _without(wanted, kept).rename(columns={"last_read_at": "read_at"})
    gone = _without(stored, kept)
    months = sorted({f"{day:%Y-%m}" for day in pd.concat([missing["data_date"], gone["data_date"]])})
    rows.register_days("kept", kept)
    rows.open_facts(CONTENT_GROUP_DAYS, _STORED, None)
    rows.query(_MAKE_KEPT)
    for days in _parts(missing):
        rows.register_days("missing", days[[*_DAY, "read_at"]])
        between = {"first": days["data_date"].min().date(), "last": days["data_date"].max().date()}
        rows.open_facts(URL_IMPRESSION, ["url", "data_date"], days)
        rows.query(_MAKE_URL_GROUPS.replace("{content_group}", group_sql(rules)), **between)
        rows.open_facts(URL_IMPRESSION, [*_DAY, "url", "clicks", "impressions", "sum_position"], days)
        rows.query(_ADD_MISSING, rules=rules_hash(rules), **between)
    rows.register("months", pa.table({"month": pa.array(months, pa.string())}))
    rows.register_days("series", final[[*SERIES, "as_of"]].drop_duplicates())
    largest = rows.query(_LARGEST, most=most)
    count = int(rows.query("SELECT count(*) AS rows FROM group_days")["rows"].iloc[0])
    return GroupDays(tuple(months), rows.query(_OF_MONTHS), largest, count)


def replace_group_days(lake: Lake, workspace: str, days: GroupDays) -> None:
    """Replace the workspace's rows of the months that have changed, in one commit. Raises LakeError."""
    if days.months:
        rows = as_table(CONTENT_GROUP_DAYS, days.rows, workspace, month_of="data_date")
        lake.replace(CONTENT_GROUP_DAYS, WorkspaceMonths(workspace, days.months), rows)


def _parts(days: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The days in parts of whole months that have up to ROWS_AT_ONCE rows of pages, and at least a month."""
    months = days["data_date"].dt.strftime("%Y-%m")
    rows = days.groupby(months)["url_rows"].sum().cumsum()
    part = months.map((rows - 1) // ROWS_AT_ONCE)
    for _, found in days.groupby(part):
        yield found


def _as_stored(stored: pd.DataFrame, wanted: pd.DataFrame, rules: str) -> pd.DataFrame:
    """The stored days that are as they would be made now."""
    found = stored.merge(wanted, on=_DAY, suffixes=("_stored", ""))
    kept = (found["read_at"] == found["last_read_at"]) & (found["rules"] == rules)
    for name in ("url_clicks", "url_impressions"):
        # Unknown where an earlier release read the day.
        kept &= found[name].isna() | (found[name] == found[f"{name}_stored"])
    return found.loc[kept, _DAY]


def _without(days: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    found = days.merge(others, on=_DAY, how="left", indicator=True)
    return found[found["_merge"] == "left_only"].drop(columns="_merge")
