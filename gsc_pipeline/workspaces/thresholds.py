"""The thresholds of the insights, which a workspace may override in the workspaces file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


def _number(default: float, description: str, *, least: float = 0, most: float | None = None) -> Any:
    return field(default=default, metadata={"description": description, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one workspace. Shares are between 0 and 1. Raises ValueError for an invalid one."""

    window_days: int = _number(
        28,
        "days of a window, and of each half of a comparison; whole weeks have each weekday equally often",
        least=1,
    )
    compared_days_share: float = _number(0.9, "the share of a window's days that must be final", most=1)
    significance: float = _number(
        3.0, "standard deviations of chance that a winner's or loser's change in clicks must exceed"
    )

    striking_position_from: float = _number(4.0, "the best position within striking distance", least=1)
    striking_position_to: float = _number(20.0, "the worst position within striking distance", least=1)
    striking_impressions: int = _number(100, "the fewest impressions of a query")
    striking_target_position: int = _number(3, "the position that the potential is estimated for", least=1)

    curve_days: int = _number(90, "days that the CTR curve is made from", least=1)
    curve_positions: int = _number(20, "the last position of the curve", least=1)
    curve_impressions: int = _number(200, "a position with fewer impressions is interpolated", least=1)

    ctr_gap_impressions: int = _number(100, "the fewest impressions of a CTR gap")
    ctr_gap_share: float = _number(0.5, "the highest CTR of a gap, as a share of the expected one", most=1)
    ctr_gap_significance: float = _number(
        4.0, "standard deviations of chance that its missing clicks must exceed; thousands are tested"
    )

    cannibalisation_share: float = _number(
        0.1, "the smallest share of the query's clicks that each of its pages has", most=1
    )
    cannibalisation_clicks: int = _number(10, "the fewest clicks of a query", least=1)

    decay_clicks: int = _number(50, "the fewest clicks of a page in the earlier window", least=1)
    decay_share: float = _number(0.2, "the smallest share of them that it lost", most=1)

    change_share: float = _number(0.2, "the smallest share of its clicks that a winner won or a loser lost")
    change_impressions: int = _number(50, "the fewest impressions of a winner or loser", least=1)

    anomaly_z: float = _number(3.5, "the smallest robust z-score of an anomaly")
    anomaly_share: float = _number(0.2, "the smallest deviation from the expected value, as a share of it")
    anomaly_weeks: int = _number(8, "earlier weeks that a day is compared with", least=1)
    anomaly_least_weeks: int = _number(4, "how many of these weeks must be final", least=1)

    most_groups: int = _number(
        10, "content groups that have rows of their own: those with the most clicks in a year", most=200
    )
    change_point_confidence: float = _number(
        0.9, "the smallest confidence of a change of level; higher is fewer false alarms", most=1
    )
    change_point_share: float = _number(0.1, "the smallest change of level, as a share of the level before")

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least, most = getattr(self, one.name), one.metadata["least"], one.metadata["most"]
            if value < least or (most is not None and value > most):
                wanted = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
                raise ValueError(f"{one.name}: {value}: expected {wanted}")

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """The defaults, overridden by `given`. Raises ValueError for an unknown name or an invalid value."""
        known = {one.name: one.default for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{name}: unknown threshold, expected one of {', '.join(known)}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or (isinstance(known[name], int) and not isinstance(value, int)):
                kind = "a whole number" if isinstance(known[name], int) else "a number"
                raise ValueError(f"{name}: {value}: expected {kind}")
            values[name] = value
        return cls(**values)
