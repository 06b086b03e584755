"""Intervals of forecasts, from the errors of earlier ones of the same series."""

from __future__ import annotations

import numpy as np

_USUAL_GROWTH = 0.06
"""How much larger errors are a week further ahead, on average over many series."""

_WEIGHT_OF_GROWTH = 8
_WEIGHT_OF_SYMMETRY = 4
"""How many origins the usual growth, and symmetry, count as much as."""


def interval(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What to add to a forecast for low and high, of shape (4, series), so that 80 % of values are between.

    `errors` have the shape (origins, 4, 7, series), NaN where unknown. They are divided by their growth with
    the weeks ahead and pooled over all horizons; their 10 % and 90 % quantiles are multiplied by the growth
    again. Few origins say little about growth and asymmetry, so these are mixed with the usual growth and
    with symmetry. Few origins also differ less than many would, so the interval is made wider by the inverse
    of their number.
    """
    sizes = np.abs(errors)
    known = np.isfinite(sizes)
    counts = known.any(axis=2).sum(axis=0)
    origins = np.maximum(counts.mean(axis=0), 1)
    growth = _growth(np.where(known, sizes, 0.0).sum(axis=(0, 2)), known.sum(axis=(0, 2)), origins)
    scaled = (errors / growth[:, None]).reshape(-1, errors.shape[-1])
    symmetric = quantile(np.abs(scaled), 0.8)
    mixed = _WEIGHT_OF_SYMMETRY / (origins + _WEIGHT_OF_SYMMETRY)
    wider = 1 + 1 / origins
    low = wider * ((1 - mixed) * quantile(scaled, 0.1) - mixed * symmetric)
    high = wider * ((1 - mixed) * quantile(scaled, 0.9) + mixed * symmetric)
    return np.fmin(low, 0.0) * growth, np.fmax(high, 0.0) * growth


def _growth(sums: np.ndarray, counts: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """The size of errors by weeks ahead, as a multiple of the first, of shape (4, series).

    A straight line through the mean sizes, weighted by their numbers of errors, mixed with the usual growth.
    """
    ahead = np.arange(len(sums))[:, None]
    weights = counts / np.maximum(counts.sum(axis=0), 1)
    means = sums / np.maximum(counts, 1)
    middle, mean = (weights * ahead).sum(axis=0), (weights * means).sum(axis=0)
    slope = (weights * (ahead - middle) * (means - mean)).sum(axis=0)
    slope /= np.maximum((weights * (ahead - middle) ** 2).sum(axis=0), 1e-9)
    growth = np.clip(slope / np.maximum(mean - slope * middle, 1e-9), 0.0, 0.5)
    mixed = (origins * growth + _WEIGHT_OF_GROWTH * _USUAL_GROWTH) / (origins + _WEIGHT_OF_GROWTH)
    result: np.ndarray = 1 + mixed * ahead
    return result


def quantile(values: np.ndarray, share: float) -> np.ndarray:
    """The quantile over the first axis, without NaN; NaN where there is nothing else."""
    ordered = np.sort(values, axis=0)
    place = share * np.maximum(np.isfinite(values).sum(axis=0) - 1, 0)
    lower = np.floor(place).astype("int64")
    first, second = (
        np.take_along_axis(ordered, at[None], axis=0)[0] for at in (lower, np.ceil(place).astype("int64"))
    )
    result: np.ndarray = first + (place - lower) * (second - first)
    return result
