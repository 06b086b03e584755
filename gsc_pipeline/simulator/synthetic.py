"""Made-up properties: numbers drawn from a seed, with findings planted for analysts to find.

Belongs here: the numbers of a day, out of standing cells and curves. Does not: how the cells are laid
out (`cells`), how traffic moves through time (`curves`), what is visible yet (`provisional`).

Every number is the difference of two running totals, each a function of its day alone. So any day can
be told without the days before it, and sums over weeks are as smooth as the rates behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import ONE_DAY, Window, months_before
from gsc_pipeline.simulator.cells import Cells, make_cells
from gsc_pipeline.simulator.curves import FIRST_DAY, LAST_DAY, SHAPES, cumulative
from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import SEARCH_TYPES, Counts, Facts, Reals
from gsc_pipeline.simulator.hashing import seed_of, uniform
from gsc_pipeline.simulator.plants import Plant
from gsc_pipeline.simulator.recent import Recent
from gsc_pipeline.simulator.scaling import scaled

HISTORY_MONTHS = 16
_DIP = 0.2
_SIZES = {"web": 1.0, "image": 0.3, "video": 0.1, "news": 0.1, "discover": 0.2, "googleNews": 0.1}


class SyntheticProperty:
    """A property whose numbers follow from its address and size alone.

    `rows_a_day` is about how many facts (query, page, country, device) a web day has; tens of thousands
    are fine, 0 makes a property without any data. The other search types are smaller. Unless `plants`
    is false, findings are planted among the web numbers (`Plant`). History reaches back
    `history_months`, 16 as Google's; days in `days_without_data` have none, and on those in `dips` it is
    seen a fifth as often as usual. With `hard_texts` there are
    queries and addresses that are hard to carry, all shown daily from some 200 rows a day on: `NaN`, line
    breaks, 2,000 characters.
    """

    def __init__(
        self,
        site_url: str,
        *,
        rows_a_day: int = 2_000,
        plants: bool = True,
        search_types: Iterable[str] = ("web",),
        readers: Iterable[str] | None = None,
        permission_level: str = "siteOwner",
        days_without_data: Iterable[date] = (),
        dips: Iterable[date] = (),
        history_months: int = HISTORY_MONTHS,
        hard_texts: bool = False,
    ) -> None:
        self.search_types = frozenset(search_types)
        unknown = self.search_types - SEARCH_TYPES.keys()
        if unknown:
            raise SimulatorError(f"no search type is called {', '.join(sorted(unknown))}")
        self.site_url = site_url
        self.readers = None if readers is None else frozenset(readers)
        self.permission_level = permission_level
        self._rows_a_day = rows_a_day
        self._with_plants = plants
        self._history_months = history_months
        self._hard_texts = hard_texts
        self._dips = frozenset(dips)
        self._days_without_data = frozenset(days_without_data)
        self._seed = seed_of(site_url)
        self._made: Recent[tuple[Cells, tuple[Plant, ...]]] = Recent(len(SEARCH_TYPES), lambda made: 1)

    def __repr__(self) -> str:
        return f"SyntheticProperty({self.site_url!r}, rows_a_day={self._rows_a_day})"

    @property
    def plants(self) -> tuple[Plant, ...]:
        """What is planted among the web numbers; empty for a property made without."""
        return self._cells("web")[1] if "web" in self.search_types and self._rows_a_day else ()

    def days_shown(self, today: date) -> Window | None:
        """The last calendar months, 16 unless made with others, `today` included."""
        return Window(months_before(today, self._history_months), today + ONE_DAY)

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers; None for a day, size or search type without any."""
        if search_type not in self.search_types or day in self._days_without_data or not self._rows_a_day:
            return None
        if not FIRST_DAY <= day <= LAST_DAY:
            return None
        facts = self._day(search_type, day)
        if day in self._dips:
            return scaled(facts, _DIP, seed_of(self.site_url, "dip"))
        return facts if len(facts) else None

    def _cells(self, search_type: str) -> tuple[Cells, tuple[Plant, ...]]:
        def make() -> tuple[Cells, tuple[Plant, ...]]:
            return make_cells(
                self.site_url,
                SEARCH_TYPES[search_type],
                max(20, int(self._rows_a_day * _SIZES[search_type])),
                with_plants=self._with_plants and search_type == "web",
                hard_texts=self._hard_texts,
            )

        return self._made.get(search_type, make)

    def _day(self, search_type: str, day: date) -> Facts:
        cells, _ = self._cells(search_type)
        seed = seed_of(self.site_url, search_type, "day")
        # By the property's own seed, so that all its search types are busy on the same days.
        curves = cumulative(self._seed % SHAPES)
        place = day.toordinal() - FIRST_DAY.toordinal()
        before, after = curves[:, place], curves[:, place + 1]
        shown = _running(cells, curves, place + 1, seed) - _running(cells, curves, place, seed)
        seen = np.flatnonzero(shown)
        impressions = shown[seen]

        def chance(purpose: int) -> Reals:
            return uniform(seed, purpose, seen, day.toordinal())

        found_on_top = np.floor(impressions * cells.top_share[seen] + chance(1)).astype(np.int64)
        top_impressions = np.minimum(found_on_top, impressions)
        clicks = _clicks(cells, seen, impressions, before, after, seed, day)
        twice = np.floor(clicks * 0.02 + chance(2)).astype(np.int64)
        position = cells.position[seen] * (0.9 + 0.2 * chance(3))
        sum_top_position = np.floor(position * top_impressions + chance(4)).astype(np.int64)
        below = np.floor(position * (impressions - top_impressions) + chance(5)).astype(np.int64)
        if not SEARCH_TYPES[search_type].has_position:
            sum_top_position[:], below[:] = 0, 0
        sum_top_position[top_impressions == 0] = 0
        below[top_impressions == impressions] = 0
        return Facts(
            day=day,
            search_type=search_type,
            labels=cells.labels,
            query=cells.query[seen],
            page=cells.page[seen],
            country=cells.country[seen],
            device=cells.device[seen],
            appearance=cells.appearance[seen],
            clicks=clicks,
            impressions=impressions,
            sum_position=sum_top_position + below,
            top_clicks=np.minimum(clicks - twice, top_impressions),
            top_impressions=top_impressions,
            sum_top_position=sum_top_position,
        )


def _running(cells: Cells, curves: Reals, place: int, seed: int) -> Counts:
    """Each cell's impressions before the day at `place`; the jitter never makes a total fall."""
    daily = np.minimum(*(curves[:, at + 1] - curves[:, at] for at in (max(place - 1, 0), place)))
    cell = np.arange(len(cells))
    jitter = 0.6 * (uniform(seed, cell, place) - 0.5) * daily[cells.curve]
    running: Reals = np.floor(cells.rate * (curves[cells.curve, place] + jitter) + uniform(seed, cell))
    return running.astype(np.int64)


def _clicks(
    cells: Cells,
    seen: npt.NDArray[np.int64],
    impressions: Counts,
    before: Reals,
    after: Reals,
    seed: int,
    day: date,
) -> Counts:
    """Each page's clicks of the day, handed to its cells by their expected clicks.

    Counted page by page, because rounding cell by cell would make small pages rise and fall at random,
    as if they decayed. Whose turn it is when clicks are fewer than cells is drawn anew each day: otherwise a
    query would go without clicks for ever, as if nobody liked its snippet.
    """
    page = cells.page
    rate = np.bincount(page, cells.rate * cells.ctr)
    curve = np.zeros(len(rate), dtype=np.int64)
    curve[page] = cells.curve
    offset = uniform(seed, 6, np.arange(len(rate)))
    wanted = np.floor(rate * after[curve] + offset) - np.floor(rate * before[curve] + offset)

    expected = impressions * cells.ctr[seen]
    total = np.bincount(page[seen], expected, minlength=len(rate))
    first = np.searchsorted(page[seen], np.arange(len(rate)))
    up_to = np.concatenate([[0.0], np.cumsum(expected)])
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(total > 0, wanted / total, 0.0)[page[seen]]
    start = up_to[first][page[seen]]
    turn = uniform(seed, 7, np.arange(len(rate)), day.toordinal())[page[seen]]
    turn = np.clip(turn, 1e-6, 1 - 1e-6)
    given = np.floor((up_to[1:] - start) * factor + turn) - np.floor((up_to[:-1] - start) * factor + turn)
    clicks: Counts = np.minimum(given.astype(np.int64), impressions)
    return clicks
