"""The tables of a status: standing failures, answers past the cap, days cut off in other tables."""

from __future__ import annotations

from gsc_pipeline.monitoring.status import TruncatedDays
from gsc_pipeline.sync.cut_days import Tried
from gsc_pipeline.sync.failures import StandingFailure

FAILURE_COLUMNS = (
    "workspace",
    "property",
    "search type",
    "cause",
    "next step",
    "days",
    "since (UTC)",
    "times",
)
"""The headers of every table of standing failures."""


def failure_cells(failure: StandingFailure) -> tuple[object, ...]:
    """A failure as a row under FAILURE_COLUMNS."""
    days = {0: "", 1: str(failure.last_day)}.get(
        failure.days, f"{failure.days} from {failure.first_day} to {failure.last_day}"
    )
    return (
        failure.workspace,
        failure.site_url or "(all)",
        failure.search_type,
        failure.cause,
        failure.next_step,
        days,
        f"{failure.since:%Y-%m-%d %H:%M}",
        failure.times,
    )


PAST_CAP_COLUMNS = (
    "workspace",
    "property",
    "search type",
    "answer",
    "filters see",
    "rows",
    "clicks",
    "impressions",
    "calls",
    "complete",
    "day",
    "tried (UTC)",
)
"""The headers of the table of what requests past the cap brought."""


def past_cap_cells(workspace: str, one: Tried) -> tuple[object, ...]:
    """A row under PAST_CAP_COLUMNS."""
    see = {True: "every row", False: "the cut rows", None: "not known"}[one.sees_every_row]
    return (
        workspace,
        one.site_url,
        one.search_type,
        one.grain,
        see,
        one.rows,
        one.clicks,
        one.impressions,
        one.calls,
        "yes" if one.is_complete else "no",
        one.data_date,
        f"{one.tried_at:%Y-%m-%d %H:%M}",
    )


TRUNCATED_COLUMNS = ("workspace", "table", "property", "search type", "days", "first day", "last day")
"""The headers of the table of days that were cut off in other tables."""


def truncated_cells(workspace: str, one: TruncatedDays) -> tuple[object, ...]:
    """A row under TRUNCATED_COLUMNS."""
    return (workspace, one.table, one.site_url, one.search_type, one.days, one.first_day, one.last_day)
