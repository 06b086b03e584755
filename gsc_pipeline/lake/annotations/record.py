"""The record of an annotation, and what it says about days."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gsc_pipeline.text.printing import escaped

METRICS = ("clicks", "impressions", "ctr", "position")
SEARCH_TYPES = ("WEB", "IMAGE", "VIDEO", "NEWS", "DISCOVER", "GOOGLE_NEWS")

TITLE_CHARACTERS = 120
"""The longest title; it stands in tables and below charts."""


class Kind(StrEnum):
    """What an annotation is about."""

    DATA_FAULT = "data_fault"
    COUNTING_CHANGE = "counting_change"
    RANKING_UPDATE = "ranking_update"
    NOTE = "note"

    @property
    def words(self) -> str:
        """The kind in plain words."""
        return self.value.replace("_", " ")


class Source(StrEnum):
    """Where an annotation comes from."""

    SHIPPED = "shipped"
    GOOGLE = "google"
    YOURS = "yours"


@dataclass(frozen=True, slots=True)
class Annotation:
    """A known event from `first_day` to `last_day`, both included, in Pacific time.

    `last_day` is None while it goes on. Empty `search_types` and `metrics` mean all, as do None for
    `workspace` and `site_url`. Raises ValueError for values that cannot be.
    """

    kind: Kind
    title: str
    first_day: date
    last_day: date | None = None
    search_types: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    workspace: str | None = None
    site_url: str | None = None
    description: str = ""
    url: str = ""
    source: Source = Source.SHIPPED

    def __post_init__(self) -> None:
        if not self.title.strip() or len(self.title) > TITLE_CHARACTERS or escaped(self.title) != self.title:
            raise ValueError(f"title: expected 1 to {TITLE_CHARACTERS} characters on one line")
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"last_day: expected {self.first_day}, its first day, or later")
        for name, known in (("search_types", SEARCH_TYPES), ("metrics", METRICS)):
            if not set(getattr(self, name)) <= set(known):
                raise ValueError(f"{name}: expected some of {', '.join(known)}")

    @property
    def days(self) -> str:
        """Its days in words: a day, `2026-03-27 to 2026-04-08` or `since 2025-06-16`."""
        if self.last_day is None:
            return f"since {self.first_day}"
        return (
            str(self.first_day) if self.first_day == self.last_day else f"{self.first_day} to {self.last_day}"
        )

    @property
    def end(self) -> date:
        """Its last day; the last of the calendar while it goes on."""
        return self.last_day or date.max

    @property
    def changes_counting(self) -> bool:
        """Whether its days are counted unlike others, so that numbers inside and outside do not compare."""
        return self.kind in (Kind.DATA_FAULT, Kind.COUNTING_CHANGE)

    def covers(self, day: date) -> bool:
        """Whether the day is one of its days."""
        return self.first_day <= day <= self.end

    def overlaps(self, first: date, last: date) -> bool:
        """Whether any of its days is from `first` to `last`, both included."""
        return self.first_day <= last and self.end >= first

    def days_within(self, first: date, last: date) -> int:
        """How many of its days are from `first` to `last`, both included."""
        return max((min(self.end, last) - max(self.first_day, first)).days + 1, 0)

    def begins_or_ends(self, first: date, last: date) -> bool:
        """Whether it covers some of the days from `first` to `last`, both included, and not all of them."""
        return 0 < self.days_within(first, last) <= (last - first).days

    def is_of(self, workspace: str) -> bool:
        """Whether it is about the workspace, or about all."""
        return self.workspace in (None, workspace)

    def concerns(self, site_url: str, search_type: str, metric: str | None = None) -> bool:
        """Whether it is about the property, the search type, and the metric if one is given."""
        return (
            self.site_url in (None, site_url)
            and (not self.search_types or search_type in self.search_types)
            and (metric is None or not self.metrics or metric in self.metrics)
        )

    def sets_apart(self, day: date, others: Collection[date]) -> bool:
        """Whether it covers the day and not most of the `others`, or most of them and not the day.

        A ranking update sets apart the days of its roll-out only, whatever they are compared with.
        """
        if self.kind is Kind.RANKING_UPDATE:
            return self.covers(day)
        unlike = sum(self.covers(other) != self.covers(day) for other in others)
        return bool(others) and 2 * unlike >= len(others)

    def __str__(self) -> str:
        return f"{self.title} ({self.days})"


def order(annotation: Annotation) -> tuple[object, ...]:
    """Sorts annotations by their first day, then by everything that tells two of them apart."""
    return (
        annotation.first_day,
        annotation.end,
        annotation.kind,
        annotation.title,
        annotation.source,
        annotation.workspace or "",
        annotation.site_url or "",
    )
