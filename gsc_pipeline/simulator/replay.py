"""A property that repeats an export: daily facts whose sums are the numbers of the exported files.

Belongs here: turning five lists of sums into one joint distribution by day. Does not: reading the files
(`export_files`), whole-number tables (`apportion`), joining dimensions within a day (`coupling`).

An export tells sums by day, query, page, country and device, each alone. The replay is one of the many
histories with those sums:

- Clicks, impressions and position of each day are those of Dates, exactly.
- Countries and devices are scaled to the total of Dates where they disagree with it, and then exact.
- Queries are exact, unless they sum to more than Dates: then they are scaled down to it. What they lack
  is anonymised.
- Pages are exact. They count on another basis, a search that shows three pages being one impression of
  the property and three of pages, so they may exceed Dates: the excess are facts of pages alone. When
  they fall short of Dates, the rest belongs to one made-up page of the host, `/other-pages`.
- Search appearances are met about, not exactly, by impressions alone: a fact has one or has it not.
- A named query's rows have its own position, the anonymised ones take what makes the day's total right,
  in proportion to their pages' positions. The excess of pages has the page's position.

Units (single impressions) are split into clicked and unclicked ones, and those of the property from
those of pages alone. Each of the four kinds is spread over days and labels by itself, so clicks never
exceed impressions, nor the property its pages.
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
from gsc_pipeline.simulator.affinity import likely_pages
from gsc_pipeline.simulator.appearances import marked
from gsc_pipeline.simulator.apportion import apportioned, rounded, table
from gsc_pipeline.simulator.coupling import Rows, coupled
from gsc_pipeline.simulator.export_files import Export, Listing, read_export
from gsc_pipeline.simulator.facts import ANONYMIZED, Counts, Facts, Labels, Places, Reals, texts
from gsc_pipeline.simulator.hashing import seed_of, uniform

_SPLIT = 0.25
"""How many of the queries lead to two pages of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """Units of one kind: (day, label) tables, all with the same sums by day.

    Only `strand` sums to less: what it lacks is anonymised.
    """

    strand: Counts
    page: Counts
    country: Counts
    device: Counts


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Everything a day's facts are made of.

    A strand is the part of a query that leads to one page; `page_beside` is another page that its
    searches show, where the excess of pages goes. Positions are zero-based; `sum_position` is the
    property's, by day. `appearance_share` is the part of all facts that has each search appearance.
    """

    labels: Labels
    query_of_strand: Places
    page_of_strand: Places
    page_beside: Places
    clicked: _Units
    unclicked: _Units
    clicked_excess: _Units
    unclicked_excess: _Units
    query_position: Reals
    page_position: Reals
    appearance_share: Reals
    sum_position: Counts


class ReplayedProperty:
    """The property of an export, `sc-domain:` and the host of its pages, day by day.

    `until` moves the days by whole weeks, so that weekdays stay what they were: the last day becomes the
    latest of its weekday that is not after `until`. `pieces` bounds the number of rows: into how many
    chunks a day's countries and devices are cut. Only web search is replayed.
    """

    def __init__(
        self,
        export: Export,
        *,
        until: date | None = None,
        readers: Iterable[str] | None = None,
        permission_level: str = "siteOwner",
        pieces: int = 300,
    ) -> None:
        self.site_url = f"sc-domain:{_host(export.pages).removeprefix('www.')}"
        self.readers = None if readers is None else frozenset(readers)
        self.permission_level = permission_level
        self._pieces = pieces
        self._seed = seed_of(self.site_url, "replay")
        self._plan = _planned(export, self._seed)
        weeks = 0 if until is None else (until - export.days[-1]).days // 7
        self._place = {day + weeks * 7 * ONE_DAY: place for place, day in enumerate(export.days)}

    @classmethod
    def from_export(
        cls,
        directory: Path,
        *,
        until: date | None = None,
        readers: Iterable[str] | None = None,
        permission_level: str = "siteOwner",
        pieces: int = 300,
    ) -> Self:
        """The property of the export in `directory`; raises `ExportError` when it cannot be used."""
        return cls(
            read_export(directory),
            until=until,
            readers=readers,
            permission_level=permission_level,
            pieces=pieces,
        )

    def __repr__(self) -> str:
        return f"ReplayedProperty({self.site_url!r}, {Window.inclusive(min(self._place), max(self._place))})"

    def days_shown(self, today: date) -> Window | None:
        """The days of the export, as far as they have begun; they do not age out after 16 months."""
        first, last = min(self._place), min(max(self._place), today)
        return Window.inclusive(first, last) if first <= last else None

    def facts(self, search_type: str, day: date) -> Facts | None:
        """The day's final numbers; None for a day outside the export, without data, or not of web."""
        if search_type != "web" or day not in self._place:
            return None
        plan, place = self._plan, self._place[day]
        kinds = (plan.clicked, plan.unclicked, plan.clicked_excess, plan.unclicked_excess)
        rows = [
            coupled(
                units.strand[place],
                units.page[place],
                units.country[place],
                units.device[place],
                page_of_query=plan.page_of_strand if kind < 2 else plan.page_beside,
                pieces=self._pieces,
                seed=self._seed + 8 * place + 2 * kind,
            )
            for kind, units in enumerate(kinds)
        ]
        facts = _merged(day, plan, rows)
        facts = replace(facts, appearance=marked(facts, plan.appearance_share, self._seed))
        return _with_positions(facts, plan, int(plan.sum_position[place])) if len(facts) else None


def _planned(export: Export, seed: int) -> _Plan:
    dates, queries, pages = export.dates, export.queries, export.pages
    countries = export.countries if len(export.countries) else _only("zzz")
    devices = export.devices if len(export.devices) else _only("DESKTOP")
    kinds = ("clicks", "unclicked")
    totals = [int(_counts(dates, kind).sum()) for kind in kinds]
    named = [_at_most(total, _counts(queries, kind)) for kind, total in zip(kinds, totals, strict=True)]
    shown = [_at_least(total, _counts(pages, kind)) for kind, total in zip(kinds, totals, strict=True)]
    own = [apportioned(total, counts) for counts, total in zip(shown, totals, strict=True)]
    page_labels = [*pages.labels, _spare_page(pages)]
    favourite = likely_pages(queries.labels, np.stack(named, axis=1), page_labels, np.stack(own, axis=1))
    split = np.flatnonzero(uniform(seed, np.arange(len(queries))) < _SPLIT)
    strands = [_stranded(counts, split) for counts in named]

    def units(kind: int, *, excess: bool) -> _Units:
        days = _counts(dates, kinds[kind])
        told = np.append(strands[kind], max(totals[kind] - strands[kind].sum(), not totals[kind]))
        page = shown[kind] - own[kind] if excess else own[kind]
        total = int(page.sum())
        tables = (
            table(apportioned(total, days), apportioned(total, columns), seed + 10 * kind + dimension)
            for dimension, columns in enumerate(
                (told, page, _counts(countries, kinds[kind]), _counts(devices, kinds[kind]))
            )
        )
        strand, *others = tables
        return _Units(strand[:, :-1], *others)

    return _Plan(
        labels=Labels(
            query=texts(queries.labels),
            page=texts(page_labels),
            country=texts(countries.labels),
            device=texts(devices.labels),
            appearance=texts(export.appearances.labels),
        ),
        # The last ones are what the code of anonymised units, -1, points to.
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
        appearance_share=export.appearances.impressions / max(1, sum(int(kind.sum()) for kind in shown)),
        sum_position=np.rint(_zero_based(dates) * dates.impressions).astype(np.int64),
    )


def _counts(listing: Listing, kind: str) -> Counts:
    return listing.clicks if kind == "clicks" else listing.impressions - listing.clicks


def _at_most(total: int, counts: Counts) -> Counts:
    return counts if counts.sum() <= total else apportioned(total, counts)


def _stranded(counts: Counts, split: Places) -> Counts:
    """`counts` by strand: a part of each query in `split` comes last, as a strand of its own."""
    second = counts[split] * 3 // 10
    first = counts.copy()
    first[split] -= second
    return np.append(first, second)


def _at_least(total: int, counts: Counts) -> Counts:
    """`counts` and one more for what they lack."""
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
    """A page of the host that the export does not list."""
    spare = f"https://{_host(pages)}/other-pages"
    while spare in pages.labels:
        spare += "-"
    return spare


def _merged(day: date, plan: _Plan, kinds: list[Rows]) -> Facts:
    """One row for each combination that the four kinds of units meet in; positions are still 0."""
    labels = plan.labels
    codes = [
        np.concatenate([getattr(rows, name) for rows in kinds]).astype(np.int64)
        for name in ("query", "page", "country", "device")
    ]
    codes[0] = plan.query_of_strand[codes[0]]
    sizes = (len(labels.query) + 1, len(labels.page), len(labels.country), len(labels.device))
    combination, row = np.unique(np.ravel_multi_index([codes[0] + 1, *codes[1:]], sizes), return_inverse=True)
    kind = np.repeat(np.arange(len(kinds)), [len(rows.units) for rows in kinds])
    units = np.concatenate([rows.units for rows in kinds])
    clicked, unclicked, clicked_excess, unclicked_excess = (
        np.bincount(row, units * (kind == place), len(combination)).astype(np.int64)
        for place in range(len(kinds))
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
    """`facts` with positions whose sum for the property is `day_sum`."""
    anonymized = facts.query == ANONYMIZED
    shown = facts.top_impressions
    by_page = plan.page_position[facts.page]
    ideal = plan.query_position[facts.query] * shown
    rest = day_sum - ideal.sum()
    # What the named leave is for the anonymised; without these, or in excess, the named are scaled.
    for weights in (np.where(anonymized, (by_page + 0.1) * shown, 0.0) if rest >= 0 else ideal, ideal, shown):
        if weights.sum() > 0:
            ideal = ideal + rest * weights / weights.sum()
            break
    sum_top_position = rounded(np.maximum(ideal, 0.0), day_sum)
    below = np.rint(by_page * (facts.impressions - shown)).astype(np.int64)
    return replace(facts, sum_position=sum_top_position + below, sum_top_position=sum_top_position)
