"""Moments as the wire writes them: RFC 3339, with any number of digits after the second."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> datetime | None:
    """The moment in UTC, to the microsecond; None for no text, or one that names no moment."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
