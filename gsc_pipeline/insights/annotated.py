"""Names the annotations that set a day apart from earlier ones, or two windows apart from each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import pandas as pd

from gsc_pipeline.insights.measures import SERIES, require
from gsc_pipeline.lake.annotations.record import Annotation, Kind

PAIRS_INPUT = (*SERIES, "data_date", "period")
"""The days of two windows of each series; `period` is now or before."""

_COMPARED_METRICS = ("clicks", "impressions", "position")


def titles(annotations: Iterable[Annotation]) -> str | None:
    """Their titles in one text; None without any."""
    return "; ".join(dict.fromkeys(one.title for one in annotations)) or None


def of_day(
    annotations: Sequence[Annotation],
    site_url: str,
    search_type: str,
    metric: str,
    day: date,
    compared_with: Collection[date],
) -> str | None:
    """The annotations that set a day of a series and metric apart from the days it is compared with."""
    return titles(
        one
        for one in annotations
        if one.concerns(site_url, search_type, metric) and one.sets_apart(day, compared_with)
    )


def beginnings(
    annotations: Iterable[Annotation], first_day: date, earliest: date, latest: date
) -> str | None:
    """The ranking updates and notes in which a change begins or may begin, in words; None without any.

    The change begins on `first_day`, or on another day from `earliest` to `latest`. That it begins there does
    not say why. A note that goes on stands for its first day.
    """
    texts = [_beginning(one, first_day) for one in annotations if _may_hold(one, earliest, latest)]
    return "; ".join(dict.fromkeys(texts)) or None


def _may_hold(annotation: Annotation, earliest: date, latest: date) -> bool:
    if annotation.kind is Kind.NOTE and annotation.last_day is None:
        return earliest <= annotation.first_day <= latest
    return not annotation.changes_counting and annotation.overlaps(earliest, latest)


def _beginning(annotation: Annotation, first_day: date) -> str:
    begins = "begins" if annotation.covers(first_day) else "may begin"
    if annotation.kind is Kind.RANKING_UPDATE:
        return f"{begins} within the roll-out of {annotation.title}"
    return f"{begins} in the days of the note “{annotation.title}” ({annotation.days})"


def of_windows(pairs: pd.DataFrame, annotations: Sequence[Annotation]) -> pd.DataFrame:
    """For each series, the data faults and changes of counting that cover more days of one of its windows.

    Columns: those of SERIES, and `annotation`, which is missing where the two windows compare.
    """
    days = require(pairs, PAIRS_INPUT)
    rows = [
        (*key, _unlike(str(key[0]), str(key[1]), of_series, annotations))
        for key, of_series in days.groupby(SERIES)
    ]
    return pd.DataFrame(rows, columns=[*SERIES, "annotation"])


def _unlike(
    site_url: str, search_type: str, days: pd.DataFrame, annotations: Sequence[Annotation]
) -> str | None:
    now, before = (
        [day.date() for day in days.loc[days["period"] == period, "data_date"]]
        for period in ("now", "before")
    )
    return titles(
        one
        for one in annotations
        if one.changes_counting
        and any(one.concerns(site_url, search_type, metric) for metric in _COMPARED_METRICS)
        and sum(map(one.covers, now)) != sum(map(one.covers, before))
    )
