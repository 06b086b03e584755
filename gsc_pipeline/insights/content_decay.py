"""The table content_decay: pages and content groups that lost clicks against an earlier window."""

from __future__ import annotations

import pandas as pd

from gsc_pipeline.insights.measures import COMPARED_INPUT, SERIES, require, with_change
from gsc_pipeline.insights.tables import ranked
from gsc_pipeline.lake.schemas import CONTENT_DECAY
from gsc_pipeline.workspaces.thresholds import Thresholds

PAGES_INPUT = (*SERIES, "as_of", "days", "dimension", "url", "compared_with", *COMPARED_INPUT)
"""Sums over two equal windows by page or content group, with anonymised queries.

`dimension` is page or content_group, of which `url` is the name; `compared_with` names the earlier window.
"""


def content_decay(pages: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Rows of content_decay, without the column `content_group`.

    Pages and groups that lost `decay_share` or more of at least `decay_clicks` clicks.
    """
    found = with_change(require(pages, PAGES_INPUT))
    before, change = found["clicks_before"], found["change"]
    decayed = (before >= max(1, thresholds.decay_clicks)) & (-change >= thresholds.decay_share * before)
    return ranked(CONTENT_DECAY, found[decayed & (change < 0)])
