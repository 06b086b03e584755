"""The cells of a large site: Zipf-like in queries, pages, folders, countries and devices.

All columns are arrays; only the texts of queries and pages are objects.
"""

from __future__ import annotations

import numpy as np

from gsc_pipeline.simulator.appearances import DRAWN, random_appearances
from gsc_pipeline.simulator.facts import ANONYMIZED, Codes, Counts, Labels, Reals, texts
from gsc_pipeline.simulator.hashing import hashed, seed_of, uniform
from gsc_pipeline.simulator.synthetic import wording
from gsc_pipeline.simulator.synthetic.cells import COUNTRIES, DEVICES, Cells, factor_for
from gsc_pipeline.simulator.synthetic.curves import STEADY

_MORE_COUNTRIES = (
    "arg chl col per nor dnk fin cze hun rou grc tur ukr rus isr are sau egy nga ken mar tun dza gha eth"
    " pak bgd lka npl idn tha vnm phl mys hkg twn chn khm svk svn hrv srb bgr ltu lva est isl lux mlt cyp"
    " geo arm aze kaz uzb cri pan gtm hnd slv nic dom jam tto ecu bol pry ury ven uga tza zmb zwe bwa nam"
    " mus qat kwt omn bhr jor lbn irq alb mkd bih mda blr mng"
)
ALL_COUNTRIES = (*COUNTRIES[:-1], *_MORE_COUNTRIES.split(), COUNTRIES[-1])

_DEVICE_WEIGHTS = np.array([0.36, 0.61, 0.03])
_FOLDERS = 40
_WITHOUT_FOLDER = 0.02
_SECOND_PAGE = 0.06
"""The share of a query's searches that show a second page."""

_DRAWS_A_ROW = 3
_ANONYMIZED_DRAWS = 0.5
_ANONYMIZED_SHARE = 0.7


def make_large_cells(site_url: str, rows_a_day: int) -> Cells:
    """The cells of a site with about `rows_a_day` rows by query, page, country and device a day.

    Each cell is a draw of query, page, country and device, and equal draws are one cell with a higher rate.
    """
    seed = seed_of(site_url, "large")
    brand = max(5, rows_a_day // 2_000)
    queries = [
        *wording.brand_queries(site_url, brand),
        *wording.other_queries(max(50, rows_a_day // 2) - brand),
    ]
    number = max(40, int(6 * rows_a_day**0.5))
    folder = _zipf(_FOLDERS, 1.0, uniform(seed, 1, np.arange(number)))
    folder[uniform(seed, 2, np.arange(number)) < _WITHOUT_FOLDER] = -1
    pages = wording.large_pages(site_url, folder.tolist())

    named = _named_draws(seed, _DRAWS_A_ROW * rows_a_day, len(queries), len(pages))
    anonymized = _anonymized_draws(seed, int(_ANONYMIZED_DRAWS * rows_a_day), len(queries), len(pages))
    cell, times = np.unique(np.concatenate([named, anonymized]), return_counts=True)
    # Sorted by page, as the clicks of synthetic properties need it.
    unpacked = _unpacked(cell, len(queries) + 1)
    page, query, country, device = (codes.astype(np.int32) for codes in unpacked)
    query -= 1
    is_named = query != ANONYMIZED
    rate = times**1.2 * (1 - uniform(seed, 3, cell)) ** -0.6
    rate[is_named] *= factor_for(rate[is_named], rows_a_day, 40)
    rate[~is_named] *= _ANONYMIZED_SHARE * rate[is_named].sum() / max(1.0, rate[~is_named].sum())

    is_second = is_named & (page != _first_page(seed, query, len(pages)))
    position = np.where(is_named, 59 * uniform(seed, 4, query) ** 1.3, 9 + 25 * uniform(seed, 5, page))
    position[is_named & (query < brand)] = 0.0
    ctr = np.where(is_named, 0.36 * (position + 1) ** -1.1, 0.06) * (
        0.6 + 0.8 * uniform(seed, 6, query, page)
    )
    ctr[is_second] = 0.0
    top_share = np.where(is_named, 1.0, 0.85)
    top_share[is_second] = 0.1
    return Cells(
        labels=Labels(
            texts(queries),
            texts(pages),
            texts(ALL_COUNTRIES),
            texts(DEVICES),
            texts([appearance.name for appearance in DRAWN]),
        ),
        query=query,
        page=page,
        country=country,
        device=device,
        appearance=random_appearances(DRAWN, query, page, country, seed),
        curve=np.full(len(cell), STEADY, dtype=np.int32),
        rate=rate,
        ctr=ctr,
        position=position + is_second,
        top_share=top_share,
    )


def _named_draws(seed: int, draws: int, queries: int, pages: int) -> Counts:
    draw = np.arange(draws)
    query = _zipf(queries, 1.0, uniform(seed, 10, draw))
    page = _first_page(seed, query, pages)
    shows_second = uniform(seed, 11, draw) < _SECOND_PAGE
    step = 1 + (hashed(seed, 12, query) % np.uint64(pages - 1)).astype(np.int64)
    page = np.where(shows_second, (page + step) % pages, page)
    return _packed(page, query + 1, *_places(seed + 1, draw), queries + 1)


def _anonymized_draws(seed: int, draws: int, queries: int, pages: int) -> Counts:
    draw = np.arange(draws)
    page = _zipf(pages, 1.0, uniform(seed, 13, draw))
    return _packed(page, np.zeros(draws, dtype=np.int64), *_places(seed + 2, draw), queries + 1)


def _places(seed: int, draw: Counts) -> tuple[Counts, Counts]:
    """The country and the device of each draw."""
    edges = np.cumsum(_DEVICE_WEIGHTS)[:-1]
    device = np.searchsorted(edges, uniform(seed, 14, draw), side="right")
    return _zipf(len(ALL_COUNTRIES), 1.2, uniform(seed, 15, draw)), device


def _first_page(seed: int, query: Counts | Codes, pages: int) -> Counts:
    return _zipf(pages, 1.0, uniform(seed, 16, query))


def _zipf(size: int, exponent: float, chances: Reals) -> Counts:
    """Numbers below `size`, of which the n-th is drawn in proportion to (n + 1) to the power -exponent."""
    edges = np.cumsum(np.arange(1, size + 1) ** -exponent)
    return np.searchsorted(edges[:-1] / edges[-1], chances, side="right")


def _packed(page: Counts, query: Counts, country: Counts, device: Counts, queries: int) -> Counts:
    return ((page * queries + query) * len(ALL_COUNTRIES) + country) * len(DEVICES) + device


def _unpacked(cell: Counts, queries: int) -> tuple[Counts, Counts, Counts, Counts]:
    rest, device = np.divmod(cell, len(DEVICES))
    rest, country = np.divmod(rest, len(ALL_COUNTRIES))
    page, query = np.divmod(rest, queries)
    return page, query, country, device
