"""The made-up rows of a property: one week of days, whose grains add up as Search Console's do.

Belongs here: names, numbers, and how a grain is made of them. Does not: how they look on the wire (`pages`).
A day's rows are those of its weekday, so that a year of history costs a week's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

WEEK = 7
DIMENSIONS = ("page", "query", "country", "device")
SUMS = ("clicks", "impressions", "sum_position")
DEVICES = ("MOBILE", "DESKTOP", "TABLET")
_COUNTRIES = (
    "usa gbr can aus ind deu fra nld esp ita bra mex irl nzl zaf swe nor dnk fin pol aut che bel prt jpn kor"
    " sgp phl mys idn tha vnm tur grc rou hun cze ukr arg chl col per isr are sau egy nga ken pak bgd"
    " lka hkg twn svk svn hrv bgr srb ltu lva est isl lux mlt cyp zzz"
)
COUNTRIES = tuple(_COUNTRIES.split())
_SYLLABLE_TEXT = (
    "ba be bri ca cha co cre da de do dra el en fa fi flo ga gen go gra ha hi in ja ka ki la le li lo lu"
    " ma me mi mo na ne no on or pa pe pi pla po qua ra re ri ro sa se shi so sta ta te ti to tra ul un"
    " va ve vi wa we wi xe ya yo za zi"
)
_SYLLABLES = tuple(_SYLLABLE_TEXT.split())


@dataclass(frozen=True, slots=True)
class Day:
    """One day's grains: what has a query, and the true totals, each counted by page and by property."""

    page_queries: pa.Table
    page_totals: pa.Table
    property_queries: pa.Table
    property_totals: pa.Table


class MadeUpProperty:
    """A property with `rows` rows a day by page, query, country and device.

    The same arguments make the same rows, in every process.
    """

    def __init__(self, rows: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.rows = rows
        self._seed = seed
        words = _words(rng, 4_000)
        self._names = {
            "page": _pages(rng, words, max(rows // 25, 8)),
            "query": _queries(rng, words, max(rows // 2, 20)),
            "country": np.array(COUNTRIES, object),
            "device": np.array(DEVICES, object),
        }
        self._days = [self._day(number) for number in range(WEEK)]

    def day(self, day: date) -> Day:
        """The grains of a calendar day. Keys are numbers: `name` spells them."""
        return self._days[day.toordinal() % WEEK]

    def names(self, dimension: str) -> Sequence[str]:
        """How a dimension's keys are spelled, by their numbers."""
        return self._names[dimension]

    def totals(self, day: date) -> tuple[int, int, float]:
        """The day's clicks, impressions and average position, counted by property."""
        clicks, impressions, sum_position = (
            int(np.sum(self.day(day).property_totals[name].to_numpy())) for name in SUMS
        )
        return clicks, impressions, sum_position / impressions + 1

    def _day(self, number: int) -> Day:
        rng = np.random.default_rng((self._seed, number))
        page_queries = self._page_queries(rng)
        page_totals = _with_anonymised(rng, page_queries, ("page", "country", "device"))
        property_queries = summed(page_queries, ("query", "country", "device"))
        property_totals = _with_anonymised(rng, property_queries, ("country", "device"))
        return Day(page_queries, page_totals, property_queries, property_totals)

    def _page_queries(self, rng: np.random.Generator) -> pa.Table:
        sizes = [len(self._names[name]) for name in DIMENSIONS]
        drawn = 3 * self.rows + 100
        query = _drawn(rng, sizes[1], drawn, 0.6)
        # Nearly every query leads to a page of its own; some show another beside it.
        page = np.where(rng.random(drawn) < 0.93, query % sizes[0], _drawn(rng, sizes[0], drawn, 0.8))
        country, device = _drawn(rng, sizes[2], drawn, 2.8), rng.choice(3, drawn, p=(0.62, 0.34, 0.04))
        keys = np.unique(np.ravel_multi_index((page, query, country, device), sizes))
        keys = np.concatenate([keys, _unused(keys, self.rows - len(keys))])
        keys = rng.permutation(keys)[: self.rows]
        columns: dict[str, Any] = dict(zip(DIMENSIONS, np.unravel_index(keys, sizes), strict=True))
        impressions = 1 + rng.geometric(0.25, self.rows) * rng.pareto(1.6, self.rows)
        impressions = np.minimum(impressions, 200_000).astype(np.int64)
        position = 1 + rng.gamma(1.6, 7.0, self.rows)
        clicks = rng.binomial(impressions, np.minimum(0.3, 0.35 / position))
        sums = np.round(impressions * (position - 1)).astype(np.int64)
        return pa.table({**columns, "clicks": clicks, "impressions": impressions, "sum_position": sums})


def grain(day: Day, dimensions: Sequence[str]) -> pa.Table:
    """The day grouped by `dimensions` (of DIMENSIONS), most clicks first, with the sums of `SUMS`."""
    if "page" in dimensions:
        source = day.page_queries if "query" in dimensions else day.page_totals
    else:
        source = day.property_queries if "query" in dimensions else day.property_totals
    keys = [name for name in DIMENSIONS if name in dimensions]
    return summed(source, keys).sort_by([("clicks", "descending")])


def summed(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The rows grouped by `keys`, each key once; one row where there are none."""
    groups = rows.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in SUMS])
    return groups.rename_columns([*keys, *SUMS])


def _with_anonymised(rng: np.random.Generator, named: pa.Table, keys: Sequence[str]) -> pa.Table:
    """True totals: what the named rows sum to, and for most keys what is left out of them."""
    totals = summed(named, keys)
    hidden = rng.poisson(0.5 * totals["impressions"].to_numpy())
    clicks = rng.binomial(hidden, 0.03)
    beyond = {
        "clicks": clicks,
        "impressions": hidden,
        "sum_position": hidden * rng.integers(3, 40, len(hidden)),
    }
    columns = {name: totals[name].to_numpy() + more for name, more in beyond.items()}
    return pa.table({**{key: totals[key] for key in keys}, **columns})


def _drawn(rng: np.random.Generator, size: int, count: int, skew: float) -> np.ndarray:
    """Numbers below `size`, small ones more often, as ranks of popularity are."""
    weights = 1 / np.arange(1, size + 1) ** skew
    return np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(count)).clip(max=size - 1)


def _unused(keys: np.ndarray, count: int) -> np.ndarray:
    """Some keys that are not among `keys`, should too few different ones have been drawn."""
    return np.setdiff1d(np.arange(len(keys) + max(count, 0)), keys)[: max(count, 0)]


def _words(rng: np.random.Generator, count: int) -> np.ndarray:
    syllables = np.array(_SYLLABLES, object)
    parts = [syllables[rng.integers(0, len(syllables), count)] for _ in range(4)]
    parts[2] = np.where(rng.random(count) < 0.6, parts[2], "")
    parts[3] = np.where(rng.random(count) < 0.2, parts[3], "")
    return parts[0] + parts[1] + parts[2] + parts[3]


def _pages(rng: np.random.Generator, words: np.ndarray, count: int) -> np.ndarray:
    """Addresses as shops and magazines have them, each once."""
    folders = np.array(["blog", "products", "collections", "guides", "help", "pages"], object)
    folder = folders[rng.integers(0, len(folders), count)]
    slug = [words[rng.integers(0, len(words), count)] for _ in range(4)]
    number = np.arange(count).astype(str).astype(object)
    host = "https://www.example.com/"
    return host + folder + "/" + slug[0] + "-" + slug[1] + "-" + slug[2] + "-" + slug[3] + "-" + number


def _queries(rng: np.random.Generator, words: np.ndarray, count: int) -> np.ndarray:
    """Two to five words, each query once; some in quotation marks, some with letters beyond ASCII."""
    drawn = [words[rng.integers(0, len(words), count)] for _ in range(5)]
    length = rng.integers(2, 6, count)
    text = drawn[0] + " " + drawn[1]
    for n in (2, 3, 4):
        text = np.where(length > n, text + " " + drawn[n], text)
    kind = rng.random(count)
    text = np.where(kind < 0.04, text + " für", text)
    text = np.where(kind > 0.995, '"' + text + '"', text)
    _, first = np.unique(text.astype(str), return_index=True)
    again = np.ones(count, bool)
    again[first] = False
    return np.where(again, text + " " + np.arange(count).astype(str).astype(object), text)
