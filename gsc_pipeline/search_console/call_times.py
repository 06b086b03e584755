"""How long calls to the API took: their number by duration, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from operator import add, sub

CALL_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds in seconds of the durations of calls, without infinity. Rows of `sync_runs` have a count
for each: with other bounds, the counts of earlier syncs would be wrong."""


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Calls by how long each took, from sending it until its answer was decoded or it failed.

    `counts` has the number of calls up to each of CALL_BOUNDS and above the one before, then the number of
    longer ones.
    """

    counts: tuple[int, ...] = (0,) * (len(CALL_BOUNDS) + 1)
    milliseconds: int = 0

    @classmethod
    def of(cls, seconds: float) -> CallTimes:
        """One call that took so long."""
        bucket = bisect_left(CALL_BOUNDS, seconds)
        counts = tuple(int(number == bucket) for number in range(len(CALL_BOUNDS) + 1))
        return cls(counts, round(seconds * 1000))

    def __add__(self, other: CallTimes) -> CallTimes:
        return CallTimes(tuple(map(add, self.counts, other.counts)), self.milliseconds + other.milliseconds)

    def __sub__(self, earlier: CallTimes) -> CallTimes:
        return CallTimes(
            tuple(map(sub, self.counts, earlier.counts)), self.milliseconds - earlier.milliseconds
        )


NO_CALLS = CallTimes()
