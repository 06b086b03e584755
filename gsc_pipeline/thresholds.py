"""From when on a number is worth a person's time: the thresholds of all insights, as analysts expect them.

Belongs here: the numbers and what each means. Does not: what is done with them (`insights`), or the file in
which a workspace may set its own (`workspaces`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one workspace. Shares are parts of one; windows are days. None may be negative."""

    window_days: int = 28
    """The window of most insights, and of each half of a comparison: whole weeks, so weekdays are equal."""
    compared_days_share: float = 0.9
    """A window of which less than this is known to be final is not looked at."""
    significance: float = 3.0
    """A difference in clicks must be this many standard deviations of pure chance (Poisson's)."""

    striking_position_from: float = 4.0
    striking_position_to: float = 20.0
    striking_impressions: int = 100
    striking_target_position: int = 3
    """The better position that potential clicks are reckoned at."""

    curve_days: int = 90
    curve_positions: int = 20
    """The curve reaches down to this position; what is shown below is no matter of snippets."""
    curve_impressions: int = 200
    """A position shown less often is no measure; the curve is read between its neighbours."""

    ctr_gap_impressions: int = 100
    ctr_gap_share: float = 0.5
    """A query is listed when its CTR is, chance aside, below this part of what is expected."""

    cannibalisation_share: float = 0.1
    cannibalisation_clicks: int = 10
    """A query with fewer clicks in all says nothing about how they are split."""

    decay_clicks: int = 50
    decay_share: float = 0.2

    change_share: float = 0.2
    change_impressions: int = 50

    anomaly_z: float = 3.5
    anomaly_share: float = 0.2
    """An anomaly is also this far from what was expected: quiet sites have tiny deviations."""
    anomaly_weeks: int = 8
    anomaly_least_weeks: int = 4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 1 if field.name.endswith(("_days", "_weeks", "_positions", "_target_position")) else 0
            if value < least:
                raise ValueError(f"{field.name}: {value}: expected {least} or more")
