"""ctr_curve: the property's own click-through rate by position and device, without brand queries.

Belongs here: making the curve, and reading it. Does not: whom it shames (`ctr_gap`, `striking`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gsc_pipeline.insights.frames import SERIES, ratio, require
from gsc_pipeline.thresholds import Thresholds

POSITIONS_INPUT = (*SERIES, "as_of", "days", "device", "position", "clicks", "impressions")
"""Sums over non-brand rows by device and position (of each row, rounded, counted from one)."""


def ctr_curve(positions: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of ctr_curve: every position from one to the deepest of each device that was shown enough.

    `expected_ctr` is the position's own CTR where it had `curve_impressions`; else what a straight line
    between its nearest such neighbours gives, or the nearest one's beyond the ends. A device without any
    such position has no curve.
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
