"""Facts scaled by a factor, in whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Facts, Reals
from gsc_pipeline.simulator.hashing import uniform


def scaled(facts: Facts, factor: float, seed: int) -> Facts | None:
    """`facts` times `factor` (at least 0), in whole numbers; None when all are zero.

    Each fact has one rounding threshold for all its numbers. So numbers never fall when the factor rises,
    are unchanged at 1, and keep clicks ≤ impressions and property ≤ page.
    """
    threshold = thresholds(facts, seed)
    impressions = part(facts.impressions, factor, threshold)
    top_impressions = part(facts.top_impressions, factor, threshold)
    every = replace(
        facts,
        clicks=part(facts.clicks, factor, threshold),
        impressions=impressions,
        sum_position=np.where(impressions > 0, part(facts.sum_position, factor, threshold), 0),
        top_clicks=part(facts.top_clicks, factor, threshold),
        top_impressions=top_impressions,
        sum_top_position=np.where(top_impressions > 0, part(facts.sum_top_position, factor, threshold), 0),
    )
    left = every.take(impressions > 0)
    return left if len(left) else None


def thresholds(facts: Facts, seed: int) -> Reals:
    """The rounding threshold of each fact, in [0, 1): a hash of its keys and day."""
    return uniform(seed, facts.query, facts.page, facts.country, facts.device, facts.day.toordinal())


def part(counts: Counts, factor: float, threshold: Reals) -> Counts:
    """`counts` times `factor`, rounded by each fact's threshold."""
    return np.floor(counts * factor + threshold).astype(np.int64)
