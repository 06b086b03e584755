"""Late revisions: days that Google counts anew after they were final, as it has done.

Belongs here: which revision of a day is in force at a moment, and a property with revisions. Does not:
days that are still growing (`provisional`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from gsc_pipeline.days import Window
from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import Facts, Property
from gsc_pipeline.simulator.hashing import seed_of
from gsc_pipeline.simulator.scaling import scaled


@dataclass(frozen=True, slots=True)
class Revision:
    """From the moment `at` (aware) on, the numbers of `day` are `factor` times the first.

    It holds for all search types. Factors do not multiply: the latest revision of a day is in force. At 0
    the day vanishes.
    """

    day: date
    at: datetime
    factor: float

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise SimulatorError(f"a revision of {self.day} needs a moment with a time zone, not {self.at}")
        if self.factor < 0:
            raise SimulatorError(f"a revision of {self.day} cannot make numbers negative: {self.factor}")


class Revised:
    """`original` with late revisions; otherwise the same property.

    `facts` stays without a time and tells the first numbers. `visible_facts`, and so the wire, tell what
    is in force at their moment.
    """

    def __init__(self, original: Property, revisions: Iterable[Revision]) -> None:
        self.original = original
        self.revisions = tuple(sorted(revisions, key=lambda revision: revision.at))

    def __repr__(self) -> str:
        return f"Revised({self.original!r}, {len(self.revisions)} revisions)"

    @property
    def site_url(self) -> str:
        """As of the original."""
        return self.original.site_url

    @property
    def readers(self) -> frozenset[str] | None:
        """As of the original."""
        return self.original.readers

    @property
    def permission_level(self) -> str:
        """As of the original."""
        return self.original.permission_level

    def days_shown(self, today: date) -> Window | None:
        """As of the original."""
        return self.original.days_shown(today)

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's first final numbers."""
        return self.original.facts(search_type, day)


def factor_at(prop: Property, day: date, now: datetime) -> float:
    """What the first numbers of `day` are multiplied by at the moment `now`; 1 without a revision."""
    factor = 1.0
    if isinstance(prop, Revised):
        for revision in prop.revisions:
            if revision.day == day and revision.at <= now:
                factor = revision.factor
    return factor


def facts_at(prop: Property, search_type: str, day: date, now: datetime) -> Facts | None:
    """The final numbers of `day` with the revision in force at `now`; None when there are none."""
    facts, factor = prop.facts(search_type, day), factor_at(prop, day, now)
    if facts is None or factor == 1.0:
        return facts
    return scaled(facts, factor, seed_of(prop.site_url, "revision"))
