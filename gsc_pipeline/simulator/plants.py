"""What is planted in a made-up property, and on which days an analysis must find it.

Belongs here: the kinds of findings. Does not: the cells that make them (`cells`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from gsc_pipeline.simulator.curves import SHOWN_DAYS, STEADY, days_declining, days_since_coming


@dataclass(frozen=True, slots=True)
class Plant:
    """A finding put into a property on purpose, for an analysis to find.

    `decay`: `pages[0]` loses clicks. `cannibalisation`: the clicks of `query` are split between
    `pages`, each with more than a tenth. `striking_distance`: `query` has an average position between
    4 and 20 and at least 100 impressions in any 28 days. `ctr_gap`: `query` stands near the top and gets a
    tenth of the clicks that others get there; of `mild_ctr_gap` it is less than half. `coming`: `query` and
    `pages[0]`, far down, are shown for 60 days and not at all for the next 60, by turns.
    """

    kind: Literal["decay", "cannibalisation", "striking_distance", "ctr_gap", "mild_ctr_gap", "coming"]
    query: str | None
    pages: tuple[str, ...]
    curve: int = STEADY

    def shows_on(self, day: date) -> bool:
        """Whether an analysis of the weeks up to `day` must find it.

        A decaying page declines for 90 days, recovers and stays level for 80; it must be found once it
        has been declining for 45 days. On any day one decaying page of a property must be found. What comes
        and goes must be while it is new or lost.
        """
        if self.kind == "coming":
            return self.is_new_on(day) or self.is_lost_on(day)
        if self.kind != "decay":
            return True
        age = days_declining(self.curve, day)
        return age is not None and age >= 45

    def is_new_on(self, day: date) -> bool:
        """Whether it was shown at least 50 times in the 28 days up to `day`, and not in the 28 before."""
        age = days_since_coming(self.curve, day)
        return age is not None and 7 <= age < 28

    def is_lost_on(self, day: date) -> bool:
        """Whether it was not shown in the 28 days up to `day`, and at least 50 times in the 28 before."""
        age = days_since_coming(self.curve, day)
        return age is not None and 27 <= age - SHOWN_DAYS < 48
