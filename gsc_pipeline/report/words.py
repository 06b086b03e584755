"""Plain words for the codes of Search Console."""

from __future__ import annotations

_WORDS = {
    "previous": "previous window",
    "year_before": "year before",
    "DESKTOP": "Desktop",
    "MOBILE": "Mobile",
    "TABLET": "Tablet",
    "WEB": "Web search",
    "IMAGE": "Images",
    "VIDEO": "Videos",
    "NEWS": "News tab",
    "DISCOVER": "Discover",
    "GOOGLE_NEWS": "Google News",
    "zzz": "Unknown",
}


def words(code: object) -> str:
    """The words for a code; for another text, the text without underscores."""
    return _WORDS.get(str(code), str(code).replace("_", " "))
