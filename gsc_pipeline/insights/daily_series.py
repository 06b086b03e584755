"""Final days as series without missing dates, one for each property, search type, group and metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from gsc_pipeline.insights.measures import GROUPED, first_shown, require
from gsc_pipeline.lake.annotations.record import Annotation, Kind

WEEK = 7
"""Days after which the weekday pattern repeats."""

GROUPED_INPUT = (*GROUPED, "data_date", "as_of", "clicks", "impressions", "position")
"""Totals of final days by content group, each day once; the group `all` is the whole property."""


@dataclass(frozen=True, slots=True, eq=False)
class DailySeries:
    """The values of consecutive days, from the first with impressions to `as_of`.

    `values` (float64) has NaN for days that are not final, have no value, or are those of a data fault.
    `recounted_on` are the days from which numbers count something else (counting changes).
    """

    site_url: str
    search_type: str
    content_group: str
    metric: str
    first_day: date
    values: np.ndarray
    recounted_on: tuple[date, ...] = ()

    @property
    def as_of(self) -> date:
        """The last day of the series."""
        return self.day(len(self.values) - 1)

    @property
    def weekdays(self) -> np.ndarray:
        """The weekday of each day; Monday is 0."""
        return (self.first_day.weekday() + np.arange(len(self.values))) % 7

    def day(self, index: int) -> date:
        """The day at the index."""
        return self.first_day + timedelta(days=index)

    def index(self, day: date) -> int:
        """The index of the day; negative or beyond the end for a day outside."""
        return (day - self.first_day).days


def daily_series(
    days: pd.DataFrame, metrics: Sequence[str], annotations: Sequence[Annotation] = ()
) -> Iterator[DailySeries]:
    """The series of each metric, in the order of their keys. A series without impressions is left out."""
    found = require(days, GROUPED_INPUT)
    found = found[found["data_date"] >= first_shown(found, GROUPED)].reset_index(drop=True)
    # Arrays of whole columns: a frame for each series takes longer than what is computed from it.
    dates, as_of = (found[name].to_numpy(dtype="datetime64[D]") for name in ("data_date", "as_of"))
    columns = {metric: found[metric].astype("float64").to_numpy() for metric in metrics}
    groups: Any = found.groupby(GROUPED).indices
    for (site_url, search_type, group), rows in sorted(groups.items()):
        first: date = dates[rows].min().item()
        at = (dates[rows] - dates[rows].min()).astype("int64")
        length = (as_of[rows].max().item() - first).days + 1
        for metric in metrics:
            of = [one for one in annotations if one.concerns(site_url, search_type, metric)]
            values = np.full(length, np.nan)
            values[at] = columns[metric][rows]
            for fault in of:
                if fault.kind is Kind.DATA_FAULT:
                    values[_within(fault, first, length)] = np.nan
            recounted = tuple(one.first_day for one in of if one.kind is Kind.COUNTING_CHANGE)
            yield DailySeries(site_url, search_type, group, metric, first, values, recounted)


def _within(annotation: Annotation, first: date, days: int) -> slice:
    start = max((annotation.first_day - first).days, 0)
    end = min(max((annotation.end - first).days + 1, 0), days)
    return slice(start, max(end, start))
