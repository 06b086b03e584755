"""Facts made smaller or larger, row by row, without breaking what every row of facts promises.

Belongs here: scaling by one factor. Does not: what is scaled and why (`provisional`, `revisions`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsc_pipeline.simulator.facts import Counts, Facts, Reals
from gsc_pipeline.simulator.hashing import uniform


def scaled(facts: Facts, factor: float, seed: int) -> Facts | None:
    """`facts` times `factor` (at least 0), in whole numbers; None when nothing is left.

    Each row has one fixed threshold for all its numbers, so they only grow with the factor, are
    themselves at 1, and keep the order clicks ≤ impressions and property ≤ page whatever it is.
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
    """From which fraction on each row's numbers are rounded up: in [0, 1), fixed by what the row is of."""
    return uniform(seed, facts.query, facts.page, facts.country, facts.device, facts.day.toordinal())


def part(counts: Counts, factor: float, threshold: Reals) -> Counts:
    """`counts` times `factor`, rounded up from each row's threshold on."""
    return np.floor(counts * factor + threshold).astype(np.int64)
