"""The table change_points: days from which the level of a series differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from gsc_pipeline.insights.annotated import beginnings
from gsc_pipeline.insights.changes_of_series import SeriesChange, changes_of
from gsc_pipeline.insights.daily_series import GROUPED_INPUT, DailySeries, daily_series
from gsc_pipeline.insights.dark_periods import DarkPeriod, dark_periods
from gsc_pipeline.insights.measures import GROUPED, LEAST_SHOWN, require
from gsc_pipeline.insights.tables import no_rows, ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import CHANGE_POINTS
from gsc_pipeline.workspaces.thresholds import Thresholds

DAYS = 487
"""Days of a series that are searched, up to its last: sixteen months, as many as Search Console keeps."""

_METRICS = ("impressions", "clicks", "position")
_DAYS_OF_ROW = ("as_of", "first_day", "earliest_day", "latest_day")
_LEVEL_DAYS = 28
_LEAST_DAYS_BACK = 7
_LEAST_SHARE_SHOWN = 0.1
"""Days with a smaller share of the median impressions, and with fewer than LEAST_SHOWN, have no position."""


def change_points(
    days: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of change_points: the changes with at least the confidence and the size of the thresholds.

    Days of a data fault count as missing, and a day from which something else is counted as a known change.
    A period without impressions is a change of the impressions alone; its days count as missing in the search
    for other changes. `updates_and_notes` names the ranking updates and notes in which a change begins.
    """
    found = require(days, GROUPED_INPUT)
    found = found[(found["as_of"] - found["data_date"]).dt.days < DAYS]
    every = daily_series(found, _METRICS, annotations)
    rows: list[dict[str, Any]] = []
    for _key, of_group in groupby(every, lambda one: (one.site_url, one.search_type, one.content_group)):
        rows.extend(_rows_of_group(list(of_group), thresholds, annotations))
    if not rows:
        return no_rows(CHANGE_POINTS)
    return ranked(CHANGE_POINTS, pd.DataFrame(rows).astype(dict.fromkeys(_DAYS_OF_ROW, "datetime64[s]")))


def _rows_of_group(
    of_group: Sequence[DailySeries], thresholds: Thresholds, annotations: Sequence[Annotation]
) -> Iterator[dict[str, Any]]:
    impressions = of_group[0]
    least = thresholds.change_point_confidence
    dark = [one for one in dark_periods(impressions.values) if one.confidence >= least]
    for period in dark:
        for change in _ends_of(period, impressions.values):
            yield _row(impressions, "dark", change, annotations)
    is_dark = np.zeros(len(impressions.values), dtype=bool)
    for period in dark:
        is_dark[period.first : period.end] = True
    known = impressions.values[~is_dark & ~np.isnan(impressions.values)]
    # Those of a small site stay: few impressions are usual there.
    is_seldom = impressions.values < min(
        LEAST_SHOWN, _LEAST_SHARE_SHOWN * (np.median(known) if len(known) else 0)
    )
    for series in of_group:
        is_left_out = is_dark | is_seldom if series.metric == "position" else is_dark
        shown = replace(series, values=np.where(is_left_out, np.nan, series.values))
        for change in changes_of(shown, least, thresholds.change_point_share):
            # A level that is another one after a dark period is in the row of its end.
            if series is impressions and any(one.first <= change.first <= one.end for one in dark):
                continue
            yield _row(series, "step" if change.first == change.end else "slope", change, annotations)


def _ends_of(period: DarkPeriod, impressions: np.ndarray) -> Iterator[SeriesChange]:
    """The first day of the period, and the first one after it if impressions have come back for a week."""
    first = period.first
    # Known days, of which there are some before any dark period: those just before it may be unknown.
    known = impressions[:first][~np.isnan(impressions[:first])]
    before = _mean(known[-_LEVEL_DAYS:])
    yield SeriesChange(first, first, period.earliest, first, before, 0.0, period.confidence)
    after = impressions[period.end : period.end + _LEVEL_DAYS]
    if np.count_nonzero(after > 0) >= _LEAST_DAYS_BACK:
        yield SeriesChange(
            period.end, period.end, period.earliest_end, period.end, 0.0, _mean(after), period.confidence
        )


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def _row(
    series: DailySeries, kind: str, change: SeriesChange, annotations: Sequence[Annotation]
) -> dict[str, Any]:
    first, earliest, latest = (series.day(at) for at in (change.first, change.earliest, change.latest))
    difference = change.after - change.before
    relative = difference / change.before if change.before else None
    concerned = [
        one for one in annotations if one.concerns(series.site_url, series.search_type, series.metric)
    ]
    return {
        **{name: getattr(series, name) for name in GROUPED},
        "as_of": series.as_of,
        "metric": series.metric,
        "kind": kind,
        "first_day": first,
        "earliest_day": earliest,
        "latest_day": latest,
        "level_before": change.before,
        "level_after": change.after,
        "change": difference if series.metric == "position" else relative,
        "confidence": change.confidence,
        "updates_and_notes": beginnings(concerned, first, earliest, latest),
    }
