"""The table forecasts: the next 28 days of clicks and impressions, and what was expected of the last 28."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gsc_pipeline.insights.daily_series import GROUPED_INPUT
from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.tables import no_rows
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import FORECASTS
from gsc_pipeline.workspaces.thresholds import Thresholds


def forecasts(
    days: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of forecasts."""
    require(days, GROUPED_INPUT)
    return no_rows(FORECASTS)
