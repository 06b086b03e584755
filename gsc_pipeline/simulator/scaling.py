"""Facts scaled by a factor, in whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Facts
from gsc_pipeline.simulator.hashing import uniform


def scaled(facts: Facts, factor: float, seed: int) -> Facts | None:
    """`facts` times `factor` (at least 0), in whole numbers; None when all are zero.

    Each fact has one rounding threshold for all its numbers. So numbers never fall when the factor rises,
    are unchanged at 1, and keep clicks ≤ impressions and property ≤ page.
    """
    keys = (facts.query, facts.page, facts.country, facts.device, facts.day.toordinal())
    threshold = uniform(seed, *keys)

    def part(counts: Counts) -> Counts:
        return np.floor(counts * factor + threshold).astype(np.int64)

    impressions, top_impressions = part(facts.impressions), part(facts.top_impressions)
    every = replace(
        facts,
        clicks=part(facts.clicks),
        impressions=impressions,
        sum_position=np.where(impressions > 0, part(facts.sum_position), 0),
        top_clicks=part(facts.top_clicks),
        top_impressions=top_impressions,
        sum_top_position=np.where(top_impressions > 0, part(facts.sum_top_position), 0),
    )
    left = every.take(impressions > 0)
    return left if len(left) else None
