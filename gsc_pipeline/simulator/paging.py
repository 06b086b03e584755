"""Paging with the habits of the real service: pages that come short, ties that change their order.

Belongs here: which rows a page holds and in what order tied ones come. Does not: counting and sorting
(`answers`).

What happens is decided by the turn: how often the same question, whatever its page, was asked of this
simulator. So it can be repeated, and does not depend on other requests on the way at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import Counts, Places
from gsc_pipeline.simulator.hashing import hashed, uniform


@dataclass(frozen=True, slots=True)
class Paging:
    """How pages misbehave; by default not at all.

    `short_pages`: a page that others follow lacks up to this share of the rows asked for; the next
    begins after the rows that really came. `unstable_ties`: in this share of the turns, rows of equal
    clicks come in an order of that turn's own, else in the usual one; at 1 no two turns agree, so a read
    of several pages sees rows twice and misses others however often it is repeated.
    """

    short_pages: float = 0.0
    unstable_ties: float = 0.0

    def __post_init__(self) -> None:
        for name in ("short_pages", "unstable_ties"):
            if not 0 <= getattr(self, name) <= 1:
                raise SimulatorError(f"{name} is a share, from 0 to 1, not {getattr(self, name)}")

    def page_size(self, row_limit: int, seed: int, turn: int) -> int:
        """How many rows a page of `row_limit` holds when more follow: at least one."""
        missing = int(self.short_pages * (1 - uniform(seed, 1, turn)[0]) * row_limit)
        return max(1, row_limit - missing)

    def order(self, ties: npt.NDArray[np.int64], key: Counts, seed: int, turn: int) -> Places | None:
        """In what order rows come that are sorted by now; None when they stay as they are.

        `ties` numbers the runs of tied rows, rising; `key` tells rows apart.
        """
        if uniform(seed, 2, turn)[0] >= self.unstable_ties:
            return None
        return np.lexsort((hashed(seed, turn, key), ties))


STEADY_PAGING = Paging()
"""Every page full, every order the same."""
