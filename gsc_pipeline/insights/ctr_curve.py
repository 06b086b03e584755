"""The table ctr_curve: the click-through rate of a property by position and device, without brand queries."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gsc_pipeline.insights.measures import SERIES, ratio, require
from gsc_pipeline.workspaces.thresholds import Thresholds

POSITIONS_INPUT = (*SERIES, "as_of", "days", "device", "position", "clicks", "impressions")
"""Sums of non-brand rows by device and position; positions are rounded row by row and start at 1."""

EXPECTED_CTR = (*SERIES, "device", "position", "expected_ctr")
"""The columns of the curve that other insights use."""


def ctr_curve(positions: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of ctr_curve: for each device, every position from 1 to `curve_positions`.

    `expected_ctr` is the CTR of the position if it has at least `curve_impressions` impressions. Otherwise it
    is interpolated linearly between the nearest positions that have; before the first and after the last of
    them it equals theirs. A device without such a position has no curve.
    """
    counted = require(positions, POSITIONS_INPUT)
    counted = counted[counted["position"].between(1, thresholds.curve_positions)]
    curves = [
        _filled(one, thresholds) for _, one in counted.groupby([*SERIES, "device"], sort=True, dropna=True)
    ]
    curves = [curve for curve in curves if curve is not None]
    if curves:
        return pd.concat(curves, ignore_index=True)
    return counted.head(0).assign(ctr=pd.Series(dtype="Float64"), expected_ctr=pd.Series(dtype="float64"))


def _filled(one: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame | None:
    known = one[one["impressions"] >= thresholds.curve_impressions].sort_values("position")
    if known.empty:
        return None
    places = pd.RangeIndex(1, thresholds.curve_positions + 1, name="position")
    curve = one.set_index("position")[["clicks", "impressions"]].reindex(places, fill_value=0).reset_index()
    rates = (known["clicks"] / known["impressions"]).to_numpy(dtype="float64")
    expected = np.interp(places, known["position"].to_numpy(dtype="float64"), rates)
    same = {name: one[name].iloc[0] for name in (*SERIES, "as_of", "days", "device")}
    return curve.assign(**same, ctr=ratio(curve["clicks"], curve["impressions"]), expected_ctr=expected)
