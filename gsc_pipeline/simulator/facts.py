"""What a property's numbers look like: one day of one search type, and what every property answers.

Belongs here: the shape of facts, search types, the `Property` protocol. Does not: where numbers come
from (`synthetic`, `replay`), which of them are visible yet (`provisional`), how they are asked for
(`queries`, `answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import Window

Codes = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

ANONYMIZED = -1
"""The query code of facts whose query is not told."""

MEASURES = ("clicks", "impressions", "sum_position", "top_clicks", "top_impressions", "sum_top_position")


@dataclass(frozen=True, slots=True)
class SearchType:
    """What one of Google's search types can be asked for. `name` is spelled as on the wire."""

    name: str
    has_query: bool = True
    has_device: bool = True
    has_position: bool = True

    @property
    def counts_by_page_only(self) -> bool:
        """Discover and Google News count every answer by page, whatever it is grouped by."""
        return not self.has_query


SEARCH_TYPES = {
    kind.name: kind
    for kind in (
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

    All days of one property and search type share one `Labels`, so codes can be compared across days.
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
    """One day of one search type: a row for each (query, page, country, device), columns of one length.

    `query` holds `ANONYMIZED` where the query is not told. `clicks`, `impressions` and `sum_position`
    count by page, `top_*` by property: a search that showed two pages is two impressions and one top
    impression. Positions are sums of zero-based positions. In every row clicks ≤ impressions,
    top_clicks ≤ top_impressions, each `top_*` ≤ its counterpart, and nothing is negative. `appearance`
    is a set: bit n tells that the row's results had the search appearance `labels.appearance[n]`.
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

    def take(self, rows: npt.NDArray[Any]) -> Facts:
        """These rows alone: a mask or positions."""
        columns = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name not in ("day", "search_type", "labels")
        }
        return Facts(self.day, self.search_type, self.labels, **columns)

    def appearances(self) -> npt.NDArray[np.bool_]:
        """Which search appearances each row has: a (row, appearance) table."""
        bits = np.arange(len(self.labels.appearance))
        return (self.appearance[:, np.newaxis] >> bits & 1).astype(bool)


class Property(Protocol):
    """A Search Console property with numbers: what the server needs of any source.

    `readers` are the subjects (client e-mail or client id) who may see it, None for everyone.
    """

    def __hash__(self) -> int: ...

    @property
    def site_url(self) -> str:
        """`sc-domain:example.com` or `https://www.example.com/`."""

    @property
    def readers(self) -> frozenset[str] | None:
        """Who may see it; None for everyone."""

    @property
    def permission_level(self) -> str:
        """`siteOwner`, `siteFullUser`, `siteRestrictedUser` or `siteUnverifiedUser`."""

    def days_shown(self, today: date) -> Window | None:
        """The days that can be asked for when it is `today` in California; None when there are none."""

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers; None when it has none. The same day always has the same numbers."""
