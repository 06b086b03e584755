"""The table anomalies: final days far from the same weekday of the weeks before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gsc_pipeline.insights.annotated import of_day
from gsc_pipeline.insights.daily_series import GROUPED_INPUT
from gsc_pipeline.insights.measures import GROUPED, LEAST_SHOWN, MAD_TO_DEVIATION, first_shown, require
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import ANOMALIES
from gsc_pipeline.workspaces.thresholds import Thresholds

_LEAST_POSITION_SPREAD = 0.25


def anomalies(
    daily: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of anomalies, from the last `window_days` days of each property, search type and content group.

    The expected value of a day is the median of the same weekday in the `anomaly_weeks` weeks before it; days
    that are not final are left out. The spread is 1.4826 times their median absolute deviation, but at least
    what chance alone causes: the square root of the expected count, or a quarter of a position. Days before
    the first with impressions are no expectation, so the start of a site is not unusual. Counts must also be
    beyond chance where few are expected, and positions need 50 impressions.

    `annotation` names what sets a day apart from the weekdays it is compared with; the day stays listed.
    """
    days = require(daily, GROUPED_INPUT)
    days = days[days["data_date"] >= first_shown(days, GROUPED)].reset_index(drop=True)
    recent = days[(days["as_of"] - days["data_date"]).dt.days < thresholds.window_days]
    recent = recent.reset_index(drop=True)
    earlier = _same_weekdays(recent, days, thresholds.anomaly_weeks)
    metrics = ("clicks", "impressions", "position")
    found = pd.concat([_of_metric(recent, days, earlier, metric, thresholds) for metric in metrics])
    found["annotation"] = _annotations(found, days, earlier, annotations)
    return ranked(ANOMALIES, found)


def _same_weekdays(recent: pd.DataFrame, days: pd.DataFrame, weeks: int) -> np.ndarray:
    """For each row of `recent`, the rows of `days` that are one week earlier, two weeks earlier, and so on.

    Shape (rows, weeks); -1 if `days` has no such day.
    """
    keys = [*GROUPED, "data_date"]
    index = pd.MultiIndex.from_frame(days[keys])
    before = [
        recent[keys].assign(data_date=recent["data_date"] - pd.Timedelta(weeks=back))
        for back in range(1, weeks + 1)
    ]
    return np.stack([index.get_indexer(pd.MultiIndex.from_frame(frame)) for frame in before], axis=1)


def _of_metric(
    recent: pd.DataFrame, days: pd.DataFrame, earlier: np.ndarray, metric: str, thresholds: Thresholds
) -> pd.DataFrame:
    value = recent[metric].astype("float64")
    # Index -1 selects the appended NaN.
    before = pd.DataFrame(np.append(days[metric].astype("float64"), np.nan)[earlier], index=recent.index)
    expected = before.median(axis=1)
    deviation = MAD_TO_DEVIATION * before.sub(expected, axis=0).abs().median(axis=1)
    chance = _LEAST_POSITION_SPREAD if metric == "position" else expected.clip(lower=1) ** 0.5
    spread = deviation.clip(lower=chance)
    result = recent[[*GROUPED, "data_date", "as_of"]].assign(
        metric=metric,
        value=value,
        expected=expected,
        spread=spread,
        robust_z=(value - expected) / spread,
        weeks=before.notna().sum(axis=1),
    )
    far = (value - expected).abs() >= thresholds.anomaly_share * expected
    stands_out = result["robust_z"].abs() >= thresholds.anomaly_z
    stands_out &= _is_sure(result, recent["impressions"], thresholds)
    # The index remains that of `recent`.
    return result[far & stands_out & (result["weeks"] >= thresholds.anomaly_least_weeks)]


def _is_sure(days: pd.DataFrame, impressions: pd.Series, thresholds: Thresholds) -> pd.Series:
    """Whether values are far from what is expected of few clicks or impressions too.

    Sites and content groups may be small. The square roots of Poisson counts, twice, have a deviation of 1
    even where few are expected (Anscombe); an average position needs impressions.
    """
    roots = 2 * ((days["value"] + 3 / 8) ** 0.5 - (days["expected"] + 3 / 8) ** 0.5).abs()
    is_position = days["metric"] == "position"
    return (roots >= thresholds.anomaly_z).where(~is_position, impressions >= LEAST_SHOWN)


def _annotations(
    found: pd.DataFrame, days: pd.DataFrame, earlier: np.ndarray, annotations: Sequence[Annotation]
) -> pd.Series:
    """The annotations of each row of `found`, whose index is that of `earlier`, which has rows of `days`."""
    dates = days["data_date"].to_numpy()
    keys = found[["site_url", "search_type", "metric"]].to_numpy(dtype=str)
    named = [
        of_day(
            annotations,
            site,
            type_,
            metric,
            day.date(),
            [pd.Timestamp(dates[at]).date() for at in earlier[row] if at >= 0],
        )
        for (site, type_, metric), day, row in zip(
            keys.tolist(), found["data_date"], found.index.tolist(), strict=True
        )
    ]
    return pd.Series(named, index=found.index, dtype=object)
