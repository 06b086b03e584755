"""What is known to be wrong with Google's own numbers, and when: a short list kept by hand.

Belongs here: faults and changes of counting that Google or the trade press dated. Does not: what this
project itself could not read (`notes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Fault:
    """Days, both included, on which numbers mean something else than they seem to; None is until now."""

    first: date
    last: date | None
    what: str
    source: str

    def touches(self, first: date, last: date) -> bool:
        """Whether any of its days lies from `first` to `last`."""
        return self.first <= last and (self.last is None or self.last >= first)

    @property
    def days(self) -> str:
        """Its days as people write them."""
        return f"since {self.first}" if self.last is None else f"{self.first} to {self.last}"


FAULTS = (
    Fault(
        date(2025, 5, 13),
        date(2026, 4, 27),
        "A fault in Google's logging made impressions too many, and Google corrected them afterwards. "
        "Impressions and CTR of these days may differ from reports made earlier; clicks are not affected.",
        "Google, Search Console Help: Data anomalies in Search Console",
    ),
)
"""In the order of their first days."""
