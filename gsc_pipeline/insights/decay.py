"""content_decay: pages that lost a good part of their clicks, lately or within a year."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.changes import COMPARED_INPUT, with_change
from gsc_pipeline.insights.frames import SERIES, require
from gsc_pipeline.thresholds import Thresholds

PAGES_INPUT = (*SERIES, "as_of", "days", "url", "compared_with", *COMPARED_INPUT)
"""Sums of two equal windows by page, anonymised queries included; `compared_with` names the earlier one."""


def content_decay(pages: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of content_decay, the most clicks lost first.

    A page counts with `decay_clicks` before, of which it lost `decay_share`.
    """
    found = with_change(require(pages, PAGES_INPUT))
    before, change = found["clicks_before"], found["change"]
    decayed = (before >= max(1, thresholds.decay_clicks)) & (-change >= thresholds.decay_share * before)
    order = [*SERIES, "compared_with", "change", "url"]
    return found[decayed & (change < 0)].sort_values(order, ignore_index=True)
