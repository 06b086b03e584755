"""The table change_points: days from which the level of a series differs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gsc_pipeline.insights.daily_series import GROUPED_INPUT
from gsc_pipeline.insights.measures import require
from gsc_pipeline.insights.tables import no_rows
from gsc_pipeline.lake.annotations.record import Annotation
from gsc_pipeline.lake.schemas import CHANGE_POINTS
from gsc_pipeline.workspaces.thresholds import Thresholds


def change_points(
    days: pd.DataFrame, thresholds: Thresholds, annotations: Sequence[Annotation] = ()
) -> pd.DataFrame:
    """Rows of change_points."""
    require(days, GROUPED_INPUT)
    return no_rows(CHANGE_POINTS)
