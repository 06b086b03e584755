"""anomalies: final days that stand out against the same weekday of the weeks before."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gsc_pipeline.insights.frames import SERIES, require
from gsc_pipeline.thresholds import Thresholds

DAILY_INPUT = (*SERIES, "data_date", "as_of", "clicks", "impressions", "position")
"""True totals of final days alone, `as_of` the last of them; no day twice."""

MAD_TO_DEVIATION = 1.4826
"""What makes a median absolute deviation a standard deviation, where numbers are normally spread."""

_LEAST_POSITION_SPREAD = 0.25


def anomalies(daily: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of anomalies among the last `window_days` days of each series, the newest first.

    A day is compared with the median of the same weekday in the `anomaly_weeks` weeks before it, as far as
    those days are final, by their median absolute deviation. The deviation is never taken for less than
    chance alone makes: the square root of a count, a quarter of a position.
    """
    days = require(daily, DAILY_INPUT)
    earlier = _same_weekdays(days, thresholds.anomaly_weeks)
    metrics = ("clicks", "impressions", "position")
    found = [_of_metric(days, earlier, metric, thresholds) for metric in metrics]
    order = [*SERIES, "data_date", "metric"]
    ascending = [True, True, False, True]
    return pd.concat(found).sort_values(order, ascending=ascending, ignore_index=True)


def _same_weekdays(days: pd.DataFrame, weeks: int) -> np.ndarray:
    """For each row, where in `days` the same weekday of the weeks before it is, the nearest week first.

    Shape (rows, weeks); -1 where there is no such day.
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
    # The last place, where -1 leads, holds no number.
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
    return result[is_recent & far & stands_out & (result["weeks"] >= thresholds.anomaly_least_weeks)]
