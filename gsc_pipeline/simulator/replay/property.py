"""A property that replays an export: daily facts whose sums are the numbers of the exported files.

An export has sums by day, query, page, country and device, each without the others. The replay is one of many
histories with these sums:

- Clicks, impressions and position of each day are exactly those of Dates.
- Countries and devices are scaled to the total of Dates if they differ from it, and are exact then.
- Queries are exact, unless their sum exceeds Dates: then they are scaled down to it. The rest of the total is
  anonymised.
- Pages are exact. A search that shows three pages is one impression of the property and three of pages, so
  the sum of pages may exceed Dates: the excess becomes facts that count by page only. If the sum is less than
  Dates, the rest belongs to one made-up page of the host, `/other-pages`.
- Search appearances have about their share of impressions. A fact either has an appearance or not.
- Facts of a named query have its position. Anonymised facts get what makes the day's total exact, in
  proportion to the positions of their pages. The excess of pages has the position of the page.

Units are single impressions. They are split into clicked and unclicked ones, and into those of the property
and the excess of pages. Each of the four groups is spread over days and labels independently, so clicks never
exceed impressions, and the property never exceeds its pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import numpy as np

from gsc_pipeline.days import ONE_DAY, Window
from gsc_pipeline.simulator.appearances import appearances_by_share
from gsc_pipeline.simulator.facts import ANONYMIZED, Counts, Facts, FiltersSee, Indexes, Labels, Reals, texts
from gsc_pipeline.simulator.hashing import seed_of, uniform
from gsc_pipeline.simulator.replay.affinity import likely_pages
from gsc_pipeline.simulator.replay.apportion import apportioned, rounded, table
from gsc_pipeline.simulator.replay.coupling import Segments, coupled
from gsc_pipeline.simulator.replay.export_files import Export, Listing, read_export

_SPLIT = 0.25
"""The share of queries that show two pages."""


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """One group of units: (day, label) arrays, all with the same sums by day.

    Only `strand` has lower sums: the rest is anonymised.
    """

    strand: Counts
    page: Counts
    country: Counts
    device: Counts


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """All that the facts of a day are computed from.

    A strand is the part of a query that shows one page. `page_beside` is another page that its searches show,
    and has the excess of pages. Positions are zero-based; `sum_position` is the property's, by day.
    `appearance_share` is the share of facts with each search appearance.
    """

    labels: Labels
    query_of_strand: Indexes
    page_of_strand: Indexes
    page_beside: Indexes
    clicked: _Units
    unclicked: _Units
    clicked_excess: _Units
    unclicked_excess: _Units
    query_position: Reals
    page_position: Reals
    appearance_share: Reals
    sum_position: Counts


class ReplayedProperty:
    """The property of an export: `sc-domain:` and the most frequent host of its pages.

    `until` moves the days by whole weeks, so that weekdays stay the same: the last day becomes the latest of
    its weekday that is not after `until`. `pieces`, the number of chunks that the countries and devices of a
    day are cut into, limits the number of facts. Only web search is replayed.
    """

    def __init__(
        self,
        export: Export,
        *,
        until: date | None = None,
        readers: Iterable[str] | None = None,
        permission_level: str = "siteOwner",
        filters_see: FiltersSee = "every_row",
        pieces: int = 300,
    ) -> None:
        self.site_url = f"sc-domain:{_host(export.pages).removeprefix('www.')}"
        self.readers = None if readers is None else frozenset(readers)
        self.permission_level = permission_level
        self.filters_see: FiltersSee = filters_see
        self._pieces = pieces
        self._seed = seed_of(self.site_url, "replay")
        self._plan = _planned(export, self._seed)
        weeks = 0 if until is None else (until - export.days[-1]).days // 7
        self._index = {day + weeks * 7 * ONE_DAY: index for index, day in enumerate(export.days)}

    @classmethod
    def from_export(
        cls,
        directory: Path,
        *,
        until: date | None = None,
        readers: Iterable[str] | None = None,
        filters_see: FiltersSee = "every_row",
    ) -> Self:
        """The property of the export in `directory`. Raises ExportError if the export is not usable."""
        return cls(read_export(directory), until=until, readers=readers, filters_see=filters_see)

    def __repr__(self) -> str:
        return f"ReplayedProperty({self.site_url!r}, {Window.inclusive(min(self._index), max(self._index))})"

    def days_shown(self, today: date) -> Window | None:
        """The days of the export up to `today`. They do not expire after 16 months."""
        first, last = min(self._index), min(max(self._index), today)
        return Window.inclusive(first, last) if first <= last else None

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers; None for other days, days without data and other search types."""
        if search_type != "web" or day not in self._index:
            return None
        plan, index = self._plan, self._index[day]
        groups = (plan.clicked, plan.unclicked, plan.clicked_excess, plan.unclicked_excess)
        segments = [
            coupled(
                units.strand[index],
                units.page[index],
                units.country[index],
                units.device[index],
                page_of_query=plan.page_of_strand if group < 2 else plan.page_beside,
                pieces=self._pieces,
                seed=self._seed + 8 * index + 2 * group,
            )
            for group, units in enumerate(groups)
        ]
        facts = _merged(day, plan, segments)
        facts = replace(facts, appearance=appearances_by_share(facts, plan.appearance_share, self._seed))
        return _with_positions(facts, plan, int(plan.sum_position[index])) if len(facts) else None


def _planned(export: Export, seed: int) -> _Plan:
    dates, queries, pages = export.dates, export.queries, export.pages
    countries = export.countries if len(export.countries) else _only("zzz")
    devices = export.devices if len(export.devices) else _only("DESKTOP")
    counted = (_clicked, _unclicked)
    totals = [int(counts(dates).sum()) for counts in counted]
    named = [_at_most(total, counts(queries)) for counts, total in zip(counted, totals, strict=True)]
    shown = [_at_least(total, counts(pages)) for counts, total in zip(counted, totals, strict=True)]
    own = [apportioned(total, counts) for counts, total in zip(shown, totals, strict=True)]
    page_labels = [*pages.labels, _spare_page(pages)]
    favourite = likely_pages(queries.labels, np.stack(named, axis=1), page_labels, np.stack(own, axis=1))
    split = np.flatnonzero(uniform(seed, np.arange(len(queries))) < _SPLIT)
    strands = [_stranded(counts, split) for counts in named]

    def units(group: int, *, excess: bool) -> _Units:
        counts = counted[group]
        # The last strand is the anonymised rest.
        strand = np.append(strands[group], max(totals[group] - strands[group].sum(), not totals[group]))
        page = shown[group] - own[group] if excess else own[group]
        total = int(page.sum())
        by_strand, *others = (
            table(
                apportioned(total, counts(dates)), apportioned(total, columns), seed + 10 * group + dimension
            )
            for dimension, columns in enumerate((strand, page, counts(countries), counts(devices)))
        )
        return _Units(by_strand[:, :-1], *others)

    return _Plan(
        labels=Labels(
            query=texts(queries.labels),
            page=texts(page_labels),
            country=texts(countries.labels),
            device=texts(devices.labels),
            appearance=texts(export.appearances.labels),
        ),
        # The code of anonymised units, -1, selects the last element.
        query_of_strand=np.concatenate([np.arange(len(queries)), split, [ANONYMIZED]]),
        page_of_strand=np.append(favourite[:, 0], favourite[split, 1]),
        page_beside=np.append(favourite[:, 1], favourite[split, 0]),
        clicked=units(0, excess=False),
        unclicked=units(1, excess=False),
        clicked_excess=units(0, excess=True),
        unclicked_excess=units(1, excess=True),
        query_position=np.append(_zero_based(queries), 0.0),
        page_position=np.append(
            _zero_based(pages), np.average(_zero_based(pages), weights=pages.impressions + 1)
        ),
        appearance_share=export.appearances.impressions / max(1, sum(int(counts.sum()) for counts in shown)),
        sum_position=np.rint(_zero_based(dates) * dates.impressions).astype(np.int64),
    )


def _clicked(listing: Listing) -> Counts:
    return listing.clicks


def _unclicked(listing: Listing) -> Counts:
    return listing.impressions - listing.clicks


def _at_most(total: int, counts: Counts) -> Counts:
    return counts if counts.sum() <= total else apportioned(total, counts)


def _stranded(counts: Counts, split: Indexes) -> Counts:
    """`counts` by strand: the second strands of the queries in `split` come last."""
    second = counts[split] * 3 // 10
    first = counts.copy()
    first[split] -= second
    return np.append(first, second)


def _at_least(total: int, counts: Counts) -> Counts:
    """`counts`, and one more for what their sum lacks."""
    return np.append(counts, max(0, total - counts.sum()))


def _zero_based(listing: Listing) -> Reals:
    zero_based: Reals = np.maximum(listing.position - 1, 0)
    return zero_based


def _only(label: str) -> Listing:
    one = np.ones(1, dtype=np.int64)
    return Listing((label,), one, 2 * one, np.ones(1))


def _host(pages: Listing) -> str:
    hosts = Counter(urlsplit(page).netloc for page in pages.labels)
    return hosts.most_common(1)[0][0]


def _spare_page(pages: Listing) -> str:
    """A page of the host that is not in the export."""
    spare = f"https://{_host(pages)}/other-pages"
    while spare in pages.labels:
        spare += "-"
    return spare


def _merged(day: date, plan: _Plan, groups: list[Segments]) -> Facts:
    """One fact for each combination of labels in the four groups of units, without positions."""
    labels = plan.labels
    codes = [
        np.concatenate([getattr(segments, name) for segments in groups]).astype(np.int64)
        for name in ("query", "page", "country", "device")
    ]
    codes[0] = plan.query_of_strand[codes[0]]
    sizes = (len(labels.query) + 1, len(labels.page), len(labels.country), len(labels.device))
    combination, fact = np.unique(
        np.ravel_multi_index([codes[0] + 1, *codes[1:]], sizes), return_inverse=True
    )
    group = np.repeat(np.arange(len(groups)), [len(segments.units) for segments in groups])
    units = np.concatenate([segments.units for segments in groups])
    clicked, unclicked, clicked_excess, unclicked_excess = (
        np.bincount(fact, units * (group == number), len(combination)).astype(np.int64)
        for number in range(len(groups))
    )
    query, page, country, device = np.unravel_index(combination, sizes)
    zeros = np.zeros(len(combination), dtype=np.int64)
    return Facts(
        day=day,
        search_type="web",
        labels=labels,
        query=(query - 1).astype(np.int32),
        page=page.astype(np.int32),
        country=country.astype(np.int32),
        device=device.astype(np.int32),
        appearance=zeros,
        clicks=clicked + clicked_excess,
        impressions=clicked + unclicked + clicked_excess + unclicked_excess,
        sum_position=zeros,
        top_clicks=clicked,
        top_impressions=clicked + unclicked,
        sum_top_position=zeros,
    )


def _with_positions(facts: Facts, plan: _Plan, day_sum: int) -> Facts:
    """`facts` with positions whose sum by property is `day_sum`."""
    anonymized = facts.query == ANONYMIZED
    shown = facts.top_impressions
    by_page = plan.page_position[facts.page]
    ideal = plan.query_position[facts.query] * shown
    rest = day_sum - ideal.sum()
    # The anonymised facts get the rest. Without any, or if the rest is negative, the named ones are scaled.
    for weights in (np.where(anonymized, (by_page + 0.1) * shown, 0.0) if rest >= 0 else ideal, ideal, shown):
        if weights.sum() > 0:
            ideal = ideal + rest * weights / weights.sum()
            break
    sum_top_position = rounded(np.maximum(ideal, 0.0), day_sum)
    below = np.rint(by_page * (facts.impressions - shown)).astype(np.int64)
    return replace(facts, sum_position=sum_top_position + below, sum_top_position=sum_top_position)
