"""Late revisions: final days whose numbers change afterwards, as Google's have done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import Facts, Property
from gsc_pipeline.simulator.hashing import seed_of
from gsc_pipeline.simulator.scaling import scaled


@dataclass(frozen=True, slots=True)
class Revision:
    """From `at` (a time with a time zone) on, the numbers of `day` are `factor` times the original ones.

    It applies to all search types. Factors are not multiplied: the latest revision of a day applies. At 0 the
    day has no data.
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
    """The property `original` with late revisions.

    `facts` are the original numbers, because they have no time. `visible_facts`, and so the wire, apply the
    revisions.
    """

    def __init__(self, original: Property, revisions: Iterable[Revision]) -> None:
        self.site_url = original.site_url
        self.readers = original.readers
        self.permission_level = original.permission_level
        self.filters_see = original.filters_see
        self.days_shown = original.days_shown
        self.facts = original.facts
        self.revisions = tuple(sorted(revisions, key=lambda revision: revision.at))
        self._name = f"Revised({original!r}, {len(self.revisions)} revisions)"

    def __repr__(self) -> str:
        return self._name


def factor_at(prop: Property, day: date, now: datetime) -> float:
    """The factor of the revision of `day` that applies at `now`; 1 without a revision."""
    factor = 1.0
    if isinstance(prop, Revised):
        for revision in prop.revisions:
            if revision.day == day and revision.at <= now:
                factor = revision.factor
    return factor


def facts_at(prop: Property, search_type: str, day: date, now: datetime) -> Facts | None:
    """The final numbers of `day` with the revision that applies at `now`; None when there are none."""
    facts, factor = prop.facts(search_type, day), factor_at(prop, day, now)
    if facts is None or factor == 1.0:
        return facts
    return scaled(facts, factor, seed_of(prop.site_url, "revision"))
