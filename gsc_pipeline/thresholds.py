"""From when on a number is worth a person's time: the thresholds of all insights, as analysts expect them.

Belongs here: the numbers and what each means. Does not: what is done with them (`insights`), or the file in
which a workspace may set its own (`workspaces`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


def _number(default: float, description: str, *, least: float = 0, most: float | None = None) -> Any:
    return field(default=default, metadata={"description": description, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one workspace; shares are parts of one. Raises ValueError naming a wrong one."""

    window_days: int = _number(
        28, "days of a window, and of each half of a comparison; whole weeks keep weekdays equal", least=1
    )
    compared_days_share: float = _number(
        0.9, "a window of which a smaller part is known to be final is not looked at", most=1
    )
    significance: float = _number(
        3.0, "standard deviations of pure chance that a winner's or loser's change in clicks must exceed"
    )

    striking_position_from: float = _number(4.0, "striking distance begins at this position", least=1)
    striking_position_to: float = _number(20.0, "and ends at this one", least=1)
    striking_impressions: int = _number(100, "impressions that it takes")
    striking_target_position: int = _number(3, "the better position, for the potential", least=1)

    curve_days: int = _number(90, "days of the CTR curve", least=1)
    curve_positions: int = _number(20, "the curve reaches down to this position", least=1)
    curve_impressions: int = _number(
        200, "a position shown less often is read between its neighbours", least=1
    )

    ctr_gap_impressions: int = _number(100, "impressions that a CTR gap takes")
    ctr_gap_share: float = _number(0.5, "a gap is a CTR of at most this part of the expected", most=1)
    ctr_gap_significance: float = _number(
        4.0, "standard deviations of pure chance that its missing clicks are; thousands are looked at"
    )

    cannibalisation_share: float = _number(
        0.1, "part of the query's clicks that each of its pages has", most=1
    )
    cannibalisation_clicks: int = _number(10, "clicks of a query that say how they are split", least=1)

    decay_clicks: int = _number(50, "clicks a page had in the earlier window", least=1)
    decay_share: float = _number(0.2, "part of them that it lost", most=1)

    change_share: float = _number(0.2, "part of its clicks that a winner won or a loser lost")
    change_impressions: int = _number(50, "impressions that any change takes", least=1)

    anomaly_z: float = _number(3.5, "robust z of an anomaly")
    anomaly_share: float = _number(0.2, "and how far it is, at least, from what was expected")
    anomaly_weeks: int = _number(8, "weeks before that a day is compared with", least=1)
    anomaly_least_weeks: int = _number(4, "and how many of them must be final", least=1)

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least, most = getattr(self, one.name), one.metadata["least"], one.metadata["most"]
            if value < least or (most is not None and value > most):
                wanted = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
                raise ValueError(f"{one.name}: {value}: expected {wanted}")

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """The defaults but for those given by name. Raises ValueError for a wrong name or value."""
        known = {one.name: one.default for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"no threshold is called {name}: expected some of {', '.join(known)}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or (isinstance(known[name], int) and not isinstance(value, int)):
                kind = "a whole number" if isinstance(known[name], int) else "a number"
                raise ValueError(f"{name}: {value}: expected {kind}")
            values[name] = value
        return cls(**values)
