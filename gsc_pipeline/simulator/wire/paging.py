"""Paging with the irregularities of the real service: short pages, and ties in changing order.

The irregularities depend on the turn: how often this simulator has received the same request for any page. So
they can be repeated, and do not depend on concurrent requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import Counts, Indexes
from gsc_pipeline.simulator.hashing import hashed, uniform


@dataclass(frozen=True, slots=True)
class Paging:
    """How pages are irregular; by default they are not.

    `short_pages`: a page that is not the last has fewer rows than requested, by up to this share. The next
    page starts after the returned rows. `unstable_ties`: in this share of the turns, rows with equal clicks
    have an order of their own. At 1 the order differs in every turn, so a read of several pages returns some
    rows twice and misses others, however often it is repeated.
    """

    short_pages: float = 0.0
    unstable_ties: float = 0.0

    def __post_init__(self) -> None:
        for name in ("short_pages", "unstable_ties"):
            if not 0 <= getattr(self, name) <= 1:
                raise SimulatorError(f"{name} is a share, from 0 to 1, not {getattr(self, name)}")

    def page_size(self, row_limit: int, seed: int, turn: int) -> int:
        """The number of rows of a page that is not the last: at least one, at most `row_limit`."""
        missing = int(self.short_pages * (1 - uniform(seed, 1, turn)[0]) * row_limit)
        return max(1, row_limit - missing)

    def order(self, ties: npt.NDArray[np.int64], key: Counts, seed: int, turn: int) -> Indexes | None:
        """The order of sorted rows in this turn; None when it does not change.

        `ties` numbers the runs of tied rows in ascending order; `key` identifies the rows.
        """
        if uniform(seed, 2, turn)[0] >= self.unstable_ties:
            return None
        return np.lexsort((hashed(seed, turn, key), ties))


STEADY_PAGING = Paging()
"""Full pages, and always the same order."""
