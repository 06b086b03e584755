"""Synthetic pairs of series for SEO tests: a market that moves both, and noise of their own."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from gsc_pipeline.workspaces.seo_tests import PageSet, SeoTest
from gsc_pipeline_tests.insights.series import REAL, Noise, counts, expected_level, with_step

START = date(2026, 9, 7)
SITE = "sc-domain:acme.com"
LASTING = SeoTest(
    name="titles",
    site_url=SITE,
    search_type="WEB",
    start=START,
    variant=PageSet(group="/blog/"),
    control=PageSet(group="/guides/"),
)


def market(rng: np.random.Generator, days: int) -> np.ndarray:
    """Factors of demand, the same for all pages: a year's season, a walk, single days, and holidays."""
    season = 0.2 * np.sin(2 * np.pi * (np.arange(days) / 365 + rng.random()))
    walk = np.cumsum(rng.normal(0, 0.01, days))
    daily = rng.normal(0, 0.05, days)
    holidays = rng.random(days) < 0.01
    daily[holidays] -= rng.uniform(0, 0.5, int(holidays.sum()))
    factors: np.ndarray = np.exp(season + walk - walk.mean() + daily)
    return factors


def pair(
    rng: np.random.Generator,
    history: int,
    after: int,
    clicks: float,
    *,
    control_clicks: float | None = None,
    effect: float = 0.0,
    noise: Noise = REAL,
) -> tuple[np.ndarray, np.ndarray]:
    """Clicks of the variant, with the effect from index `history` on, and of the control."""
    days = history + after
    shared = market(rng, days)
    variant = with_step(expected_level(rng, days, clicks, noise=noise), history, effect)
    control = expected_level(rng, days, control_clicks or clicks, noise=noise)
    return counts(rng, variant * shared, noise=noise), counts(rng, control * shared, noise=noise)


def days_of(
    variant: np.ndarray, control: np.ndarray, history: int, *, test: str = "titles", start: date = START
) -> pd.DataFrame:
    """The input of seo_tests: the start has the index `history`; NaN is a day that is not final."""
    first = start - timedelta(days=history)
    frame = pd.DataFrame(
        {
            "test": test,
            "data_date": pd.date_range(first, periods=len(variant)),
            "variant_clicks": variant,
            "variant_impressions": 20 * variant,
            "control_clicks": control,
            "control_impressions": 20 * control,
            "shared_impressions": 0,
        }
    )
    return frame.dropna(ignore_index=True)
