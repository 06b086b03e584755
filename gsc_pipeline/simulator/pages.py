"""Which pages a property is known to have, and which addresses belong to it.

Belongs here: addresses. Does not: numbers, or what is told of a page (`sitemaps`, `inspections`).
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from urllib.parse import urlsplit

from gsc_pipeline.days import ONE_DAY, pacific_today
from gsc_pipeline.simulator.facts import SEARCH_TYPES, Property
from gsc_pipeline.simulator.wording import host_of

_LOOKED_BACK = 14


def known_pages(prop: Property, now: datetime) -> frozenset[str]:
    """The pages that the property has had in any search type lately; empty for one without data."""
    shown = prop.days_shown(pacific_today(now))
    return frozenset() if shown is None else _pages(prop, shown.last)


@lru_cache(maxsize=32)
def _pages(prop: Property, last: date) -> frozenset[str]:
    found: set[str] = set()
    for search_type in SEARCH_TYPES:
        for back in range(_LOOKED_BACK):
            facts = prop.facts(search_type, last - back * ONE_DAY)
            if facts is not None:
                found.update(facts.labels.page)
                break
    return frozenset(found)


def root_of(site_url: str) -> str:
    """The address that the property's pages begin with, a slash at its end."""
    return f"https://{host_of(site_url)}/" if site_url.startswith("sc-domain:") else site_url


def belongs(site_url: str, url: str) -> bool:
    """Whether the property covers the address: the domain with its subdomains, or all with the prefix."""
    if not site_url.startswith("sc-domain:"):
        return url.startswith(site_url)
    domain = site_url.removeprefix("sc-domain:")
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and (host == domain or host.endswith(f".{domain}"))
