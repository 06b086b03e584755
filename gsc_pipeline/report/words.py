"""Plain words for the codes of Search Console, and long texts cut short."""

from __future__ import annotations

LONGEST = 160
"""Characters of a text on a page; queries and URLs can have thousands. The CSV has all of it."""

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


def shortened(text: object, longest: int = LONGEST) -> str:
    """The text, cut to at most `longest` characters."""
    whole = str(text)
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"
