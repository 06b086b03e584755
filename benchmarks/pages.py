"""Answers of the API, encoded once and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.property import DIMENSIONS, MadeUpProperty, grouped

FRESH_DAYS = 2
"""How many of the newest days are incomplete."""


class NotServedError(Exception):
    """There is no answer to the request. The message says which there are."""


@dataclass(frozen=True, slots=True)
class Page:
    """The body of one answer, and how many rows it has."""

    body: bytes
    rows: int


class Request(msgspec.Struct, frozen=True):
    """The fields of a search analytics request that matter here."""

    startDate: date
    endDate: date
    type: str = "web"
    dimensions: tuple[str, ...] = ()
    rowLimit: int = 1000
    startRow: int = 0


class Pages:
    """The answers about a property. `today` is the Pacific day; every day before it has data."""

    def __init__(self, made_up: MadeUpProperty, today: date) -> None:
        self._property = made_up
        self._today = today
        self.page = cache(self._page)
        self._day_rows = cache(self._encoded)

    def _page(self, request: Request) -> Page:
        """The answer to a request. Raises NotServedError if there is none."""
        rows, more = self._answer(request)
        rows = rows[request.startRow : request.startRow + request.rowLimit]
        body = b"".join(
            [
                b'{"rows":[' if rows else b"{",
                ",".join(rows).encode(),
                b"]," if rows else b"",
                b'"responseAggregationType":"',
                b"byPage" if "page" in request.dimensions else b"byProperty",
                b'"',
                more,
                b"}",
            ]
        )
        return Page(body, len(rows))

    def _answer(self, request: Request) -> tuple[list[str], bytes]:
        if request.type.lower() != "web":
            return [], b""
        days = self._days(request.startDate, request.endDate)
        unknown = set(request.dimensions) - {"date", *DIMENSIONS}
        if unknown:
            raise NotServedError(f"no answers by {', '.join(sorted(unknown))} here")
        if request.dimensions == ("date",):
            return [self._probe_row(day) for day in days], self._metadata(request.endDate)
        if "date" not in request.dimensions:
            if request.startDate != request.endDate:
                raise NotServedError("several days only grouped by date here")
            return (
                list(self._day_rows(request.dimensions, days[0].toordinal() % 7, None)) if days else []
            ), b""
        rows = (self._day_rows(request.dimensions, day.toordinal() % 7, day) for day in days)
        return [row for of_day in rows for row in of_day], b""

    def _days(self, first: date, last: date) -> list[date]:
        last = min(last, self._today - timedelta(days=1))
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]

    def _probe_row(self, day: date) -> str:
        clicks, impressions, position = self._property.totals(day)
        numbers = {"clicks": float(clicks), "impressions": float(impressions), "ctr": clicks / impressions}
        return json.dumps({"keys": [str(day)], **numbers, "position": position}, separators=(",", ":"))

    def _metadata(self, last: date) -> bytes:
        first_incomplete = self._today - timedelta(days=FRESH_DAYS)
        if last < first_incomplete:
            return b""
        return b',"metadata":{"first_incomplete_date":"%s"}' % str(first_incomplete).encode()

    def _encoded(self, dimensions: Sequence[str], weekday: int, day: date | None) -> list[str]:
        """A day's rows as JSON; `day` is None if it is not one of the keys."""
        rows = grouped(self._property.day(day or date.fromordinal(7 + weekday)), dimensions)
        clicks, impressions = (rows[name].to_numpy().astype(np.float64) for name in ("clicks", "impressions"))
        position = rows["sum_position"].to_numpy() / impressions + 1
        pieces: list[Any] = ['{"keys":["']
        for i, dimension in enumerate(dimensions):
            pieces.append('","' if i else "")
            pieces.append(str(day) if dimension == "date" else self._escaped(dimension).take(rows[dimension]))
        pieces += ['"],"clicks":', _text(clicks), ".0,", '"impressions":', _text(impressions), ".0,"]
        pieces += ['"ctr":', _text(clicks / impressions), ',"position":', _text(position), "}"]
        joined: list[str] = pc.binary_join_element_wise(*pieces, "").to_pylist()
        return joined

    def _escaped(self, dimension: str) -> pa.Array:
        return pa.array(
            [json.dumps(str(name), ensure_ascii=False)[1:-1] for name in self._property.names(dimension)]
        )


def _text(numbers: np.ndarray) -> pa.Array:
    """Numbers as JSON: integers without a point, others with all their digits."""
    return pc.cast(pa.array(numbers), pa.string())
