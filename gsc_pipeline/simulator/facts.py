"""The numbers of one day and search type, and the protocol of properties that have such numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import Window

Codes = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Indexes = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

FiltersSee = Literal["every_row", "cut_rows"]
"""What the filters of a request are applied to: to all rows, or only to those that the cap of the request
without filters leaves. Sources disagree on which of the two Google does."""

ANONYMIZED = -1
"""The query code of facts with an anonymised query."""


@dataclass(frozen=True, slots=True)
class SearchType:
    """The dimensions and metrics of one of Google's search types. `name` is spelled as on the wire."""

    name: str
    has_query: bool = True
    has_device: bool = True
    has_position: bool = True

    @property
    def counts_by_page_only(self) -> bool:
        """Discover and Google News count by page, whatever the dimensions."""
        return not self.has_query


SEARCH_TYPES = {
    search_type.name: search_type
    for search_type in (
        SearchType("web"),
        SearchType("image"),
        SearchType("video"),
        SearchType("news"),
        SearchType("discover", has_query=False, has_device=False, has_position=False),
        SearchType("googleNews", has_query=False, has_position=False),
    )
}


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The texts that the codes of facts index: arrays of str.

    All days of one property and search type share one `Labels`, so codes are the same on all days.
    """

    query: Texts
    page: Texts
    country: Texts
    device: Texts
    appearance: Texts


def texts(values: Sequence[str]) -> Texts:
    """`values` as an array that codes can index."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """One day of one search type: columns with one fact for each (query, page, country, device).

    `query` is `ANONYMIZED` where the query is anonymised. `clicks`, `impressions` and `sum_position` count
    by page, `top_*` by property: a search that shows two pages is two impressions and one top impression.
    Positions are sums of zero-based positions. In every fact clicks ≤ impressions, top_clicks ≤
    top_impressions, each `top_*` ≤ its counterpart, and no number is negative. `appearance` is a set: bit n
    stands for the search appearance `labels.appearance[n]`.
    """

    day: date
    search_type: str
    labels: Labels
    query: Codes
    page: Codes
    country: Codes
    device: Codes
    appearance: Counts
    clicks: Counts
    impressions: Counts
    sum_position: Counts
    top_clicks: Counts
    top_impressions: Counts
    sum_top_position: Counts

    def __len__(self) -> int:
        return len(self.query)

    def take(self, selected: npt.NDArray[Any]) -> Facts:
        """The facts that a mask or an array of indexes selects."""
        columns = {
            field.name: getattr(self, field.name)[selected]
            for field in fields(self)
            if field.name not in ("day", "search_type", "labels")
        }
        return Facts(self.day, self.search_type, self.labels, **columns)

    def appearances(self) -> npt.NDArray[np.bool_]:
        """Which search appearances each fact has: a (fact, appearance) array."""
        bits = np.arange(len(self.labels.appearance))
        return (self.appearance[:, np.newaxis] >> bits & 1).astype(bool)


class Property(Protocol):
    """A Search Console property, as the server needs it of every source of numbers."""

    def __hash__(self) -> int: ...

    @property
    def site_url(self) -> str:
        """`sc-domain:example.com` or `https://www.example.com/`."""

    @property
    def readers(self) -> frozenset[str] | None:
        """The subjects (client e-mail or client id) that may read it; None for all."""

    @property
    def permission_level(self) -> str:
        """`siteOwner`, `siteFullUser`, `siteRestrictedUser` or `siteUnverifiedUser`."""

    @property
    def filters_see(self) -> FiltersSee:
        """What filters are applied to, where the cap cuts an answer."""

    def days_shown(self, today: date) -> Window | None:
        """The days that can be requested when it is `today` in Pacific time; None when there are none."""

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers, the same at every call; None when it has none."""
