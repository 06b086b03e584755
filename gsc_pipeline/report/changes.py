"""Changes of level: which matter most, and each as a sentence in plain English."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from gsc_pipeline.insights.measures import GROUPED, require
from gsc_pipeline.report.marks import Level, Shift
from gsc_pipeline.report.numbers import count, decimal, is_missing, share, signed
from gsc_pipeline.report.words import shortened
from gsc_pipeline.text.printing import escaped
from gsc_pipeline.workspaces.content_groups import ALL, OTHER

CHANGES_INPUT = (
    *GROUPED,
    "metric",
    "kind",
    "first_day",
    "earliest_day",
    "latest_day",
    "level_before",
    "level_after",
    "change",
    "confidence",
    "updates_and_notes",
)

RECENT_DAYS = 90
"""A change of the report began within so many days before the end of its window."""

CHANCE_MEANING = (
    "“Chance alone” is how often a series in which nothing changed shows a change like this one. It is not "
    "how often a listed change is wrong: in our tests, where half of the series changed, about half of the "
    "changes that chance alone makes in 1 to 5 of 100 series were real, and at least nine in ten of those "
    "that it makes in fewer."
)
"""What the pages say about the confidence of changes, as measured in benchmarks/INSIGHTS.md."""

_REPEATED = 1.5
"""A change that is at most so many times as large as another may be the same one."""

_LEVEL_DAYS = timedelta(days=28)
"""The days before and after a change that its levels are means of, unless another change is nearer."""

_ALMOST_CERTAIN = 0.99
_LONGEST_GROUP = 80
"""Characters of a group's name in a sentence."""
_DECIMALS_BELOW = 10
_MANY_TIMES = 3.0
"""From this increase on, the two levels say more than the percentage."""
_FELL = {"clicks": "fell", "impressions": "fell", "position": "got worse"}
_ROSE = {"clicks": "rose", "impressions": "rose", "position": "improved"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level of one series, as in change_points.

    `since` is the first day of the series' change before this one, `until` the last day before the next; None
    if there is none. `also` are changes that only repeat this one.
    """

    site_url: str
    search_type: str
    content_group: str
    metric: str
    kind: str
    first_day: date
    earliest_day: date
    latest_day: date
    level_before: float
    level_after: float
    change: float | None
    confidence: float
    updates_and_notes: str | None = None
    since: date | None = None
    until: date | None = None
    also: tuple[Change, ...] = ()

    @property
    def is_better(self) -> bool:
        """Whether it is for the better; a smaller position is."""
        return (self.level_after < self.level_before) == (self.metric == "position")

    @property
    def is_standing_dark(self) -> bool:
        """Whether impressions stopped and have not come back."""
        return self.kind == "dark" and not self.is_back and self.until is None

    @property
    def is_back(self) -> bool:
        """Whether it is the end of a period without impressions."""
        return self.kind == "dark" and not self.level_before

    def clicks_a_day(self, ctr: float | None) -> float:
        """The clicks gained or lost a day; those of impressions at the given CTR, none of positions."""
        worth = {"clicks": 1.0, "impressions": ctr or 0.0}.get(self.metric, 0.0)
        return abs(self.level_after - self.level_before) * worth

    def coincides(self, other: Change) -> bool:
        """Whether both are of the same property and direction, and may have begun on the same day."""
        return (
            (self.site_url, self.search_type) == (other.site_url, other.search_type)
            and self.earliest_day <= other.latest_day
            and other.earliest_day <= self.latest_day
            and self.is_better == other.is_better
        )

    def is_repeated_by(self, other: Change) -> bool:
        """Whether `other` says the same: of another metric or a group of the series, at the same time.

        A group that changed much more than the whole is the explanation, and no repetition.
        """
        is_part = self.content_group in (ALL, other.content_group)
        return (
            is_part
            and (self.content_group, self.metric) != (other.content_group, other.metric)
            and self.coincides(other)
            and ("position" in (self.metric, other.metric) or self._is_as_large_as(other))
        )

    def _is_as_large_as(self, other: Change) -> bool:
        if other.content_group == self.content_group or other.change is None or self.change is None:
            return True
        return abs(other.change) <= _REPEATED * abs(self.change)


def changes(rows: pd.DataFrame) -> list[Change]:
    """The rows of change_points of one workspace, each with its neighbours in the series."""
    return changes_by_workspace(rows.assign(workspace="")).get("", [])


def changes_by_workspace(rows: pd.DataFrame) -> dict[str, list[Change]]:
    """The same of each workspace."""
    series = ["workspace", *GROUPED, "metric"]
    found = require(rows, ("workspace", *CHANGES_INPUT)).sort_values(
        [*series, "first_day"], ignore_index=True
    )
    of_series = found.groupby(series)["first_day"]
    found["since"], found["until"] = of_series.shift(1), of_series.shift(-1) - pd.Timedelta(days=1)
    made: dict[str, list[Change]] = {}
    for row in found.to_dict("records"):
        values = {str(name): _value(value) for name, value in row.items()}
        made.setdefault(values.pop("workspace"), []).append(Change(**values))
    return made


def ranked(found: Iterable[Change], ctr: float | None) -> list[Change]:
    """The changes that matter most first, without those that repeat another: these are in its `also`.

    A change matters by the clicks gained or lost a day, times its confidence. `ctr` values impressions. The
    change of a group comes after the one of the whole property that it is a part of.
    """
    every = list(found)
    wholes = [one for one in every if one.content_group == ALL]

    def clicks(one: Change) -> float:
        return one.clicks_a_day(ctr) * one.confidence

    def importance(one: Change) -> tuple[object, ...]:
        of_whole = [clicks(whole) for whole in wholes if whole.metric == one.metric and whole.coincides(one)]
        is_part = one.content_group != ALL
        most = min([clicks(one), *of_whole]) if is_part else clicks(one)
        return (-most, is_part, -one.confidence, one.metric, one.content_group, one.first_day)

    listed: list[Change] = []
    for one in sorted(every, key=importance):
        place = next((number for number, other in enumerate(listed) if other.is_repeated_by(one)), None)
        if place is None:
            listed.append(one)
            continue
        other = listed[place]
        if one.metric == "clicks" != other.metric and one.content_group == other.content_group:
            # Of the same series the clicks are what the sentence is about.
            one, other = replace(other, also=()), replace(one, also=other.also)
        listed[place] = replace(other, also=(*other.also, one))
    return listed


def recent(found: Iterable[Change], last: date, days: int = RECENT_DAYS) -> list[Change]:
    """The changes of the last `days` up to `last`, and those after which there are no impressions still."""
    return [one for one in found if one.first_day > last - timedelta(days) or one.is_standing_dark]


def latest(found: Sequence[Change], content_group: str = ALL) -> Change | None:
    """The newest change of the group: of its clicks, or of another metric if those have none."""
    of_group = [one for one in found if one.content_group == content_group]
    clicks = [one for one in of_group if one.metric == "clicks"]
    return max(clicks or of_group, key=lambda one: (one.first_day, one.confidence), default=None)


def shifts(listed: Sequence[tuple[str, Change]], site_url: str | None, content_group: str) -> list[Shift]:
    """The marks of lettered changes in a chart of the group.

    `site_url` is the one property that the chart shows; of several, levels cannot be drawn.
    """
    return [
        Shift(letter, one.metric, one.earliest_day, one.latest_day, _levels(one, site_url, content_group))
        for letter, one in listed
    ]


def _levels(one: Change, site_url: str | None, content_group: str) -> tuple[Level, ...]:
    if (one.site_url, one.content_group) != (site_url, content_group):
        return ()
    first, last = one.first_day - _LEVEL_DAYS, one.first_day + _LEVEL_DAYS - timedelta(1)
    before = Level(max(first, one.since or first), one.first_day - timedelta(1), one.level_before)
    if one.kind == "slope":
        # Its level after is one from its end, which the row does not name.
        return (before,)
    return before, Level(one.first_day, min(last, one.until or last), one.level_after)


def sentences(one: Change, *, with_property: bool = False) -> list[str]:
    """What changed, since when, how often chance alone does this, and which update or note it begins in."""
    begins = (one.updates_and_notes or "").strip().rstrip(".")
    begins = begins[:1].upper() + begins[1:]
    return [
        f"{what(one, with_property=with_property)}.",
        f"{when(one)}.",
        *([f"{begins}."] if begins else []),
    ]


def what(one: Change, *, with_property: bool = False) -> str:
    """What changed: `Clicks of /blog/ fell by 32% (from 410 to 280 a day)`."""
    of = _of(one, with_property)
    if one.is_back:
        return f"Impressions{f' of {of}' if of else ''} came back ({_level(one.level_after)} a day)"
    if one.kind == "dark":
        return _without_impressions(one, of)
    subject = "The average position" if one.metric == "position" else one.metric.title()
    named = f"{subject} of {of}" if of else subject
    verb = (_ROSE if one.is_better else _FELL)[one.metric]
    gradually = " gradually" if one.kind == "slope" else ""
    if one.metric == "position":
        levels = f"{decimal(one.level_before)} to {decimal(one.level_after)}"
        return f"{named} {verb}{gradually}, from {levels}"
    levels = f"from {_level(one.level_before)} to {_level(one.level_after)} a day"
    if one.change is None or not one.level_before or one.change >= _MANY_TIMES:
        return f"{named} {verb}{gradually} {levels}"
    return f"{named} {verb}{gradually} by {share(abs(one.change), 0)} ({levels})"


def _without_impressions(one: Change, of: str) -> str:
    """That impressions stopped, and until when if they came back."""
    is_other = one.content_group == OTHER
    # A group's name stays as it is written, also at the beginning of a sentence.
    subject = of.replace("other", "Other", 1) if is_other else of or "The property"
    before = f"before, {'they' if is_other else 'it'} had {_level(one.level_before)} {one.metric} a day"
    if one.until is None:
        return f"{subject} {'have' if is_other else 'has'} no impressions any more; {before}"
    days = f"from {_from(one.first_day, one.until)} to {one.until:%-d %B %Y}"
    return f"{subject} had no impressions {days}; {before}"


def when(one: Change) -> str:
    """When it began, and how often chance does this: `It began on 12 May 2026, between 10 and 14 May; …`.

    The days of a period without impressions that has ended are part of what changed.
    """
    chance = how_likely_by_chance(one)
    if one.kind == "dark" and not one.is_back and one.until is not None:
        return chance[:1].upper() + chance[1:]
    between = ""
    if one.earliest_day < one.latest_day:
        between = (
            f", between {_from(one.earliest_day, one.latest_day)} and {_day(one.latest_day, one.first_day)}"
        )
    return f"It began on {one.first_day:%-d %B %Y}{between}; {chance}"


def how_likely_by_chance(one: Change) -> str:
    """1 minus the confidence in words, never rounded down; it is not how likely the change is not real."""
    if one.confidence > _ALMOST_CERTAIN:
        return "chance alone does this in fewer than 1 of 100 series"
    return f"chance alone does this in {100 - int(100 * one.confidence + 1e-9)} of 100 series"


def briefly(one: Change) -> str:
    """The change in a table: `−32% since 12 May 2026`, with the metric unless it is clicks."""
    metric = "" if one.metric == "clicks" else f"{one.metric} "
    moved = size(one)
    if one.metric == "position":
        moved = f"{decimal(one.level_before)} → {decimal(one.level_after)}"
    return f"{metric}{moved} since {one.first_day:%-d %B %Y}"


def size(one: Change) -> str:
    """The size of the change: `−32%`, or of a position the difference."""
    if one.is_back:
        return "back"
    if one.kind == "dark":
        return signed(-1)
    if one.change is None or not one.level_before:
        return "new"
    return f"{one.change:+.1f}".replace("-", "−") if one.metric == "position" else signed(one.change)


def repeated(one: Change) -> str:
    """What repeats the change: `impressions (−30%), /shop/ (−33%)`."""
    return ", ".join(f"{_short(other, one)} ({size(other)})" for other in one.also)


def _short(other: Change, one: Change) -> str:
    metric = "" if other.metric == one.metric else other.metric
    group = "" if other.content_group == one.content_group else _group(other)
    return " of ".join(part for part in (metric, group) if part)


def _of(one: Change, with_property: bool) -> str:
    """What the change is of, or nothing if it is the one property."""
    if one.content_group == ALL:
        return one.site_url if with_property else ""
    return f"{_group(one)} ({one.site_url})" if with_property else _group(one)


def _group(one: Change) -> str:
    names = {OTHER: "other pages", ALL: one.site_url}
    # Escaped, because a mark of direction in a name would turn the rest of the sentence.
    return escaped(shortened(names.get(one.content_group, one.content_group), _LONGEST_GROUP))


def _from(first: date, last: date) -> str:
    if (first.year, first.month) == (last.year, last.month):
        return str(first.day)
    return f"{first:%-d %B}" if first.year == last.year else f"{first:%-d %B %Y}"


def _day(day: date, beside: date) -> str:
    """The day, with its year if it is not that of the day beside it."""
    return f"{day:%-d %B}" if day.year == beside.year else f"{day:%-d %B %Y}"


def _level(value: float) -> str:
    return decimal(value) if 0 < value < _DECIMALS_BELOW else count(value)


def _value(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.date()
    return None if is_missing(value) or value is pd.NaT else value
