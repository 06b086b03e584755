"""Rows of the insights about changes, forecasts, content groups and tests that are made up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from gsc_pipeline.days import month_of
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import TableSpec
from gsc_pipeline.lake.targets import WorkspaceRows

AS_OF = date(2026, 11, 18)
SITE = "sc-domain:acme.com"
Row = dict[str, Any]


def write(lake: Lake, table: TableSpec, rows: Iterable[Row], workspace: str = "acme") -> None:
    """Replace the workspace's rows of the table. Columns that a row lacks are null."""
    filled = [{"workspace": workspace, "month": month_of(AS_OF), "as_of": AS_OF, **row} for row in rows]
    made = pa.Table.from_pylist(filled, schema=table.schema)
    lake.replace(table, WorkspaceRows(workspace), made)


def change(
    first_day: date,
    before: float = 410,
    after: float = 280,
    *,
    group: str = "all",
    metric: str = "clicks",
    confidence: float = 0.974,
    kind: str = "step",
    spread: int = 2,
    updates_and_notes: str | None = None,
    site_url: str = SITE,
) -> Row:
    """A row of change_points that began within `spread` days of `first_day`."""
    return {
        "site_url": site_url,
        "search_type": "WEB",
        "content_group": group,
        "metric": metric,
        "kind": kind,
        "first_day": first_day,
        "earliest_day": first_day - timedelta(spread),
        "latest_day": first_day + timedelta(spread),
        "level_before": float(before),
        "level_after": float(after),
        "change": after - before if metric == "position" else after / before - 1 if before else None,
        "confidence": confidence,
        "updates_and_notes": updates_and_notes,
    }


def forecast(
    metric: str = "clicks",
    level: float = 440,
    *,
    made_on: date = AS_OF,
    actual: float | None = None,
    group: str = "all",
    site_url: str = SITE,
) -> list[Row]:
    """The rows of a forecast of 28 days of `level`, less at weekends, each 10 % up or down.

    `actual` is the value of every day.
    """
    days = [made_on + timedelta(age) for age in range(1, 29)]
    factors = [0.7 if day.weekday() > 4 else 1.0 for day in days]
    return [
        {
            "site_url": site_url,
            "search_type": "WEB",
            "content_group": group,
            "metric": metric,
            "data_date": day,
            "made_on": made_on,
            "expected": level * factor,
            "low": 0.9 * level * factor,
            "high": 1.1 * level * factor,
            "actual": actual,
            "method": "exponential_smoothing",
        }
        for day, factor in zip(days, factors, strict=True)
    ]


def refused(reason: str, metric: str = "clicks") -> Row:
    """The row of a forecast that was refused."""
    day = AS_OF + timedelta(1)
    series = {"site_url": SITE, "search_type": "WEB", "content_group": "all", "metric": metric}
    return {**series, "data_date": day, "made_on": AS_OF, "method": "refused", "reason": reason}


def group_days(
    groups: dict[str, float], last: date = AS_OF, days: int = 98, *, site_url: str = SITE
) -> list[Row]:
    """The days of content groups, each with so many clicks a day and ten times as many impressions."""
    return [
        {
            "site_url": site_url,
            "search_type": "WEB",
            "data_date": last - timedelta(age),
            "month": month_of(last - timedelta(age)),
            "content_group": group,
            "clicks": round(clicks),
            "impressions": round(10 * clicks),
            "position": 5.0,
            "read_at": datetime(2026, 11, 21, tzinfo=UTC),
            "rules": "made up",
        }
        for group, clicks in groups.items()
        for age in range(days)
    ]


def seo_test(name: str, verdict: str, statement: str, metric: str = "clicks", **values: Any) -> Row:
    """A row of seo_tests."""
    return {
        "site_url": SITE,
        "search_type": "WEB",
        "test": name,
        "metric": metric,
        "start_day": date(2026, 10, 14),
        "last_day": AS_OF,
        "days": 36,
        "placebos": 20,
        "verdict": verdict,
        "statement": statement,
        **values,
    }


def every(*rows: Row | Sequence[Row]) -> list[Row]:
    """The rows and lists of rows as one list."""
    return [one for row in rows for one in (row if isinstance(row, list) else [row])]  # type: ignore[misc]
