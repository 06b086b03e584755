"""Properties whose numbers are drawn from a seed, with planted findings.

Every number is the difference of two running totals, each a function of its day alone. So the numbers of a
day do not depend on other days, and sums over weeks follow the rates closely.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import numpy.typing as npt

from gsc_pipeline.days import ONE_DAY, Window, months_before
from gsc_pipeline.simulator.errors import SimulatorError
from gsc_pipeline.simulator.facts import SEARCH_TYPES, Counts, Facts, FiltersSee, Reals
from gsc_pipeline.simulator.hashing import seed_of, uniform
from gsc_pipeline.simulator.recent import Recent
from gsc_pipeline.simulator.scaling import scaled
from gsc_pipeline.simulator.synthetic.cells import Cells, make_cells
from gsc_pipeline.simulator.synthetic.curves import FIRST_DAY, FLAT_SHAPE, LAST_DAY, SHAPES, cumulative
from gsc_pipeline.simulator.synthetic.large import make_large_cells
from gsc_pipeline.simulator.synthetic.planted import PlantedFinding

HISTORY_MONTHS = 16
_DIP = 0.2
_SIZES = {"web": 1.0, "image": 0.3, "video": 0.1, "news": 0.1, "discover": 0.2, "googleNews": 0.1}


class SyntheticProperty:
    """A property whose numbers depend on its address and its arguments alone.

    `rows_a_day` is about the number of facts (query, page, country, device) of a day of web search; other
    search types have fewer, and 0 is a property without data. With `plants`, web search has planted findings
    (`PlantedFinding`). History is `history_months` long, Google's 16 by default. There is no data on
    `days_without_data`, and a fifth of the usual numbers on `dips`. With `hard_texts`, some queries and
    addresses are hard to store (`NaN`, line breaks, 2,000 characters); from about 200 facts a day on, each of
    them appears every day.

    `LargeProperty` has the traffic of a large site.
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
        filters_see: FiltersSee = "every_row",
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
        self.filters_see: FiltersSee = filters_see
        self._rows_a_day = rows_a_day
        self._with_plants = plants
        self._history_months = history_months
        self._hard_texts = hard_texts
        self._dips = frozenset(dips)
        self._days_without_data = frozenset(days_without_data)
        self._shape = seed_of(site_url) % SHAPES
        self._cells_by_type: Recent[tuple[Cells, tuple[PlantedFinding, ...]]] = Recent(
            len(SEARCH_TYPES), lambda cells: 1
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.site_url!r}, rows_a_day={self._rows_a_day})"

    @property
    def plants(self) -> tuple[PlantedFinding, ...]:
        """The planted findings; empty without web search or without `plants`."""
        return self._cells("web")[1] if "web" in self.search_types and self._rows_a_day else ()

    def days_shown(self, today: date) -> Window | None:
        """The last `history_months` calendar months up to `today`, inclusive."""
        return Window(months_before(today, self._history_months), today + ONE_DAY)

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers; None when it has none."""
        if search_type not in self.search_types or day in self._days_without_data or not self._rows_a_day:
            return None
        if not FIRST_DAY <= day <= LAST_DAY:
            return None
        facts = self._day(search_type, day)
        if day in self._dips:
            return scaled(facts, _DIP, seed_of(self.site_url, "dip"))
        return facts if len(facts) else None

    def _cells(self, search_type: str) -> tuple[Cells, tuple[PlantedFinding, ...]]:
        return self._cells_by_type.get(search_type, lambda: self._make_cells(search_type))

    def _make_cells(self, search_type: str) -> tuple[Cells, tuple[PlantedFinding, ...]]:
        return make_cells(
            self.site_url,
            SEARCH_TYPES[search_type],
            max(20, int(self._rows_a_day * _SIZES[search_type])),
            with_plants=self._with_plants and search_type == "web",
            hard_texts=self._hard_texts,
        )

    def _day(self, search_type: str, day: date) -> Facts:
        cells, _ = self._cells(search_type)
        seed = seed_of(self.site_url, search_type, "day")
        # One shape for all search types of the property, so that they peak on the same days.
        curves = cumulative(self._shape)
        index = day.toordinal() - FIRST_DAY.toordinal()
        before, after = curves[:, index], curves[:, index + 1]
        by_cell = _running_total(cells, curves, index + 1, seed) - _running_total(cells, curves, index, seed)
        seen = np.flatnonzero(by_cell)
        impressions = by_cell[seen]

        def chance(purpose: int) -> Reals:
            return uniform(seed, purpose, seen, day.toordinal())

        rounded_top = np.floor(impressions * cells.top_share[seen] + chance(1)).astype(np.int64)
        top_impressions = np.minimum(rounded_top, impressions)
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


class LargeProperty(SyntheticProperty):
    """A property of a large site: Zipf-like in queries, pages, folders, countries and devices.

    `rows_a_day` is about the number of its rows by query, page, country and device on a day of web search,
    without anonymised ones; by query, country and device there are about a tenth fewer. The number varies by
    a tenth. Most rows have few clicks or none, so many rows tie where the cap cuts. It has only web search
    and no planted findings.
    """

    def __init__(
        self,
        site_url: str,
        *,
        rows_a_day: int,
        filters_see: FiltersSee = "every_row",
        readers: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            site_url, rows_a_day=rows_a_day, plants=False, filters_see=filters_see, readers=readers
        )
        self._shape = FLAT_SHAPE

    def _make_cells(self, search_type: str) -> tuple[Cells, tuple[PlantedFinding, ...]]:
        return make_large_cells(self.site_url, self._rows_a_day), ()


def _running_total(cells: Cells, curves: Reals, index: int, seed: int) -> Counts:
    """Each cell's impressions before the day at `index`, with noise too small to make a total fall."""
    daily = np.minimum(*(curves[:, at + 1] - curves[:, at] for at in (max(index - 1, 0), index)))
    cell = np.arange(len(cells))
    noise = 0.6 * (uniform(seed, cell, index) - 0.5) * daily[cells.curve]
    total: Reals = np.floor(cells.rate * (curves[cells.curve, index] + noise) + uniform(seed, cell))
    return total.astype(np.int64)


def _clicks(
    cells: Cells,
    seen: npt.NDArray[np.int64],
    impressions: Counts,
    before: Reals,
    after: Reals,
    seed: int,
    day: date,
) -> Counts:
    """Each page's clicks of the day, distributed over its cells by their expected clicks.

    Clicks are rounded by page: rounded by cell, small pages would rise and fall at random and look as if they
    decayed. When a page has fewer clicks than cells, a random offset of the day decides which cells get them:
    otherwise some queries would never get any and look like CTR gaps.
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
    shift = uniform(seed, 7, np.arange(len(rate)), day.toordinal())[page[seen]]
    shift = np.clip(shift, 1e-6, 1 - 1e-6)
    given = np.floor((up_to[1:] - start) * factor + shift) - np.floor((up_to[:-1] - start) * factor + shift)
    clicks: Counts = np.minimum(given.astype(np.int64), impressions)
    return clicks
