"""The rows of a made-up property: a week of days that repeats.

A day has the rows of its weekday, so that a year of history takes the memory of a week.
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
    """The rows of a day, counted by page and by property: those with a query, and the true totals."""

    page_queries: pa.Table
    page_totals: pa.Table
    property_queries: pa.Table
    property_totals: pa.Table


class MadeUpProperty:
    """A property with `rows` rows a day by page, query, country and device.

    The same arguments give the same rows in every process.
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
        """The rows of a calendar day. Keys are codes, which index `names`."""
        return self._days[day.toordinal() % WEEK]

    def names(self, dimension: str) -> Sequence[str]:
        """The texts of a dimension's codes."""
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
        # Nearly every query shows one page; some show another as well.
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


def grouped(day: Day, dimensions: Sequence[str]) -> pa.Table:
    """The sums of `SUMS` of the day by `dimensions` (of DIMENSIONS), most clicks first."""
    if "page" in dimensions:
        source = day.page_queries if "query" in dimensions else day.page_totals
    else:
        source = day.property_queries if "query" in dimensions else day.property_totals
    keys = [name for name in DIMENSIONS if name in dimensions]
    return summed(source, keys).sort_by([("clicks", "descending")])


def summed(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The sums of the rows by `keys`; one row if there are no keys."""
    groups = rows.group_by(list(keys), use_threads=False).aggregate([(name, "sum") for name in SUMS])
    return groups.rename_columns([*keys, *SUMS])


def _with_anonymised(rng: np.random.Generator, named: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The true totals: the sums of the named rows, plus anonymised impressions for most keys."""
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
    """Random codes below `size`, with small ones more often."""
    weights = 1 / np.arange(1, size + 1) ** skew
    return np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(count)).clip(max=size - 1)


def _unused(keys: np.ndarray, count: int) -> np.ndarray:
    """`count` keys that are not in `keys`; none if `count` is not positive."""
    return np.setdiff1d(np.arange(len(keys) + max(count, 0)), keys)[: max(count, 0)]


def _words(rng: np.random.Generator, count: int) -> np.ndarray:
    syllables = np.array(_SYLLABLES, object)
    parts = [syllables[rng.integers(0, len(syllables), count)] for _ in range(4)]
    parts[2] = np.where(rng.random(count) < 0.6, parts[2], "")
    parts[3] = np.where(rng.random(count) < 0.2, parts[3], "")
    return parts[0] + parts[1] + parts[2] + parts[3]


def _pages(rng: np.random.Generator, words: np.ndarray, count: int) -> np.ndarray:
    """Addresses like those of shops and magazines, all different."""
    folders = np.array(["blog", "products", "collections", "guides", "help", "pages"], object)
    folder = folders[rng.integers(0, len(folders), count)]
    slug = [words[rng.integers(0, len(words), count)] for _ in range(4)]
    number = np.arange(count).astype(str).astype(object)
    host = "https://www.example.com/"
    return host + folder + "/" + slug[0] + "-" + slug[1] + "-" + slug[2] + "-" + slug[3] + "-" + number


def _queries(rng: np.random.Generator, words: np.ndarray, count: int) -> np.ndarray:
    """Queries of two to five words, all different; some have quotation marks or letters beyond ASCII."""
    drawn = [words[rng.integers(0, len(words), count)] for _ in range(5)]
    length = rng.integers(2, 6, count)
    text = drawn[0] + " " + drawn[1]
    for n in (2, 3, 4):
        text = np.where(length > n, text + " " + drawn[n], text)
    chance = rng.random(count)
    text = np.where(chance < 0.04, text + " für", text)
    text = np.where(chance > 0.995, '"' + text + '"', text)
    _, first = np.unique(text.astype(str), return_index=True)
    again = np.ones(count, bool)
    again[first] = False
    return np.where(again, text + " " + np.arange(count).astype(str).astype(object), text)
