"""The pages that a property is known to have."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from gsc_pipeline.days import ONE_DAY, pacific_today
from gsc_pipeline.simulator.facts import SEARCH_TYPES, Property

_DAYS_BACK = 14


def known_pages(prop: Property, now: datetime) -> frozenset[str]:
    """The pages of the property in the last days with data of each search type."""
    shown = prop.days_shown(pacific_today(now))
    return frozenset() if shown is None else _pages(prop, shown.last)


@lru_cache(maxsize=32)
def _pages(prop: Property, last: date) -> frozenset[str]:
    found: set[str] = set()
    for search_type in SEARCH_TYPES:
        for back in range(_DAYS_BACK):
            facts = prop.facts(search_type, last - back * ONE_DAY)
            if facts is not None:
                found.update(facts.labels.page)
                break
    return frozenset(found)
