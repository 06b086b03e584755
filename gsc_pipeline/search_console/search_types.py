"""The search types of Search Console.

Types with queries and feeds without them are two enums, so that a request by query cannot be written for a
feed.
"""

from __future__ import annotations

from enum import Enum


class QueryType(Enum):
    """A search type with queries, positions and devices. The value is the API's name for it."""

    WEB = "web"
    IMAGE = "image"
    VIDEO = "video"
    NEWS = "news"

    @property
    def has_device(self) -> bool:
        """Whether rows can be grouped by device."""
        return True


class FeedType(Enum):
    """A feed: a search type without queries and positions. The value is the API's name for it."""

    DISCOVER = "discover"
    GOOGLE_NEWS = "googleNews"

    @property
    def has_device(self) -> bool:
        """Whether rows can be grouped by device. For Discover the API refuses it with status 400."""
        return self is FeedType.GOOGLE_NEWS


SearchType = QueryType | FeedType
SEARCH_TYPES: tuple[SearchType, ...] = (*QueryType, *FeedType)


def search_type_from_wire(name: str) -> SearchType:
    """The search type with the API's name `name`. Raises ValueError for any other name."""
    for search_type in SEARCH_TYPES:
        if search_type.value == name:
            return search_type
    raise ValueError(f"{name!r} is not a search type: expected one of {[t.value for t in SEARCH_TYPES]}")
