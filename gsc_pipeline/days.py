"""Days, months and closed-open windows of days in Pacific time, which Search Console counts in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
ONE_DAY = timedelta(days=1)

Clock = Callable[[], datetime]
"""Returns the current time as an aware datetime. Passed in wherever time matters, so tests can set it."""


def utc_now() -> datetime:
    """The current time in UTC, aware."""
    return datetime.now(UTC)


def pacific_today(now: datetime) -> date:
    """The Pacific calendar day at `now` (aware)."""
    if now.tzinfo is None:
        raise ValueError("a datetime without a time zone has no Pacific day")
    return now.astimezone(PACIFIC).date()


def month_of(day: date) -> str:
    """The month of a day, as in the tables' partition column `month`: `2026-11`."""
    return f"{day:%Y-%m}"


def months_before(day: date, months: int) -> date:
    """The same day `months` calendar months earlier, or the last day of that month if it is shorter."""
    year, month0 = divmod(day.year * 12 + day.month - 1 - months, 12)
    first_of_next = date(year + (month0 + 1) // 12, (month0 + 1) % 12 + 1, 1)
    last = first_of_next - ONE_DAY
    return last.replace(day=min(day.day, last.day))


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive days, closed-open: `start` is included, `end` is not. Never empty."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"a window must end after it starts: [{self.start}, {self.end})")

    @classmethod
    def inclusive(cls, first: date, last: date) -> Window:
        """The window from `first` to `last`, both included."""
        return cls(first, last + ONE_DAY)

    @classmethod
    def last_complete(cls, days: int, today: date) -> Window:
        """The last `days` complete days: `[today - days, today)`."""
        return cls(today - days * ONE_DAY, today)

    @property
    def last(self) -> date:
        """The last day of the window."""
        return self.end - ONE_DAY

    def __len__(self) -> int:
        return (self.end - self.start).days

    def __iter__(self) -> Iterator[date]:
        return (self.start + i * ONE_DAY for i in range(len(self)))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def __str__(self) -> str:
        return f"{self.start}" if len(self) == 1 else f"{self.start} to {self.last}"
