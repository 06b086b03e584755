"""The six search types of Search Console, and what each can be asked.

`QueryType` holds those that have queries; `FeedType` those that people see without searching, which have
none. They are two types so that a request grouped by query cannot be written for a feed.
"""

from __future__ import annotations

from enum import Enum


class QueryType(Enum):
    """A search type with queries, positions and devices. The value is the API's word for it."""

    WEB = "web"
    IMAGE = "image"
    VIDEO = "video"
    NEWS = "news"

    @property
    def has_device(self) -> bool:
        """Whether rows can be grouped by device."""
        return True


class FeedType(Enum):
    """A search type without queries and positions. The value is the API's word for it."""

    DISCOVER = "discover"
    GOOGLE_NEWS = "googleNews"

    @property
    def has_device(self) -> bool:
        """Whether rows can be grouped by device: Discover's cannot (the API answers 400)."""
        return self is FeedType.GOOGLE_NEWS


SearchType = QueryType | FeedType
SEARCH_TYPES: tuple[SearchType, ...] = (*QueryType, *FeedType)


def search_type_from_wire(name: str) -> SearchType:
    """The search type the API calls `name`. Raises ValueError for any other word."""
    for search_type in SEARCH_TYPES:
        if search_type.value == name:
            return search_type
    raise ValueError(f"{name!r} is no search type: expected one of {[t.value for t in SEARCH_TYPES]}")
