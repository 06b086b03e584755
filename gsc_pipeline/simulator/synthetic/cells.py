"""The part of a synthetic property that is the same every day: its cells.

A cell is a (query, page, country, device) with its rates. `curves` has how traffic changes over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from gsc_pipeline.simulator.appearances import DRAWN, random_appearances
from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Labels, Reals, SearchType, texts
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.synthetic import wording
from gsc_pipeline.simulator.synthetic.curves import DECLINING_CURVES, INTERMITTENT_CURVES, STEADY
from gsc_pipeline.simulator.synthetic.planted import PlantedFinding

COUNTRIES = (
    "usa", "gbr", "deu", "can", "fra", "ind", "aus", "nld", "esp", "ita", "bra", "mex", "jpn", "pol",
    "che", "aut", "swe", "bel", "irl", "zaf", "sgp", "nzl", "prt", "kor", "zzz",
)  # fmt: skip
DEVICES = ("DESKTOP", "MOBILE", "TABLET")

_COUNTRY_WEIGHTS = np.array([30.0, *(12.0 / (place + 1) for place in range(1, len(COUNTRIES)))])
_DEVICE_WEIGHTS = np.array([0.41, 0.55, 0.04])
_ANONYMIZED_SHARE = 0.65
_CANNIBALISED = 3
_STRIKING = 5
_CTR_GAPS = 2
_QUERIES_OF_DECAY = 3


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of one length, sorted by page. `rate` is impressions a day where the curve is 1.

    `position` is zero-based. `top_share` is the share of impressions that also count by property.
    """

    labels: Labels
    query: Codes
    page: Codes
    country: Codes
    device: Codes
    appearance: Counts
    curve: Codes
    rate: Reals
    ctr: Reals
    position: Reals
    top_share: Reals

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Queries and the pages they show, without countries and devices.

    `pieces` is the number of draws of country and device that the rate of a pair is spread over.
    """

    query: Codes
    page: Codes
    rate: Reals
    ctr: Reals
    position: Reals
    top_share: Reals
    curve: Codes
    pieces: Counts


def make_cells(
    site_url: str,
    search_type: SearchType,
    rows_a_day: int,
    *,
    with_plants: bool,
    hard_texts: bool = False,
) -> tuple[Cells, tuple[PlantedFinding, ...]]:
    """The cells of a property with about `rows_a_day` facts a day, and its planted findings.

    Planted findings add about 150 facts a day. `hard_texts` puts difficult queries and addresses among those
    with the most impressions.
    """
    seed = seed_of(site_url, search_type.name)
    queries = _query_texts(site_url, rows_a_day)
    pages = wording.pages(site_url, max(15, int(4 * rows_a_day**0.5)))
    if hard_texts:
        queries = _among_the_first(queries, wording.HARD_QUERIES)
        pages = _among_the_first(pages, wording.hard_pages(site_url))
    groups = [_background(seed, search_type, len(queries), len(pages), rows_a_day)]
    plants: tuple[PlantedFinding, ...] = ()
    if with_plants:
        planted, plants = _planted_pairs(site_url, queries, pages, rows_a_day)
        groups.append(_spread(seed + 1, planted, search_type))
    columns = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    appearances = DRAWN if search_type.has_query else ()
    columns["appearance"] = random_appearances(
        appearances, columns["query"], columns["page"], columns["country"], seed
    )
    by_page = np.argsort(columns["page"], kind="stable")
    labels = Labels(
        texts(queries),
        texts(pages),
        texts(COUNTRIES),
        texts(DEVICES if search_type.has_device else [""]),
        texts([appearance.name for appearance in appearances]),
    )
    return Cells(labels, **{name: column[by_page] for name, column in columns.items()}), plants


def _query_texts(site_url: str, rows_a_day: int) -> list[str]:
    number = max(30, int(0.6 * rows_a_day))
    brand = max(5, number // 50)
    return [*wording.brand_queries(site_url, brand), *wording.other_queries(number - brand)]


def _among_the_first(texts: list[str], others: Sequence[str]) -> list[str]:
    """The same number of texts, with `others` after the first one."""
    kept = [text for text in texts if text not in others]
    return [kept[0], *others, *kept[1:]][: len(texts)]


def _background(
    seed: int, search_type: SearchType, queries: int, pages: int, rows_a_day: int
) -> dict[str, np.ndarray]:
    named = _named_pairs(seed, queries, pages)
    if search_type.has_query:
        pairs = _joined(named, _second_pages(seed, named, pages), _anonymized_pairs(seed, named, rows_a_day))
    else:
        pairs = _anonymized_pairs(seed, named, 4 * rows_a_day)
    rates = _spread(seed, pairs, search_type)["rate"]
    # Cells cannot all have impressions every day, so the wanted number is below their number.
    scale = factor_for(rates, min(1.15 * rows_a_day, 0.6 * len(rates)), 60)
    return _spread(seed, _placed(seed, replace(pairs, rate=pairs.rate * scale)), search_type)


def _named_pairs(seed: int, queries: int, pages: int) -> _Pairs:
    query = np.arange(queries, dtype=np.int32)
    brand = query < max(5, queries // 50)
    rate = (query + 4.0) ** -1.15 * (0.5 + uniform(seed, 1, query))
    page = (pages * uniform(seed, 2, query) ** 2).astype(np.int32)
    page[brand & (uniform(seed, 3, query) < 0.8)] = 0
    return _Pairs(
        query,
        page,
        rate,
        ctr=np.where(brand, 1.3, 1.0) * (0.6 + 0.8 * uniform(seed, 4, query)),
        position=np.where(brand, 0.0, np.nan),
        top_share=np.ones(queries),
        curve=np.full(queries, STEADY, dtype=np.int32),
        pieces=np.clip(4 * (rate / rate.mean()) ** 0.6, 2, 60).astype(np.int64),
    )


def _second_pages(seed: int, named: _Pairs, pages: int) -> _Pairs:
    """A second page for three queries of ten, with impressions but no clicks.

    Without clicks, because a query whose clicks are split is a finding, and only planted findings may exist.
    """
    chosen = np.flatnonzero(uniform(seed, 5, named.query) < 0.3)
    step = 1 + (hashed(seed, 6, chosen) % np.uint64(pages - 1)).astype(np.int32)
    return _Pairs(
        named.query[chosen],
        (named.page[chosen] + step) % pages,
        named.rate[chosen] * 0.4,
        ctr=np.zeros(len(chosen)),
        position=named.position[chosen],
        top_share=np.full(len(chosen), 0.1),
        curve=named.curve[chosen],
        pieces=np.maximum(1, named.pieces[chosen] // 2),
    )


def _anonymized_pairs(seed: int, named: _Pairs, rows_a_day: int) -> _Pairs:
    share = np.bincount(named.page, named.rate)
    page = np.flatnonzero(share).astype(np.int32)
    share = share[page] / share.sum()
    return _Pairs(
        np.full(len(page), ANONYMIZED, dtype=np.int32),
        page,
        _ANONYMIZED_SHARE * named.rate.sum() * share,
        ctr=0.03 + 0.07 * uniform(seed, 7, page),
        position=9.0 + 25.0 * uniform(seed, 8, page),
        top_share=0.8 + 0.2 * uniform(seed, 9, page),
        curve=np.full(len(page), STEADY, dtype=np.int32),
        pieces=np.clip(0.5 * rows_a_day * share, 2, 400).astype(np.int64),
    )


def _placed(seed: int, pairs: _Pairs) -> _Pairs:
    """`pairs` with positions, and with the click-through rates of these positions.

    Queries with enough impressions to be found rank high or low, never from 4 to 20: striking distance is a
    finding, and only planted findings may exist. A second page ranks one position below the first.
    """
    ranks_high, depth = uniform(seed, 10, pairs.query) < 0.5, uniform(seed, 11, pairs.query)
    shown = np.bincount(pairs.query + 1, pairs.rate)[pairs.query + 1]
    matters = shown * 28 >= 40
    position = np.where(matters, np.where(ranks_high, 1.7 * depth, 24 + 45 * depth), 59 * depth)
    position = np.where(np.isnan(pairs.position), position, pairs.position) + (pairs.ctr == 0)
    by_position = np.where(pairs.query == ANONYMIZED, 1.0, 0.36 * (position + 1) ** -1.1)
    return replace(pairs, position=position, ctr=np.clip(pairs.ctr * by_position, 0, 0.6))


def _planted_pairs(
    site_url: str, queries: list[str], pages: list[str], rows_a_day: int
) -> tuple[_Pairs, tuple[PlantedFinding, ...]]:
    """The pairs of the planted findings, and the findings. Appends their texts to `queries` and `pages`."""
    size = max(1.0, rows_a_day / 2_000) ** 0.5
    plants: list[PlantedFinding] = []
    rows: list[tuple[int, int, float, float, float, int]] = []
    spare_queries = iter(wording.other_queries(len(queries) + 100)[len(queries) :])
    spare_pages = iter(wording.pages(site_url, len(pages) + 100)[len(pages) :])

    def new(text: str, known: list[str]) -> int:
        known.append(text)
        return len(known) - 1

    for curve in DECLINING_CURVES:
        page = new(next(spare_pages), pages)
        plants.append(PlantedFinding("decay", None, (pages[page],), curve))
        for place in range(_QUERIES_OF_DECAY):
            rows.append((new(next(spare_queries), queries), page, 24.0 / (place + 1), 0.3, 0.8, curve))
        rows.append((ANONYMIZED, page, 20.0, 0.2, 3.0, curve))
    for _ in range(_CANNIBALISED):
        query = new(next(spare_queries), queries)
        both = [new(next(spare_pages), pages) for _ in range(2)]
        plants.append(PlantedFinding("cannibalisation", queries[query], tuple(pages[page] for page in both)))
        rows += [(query, both[0], 26.0, 0.2, 1.2, STEADY), (query, both[1], 18.0, 0.2, 1.9, STEADY)]
    for place in range(_STRIKING):
        query, page = new(next(spare_queries), queries), 1 + place
        plants.append(PlantedFinding("striking_distance", queries[query], (pages[page],)))
        rows.append((query, page, 14.0 + 3 * place, 0.02, 5.5 + 1.8 * place, STEADY))
    for place in range(_CTR_GAPS):
        query, page = new(next(spare_queries), queries), 1 + _STRIKING + place
        plants.append(PlantedFinding("ctr_gap", queries[query], (pages[page],)))
        rows.append((query, page, 20.0 - 4 * place, 0.015, 1.0, STEADY))
    # On pages of their own at the end, so that the numbers of the other findings stay the same.
    query, page = new(next(spare_queries), queries), new(next(spare_pages), pages)
    plants.append(PlantedFinding("mild_ctr_gap", queries[query], (pages[page],)))
    rows.append((query, page, 24.0, 0.075, 1.0, STEADY))
    for curve in INTERMITTENT_CURVES:
        query, page = new(next(spare_queries), queries), new(next(spare_pages), pages)
        plants.append(PlantedFinding("intermittent", queries[query], (pages[page],), curve))
        rows.append((query, page, 12.0, 0.02, 30.0, curve))
    query_, page_, rate, ctr, position, curve_ = (np.array(column) for column in zip(*rows, strict=True))
    pairs = _Pairs(
        query_.astype(np.int32),
        page_.astype(np.int32),
        rate * size,
        ctr,
        position,
        np.ones(len(rows)),
        curve_.astype(np.int32),
        np.full(len(rows), 6),
    )
    return pairs, tuple(plants)


def _spread(seed: int, pairs: _Pairs, search_type: SearchType) -> dict[str, np.ndarray]:
    """The columns of cells: each pair spread over as many random (country, device) as it has pieces.

    Equal draws make one cell, so the cells of a pair with many pieces are weighted like all traffic.
    """
    pair = np.repeat(np.arange(len(pairs.query)), pairs.pieces)
    draw = np.arange(len(pair))
    country = _choices(_COUNTRY_WEIGHTS, uniform(seed, 12, draw))
    device = _choices(_DEVICE_WEIGHTS, uniform(seed, 13, draw))
    if not search_type.has_device:
        device[:] = 0
    key = (pair * len(COUNTRIES) + country) * len(DEVICES) + device
    cell, times = np.unique(key, return_counts=True)
    pair, rest = np.divmod(cell, len(COUNTRIES) * len(DEVICES))
    country, device = np.divmod(rest, len(DEVICES))
    return {
        "query": pairs.query[pair],
        "page": pairs.page[pair],
        "country": country.astype(np.int32),
        "device": device.astype(np.int32),
        "curve": pairs.curve[pair],
        "rate": pairs.rate[pair] * times / pairs.pieces[pair],
        "ctr": pairs.ctr[pair],
        "position": pairs.position[pair],
        "top_share": pairs.top_share[pair],
    }


def _choices(weights: Reals, chances: Reals) -> Counts:
    edges = np.cumsum(weights) / weights.sum()
    return np.searchsorted(edges[:-1], chances, side="right")


def factor_for(rates: Reals, wanted: float, halvings: int) -> float:
    """The factor for `rates` at which about `wanted` cells have impressions on a day, found by bisection."""
    low, high = -30.0, 30.0
    for _ in range(halvings):
        middle = (low + high) / 2
        if np.minimum(1.0, rates * 2.0**middle).sum() < wanted:
            low = middle
        else:
            high = middle
    return float(2.0**high)


def _joined(*groups: _Pairs) -> _Pairs:
    return _Pairs(*(np.concatenate([getattr(group, f.name) for group in groups]) for f in fields(_Pairs)))
