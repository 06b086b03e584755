"""Google's published limits on calls, as figures that a limiter can keep to.

Belongs here: what Google counts apart, how often, and how much of it is used. Does not: when a call may be
sent (`limits`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MARGIN = 0.95
"""The part of a figure that is used: calls reach Google less evenly than they were sent."""

BURST = 0.1
"""The part of that which may be sent at once; the rest is spread over the window."""

ONE_LESSON_SECONDS = 5.0
"""Refusals this close together are one: calls under way when the first came have nothing new to say."""

ONE_LESSON = 0.25
"""The same as a part of the window, where that is longer: what was sent before counts until the window is
over, so that refusals go on for a while however slow the calls have become."""


class Kind(StrEnum):
    """What Google counts apart."""

    SEARCH_ANALYTICS = "searchAnalytics"
    URL_INSPECTION = "urlInspection"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` within any `seconds`."""

    calls: float
    seconds: float

    def scaled(self, factor: float) -> Limit:
        """`factor` times as many calls, at least two: one call has no rate."""
        return Limit(max(2.0, self.calls * factor), self.seconds)

    @property
    def burst(self) -> float:
        """Calls that may be sent at once after a pause."""
        return max(1.0, self.calls * MARGIN * BURST)

    @property
    def spacing(self) -> float:
        """Seconds from one call to the next in the long run.

        A window that begins with a whole burst still holds no more than `calls`: burst + seconds / spacing.
        """
        return self.seconds / (max(self.calls * MARGIN, 2.0) - self.burst)

    @property
    def lesson_seconds(self) -> float:
        """How long after a refusal another one says something new."""
        return max(ONE_LESSON_SECONDS, self.seconds * ONE_LESSON)


PER_USER = {
    Kind.SEARCH_ANALYTICS: (Limit(1_200, 60.0),),
    Kind.URL_INSPECTION: (),
    Kind.OTHER: (Limit(20, 1.0), Limit(200, 60.0)),
}
PER_SITE = {
    Kind.SEARCH_ANALYTICS: (Limit(1_200, 60.0),),
    Kind.URL_INSPECTION: (Limit(600, 60.0),),
    Kind.OTHER: (),
}
"""Google's figures, from its page on the API's usage limits. The limits of a Cloud project (40,000 a minute)
lie beyond what one credential may use; the daily ones are met as refusals."""
