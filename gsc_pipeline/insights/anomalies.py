"""The table anomalies: final days far from the same weekday of the weeks before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gsc_pipeline.insights.annotated import of_day
from gsc_pipeline.insights.measures import SERIES, first_shown, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import ANOMALIES
from gsc_pipeline.workspaces.thresholds import Thresholds

DAILY_INPUT = (*SERIES, "data_date", "as_of", "clicks", "impressions", "position")
"""Totals of final days, each day once; `as_of` is the last of them."""

MAD_TO_DEVIATION = 1.4826
"""Scales a median absolute deviation to a standard deviation, for normally distributed numbers."""

_LEAST_POSITION_SPREAD = 0.25


def anomalies(
    daily: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of anomalies, from the last `window_days` days of each series.

    The expected value of a day is the median of the same weekday in the `anomaly_weeks` weeks before it; days
    that are not final are left out. The spread is 1.4826 times their median absolute deviation, but at least
    what chance alone causes: the square root of the expected count, or a quarter of a position. Days before
    the first with impressions are no expectation, so the start of a site is not unusual.

    `annotation` names what sets a day apart from the weekdays it is compared with; the day stays listed.
    """
    days = require(daily, DAILY_INPUT)
    days = days[days["data_date"] >= first_shown(days)].reset_index(drop=True)
    earlier = _same_weekdays(days, thresholds.anomaly_weeks)
    metrics = ("clicks", "impressions", "position")
    found = pd.concat([_of_metric(days, earlier, metric, thresholds) for metric in metrics])
    found["annotation"] = _annotations(found, days, earlier, annotations)
    return ranked(ANOMALIES, found)


def _same_weekdays(days: pd.DataFrame, weeks: int) -> np.ndarray:
    """For each row, the row numbers in `days` of the same weekday one week earlier, two weeks earlier, ...

    Shape (rows, weeks); -1 if `days` has no such day.
    """
    keys = [*SERIES, "data_date"]
    index = pd.MultiIndex.from_frame(days[keys])
    before = [
        days[keys].assign(data_date=days["data_date"] - pd.Timedelta(weeks=back))
        for back in range(1, weeks + 1)
    ]
    return np.stack([index.get_indexer(pd.MultiIndex.from_frame(frame)) for frame in before], axis=1)


def _of_metric(days: pd.DataFrame, earlier: np.ndarray, metric: str, thresholds: Thresholds) -> pd.DataFrame:
    value = days[metric].astype("float64")
    # Index -1 selects the appended NaN.
    before = pd.DataFrame(np.append(value, np.nan)[earlier], index=days.index)
    expected = before.median(axis=1)
    deviation = MAD_TO_DEVIATION * before.sub(expected, axis=0).abs().median(axis=1)
    chance = _LEAST_POSITION_SPREAD if metric == "position" else expected.clip(lower=1) ** 0.5
    spread = deviation.clip(lower=chance)
    result = days[[*SERIES, "data_date", "as_of"]].assign(
        metric=metric,
        value=value,
        expected=expected,
        spread=spread,
        robust_z=(value - expected) / spread,
        weeks=before.notna().sum(axis=1),
    )
    is_recent = (days["as_of"] - days["data_date"]).dt.days < thresholds.window_days
    far = (value - expected).abs() >= thresholds.anomaly_share * expected
    stands_out = result["robust_z"].abs() >= thresholds.anomaly_z
    # The index remains that of `days`.
    return result[is_recent & far & stands_out & (result["weeks"] >= thresholds.anomaly_least_weeks)]


def _annotations(
    found: pd.DataFrame, days: pd.DataFrame, earlier: np.ndarray, annotations: Sequence[Annotation]
) -> pd.Series:
    """The annotations of each row of `found`, whose index is that of `days` and `earlier`."""
    dates = [day.date() for day in days["data_date"]]
    keys = found[[*SERIES, "metric"]].to_numpy(dtype=str)
    named = [
        of_day(annotations, site, type_, metric, dates[row], [dates[at] for at in earlier[row] if at >= 0])
        for (site, type_, metric), row in zip(keys.tolist(), found.index.tolist(), strict=True)
    ]
    return pd.Series(named, index=found.index, dtype=object)
