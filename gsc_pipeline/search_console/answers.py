"""Answers of the API decoded straight into Arrow columns.

Belongs here: what the wire's JSON means. Does not: what the numbers mean for a table (`sync.grains`).
Wire rules: no `rows` key when empty, `keys` absent without dimensions, `position` absent for feeds (and
never read as 0 or 1), the first incomplete date and hour in either of their two spellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa

from gsc_pipeline.search_console.errors import ServiceUnavailableError

METRICS = (
    pa.field("clicks", pa.int64(), nullable=False),
    pa.field("impressions", pa.int64(), nullable=False),
    pa.field("position", pa.float64()),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One page of an answer.

    `rows` has one text column per dimension, as on the wire, then clicks and impressions (int64) and
    position (float64: average, one-based, weighted by impressions; null where the API gives none).
    `first_incomplete_hour` is an aware moment, given for answers by hour.
    """

    rows: pa.Table
    first_incomplete_date: date | None = None
    first_incomplete_hour: datetime | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A property the credential can see, with the credential's permission level there."""

    site_url: str
    permission_level: str

    @property
    def is_readable(self) -> bool:
        """Unverified users see the property in the list, and none of its data."""
        return self.permission_level != "siteUnverifiedUser"


class _Row(msgspec.Struct, gc=False):
    clicks: float
    impressions: float
    keys: tuple[str, ...] = ()
    position: float | None = None


AwareMoment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Metadata(msgspec.Struct):
    # The guide and the discovery document spell it differently.
    first_incomplete_date: date | None = None
    firstIncompleteDate: date | None = None
    first_incomplete_hour: AwareMoment | None = None
    firstIncompleteHour: AwareMoment | None = None


class _Answer(msgspec.Struct):
    rows: list[_Row] = []
    metadata: _Metadata | None = None


class _SiteEntry(msgspec.Struct):
    siteUrl: str
    permissionLevel: str


class _Sites(msgspec.Struct):
    siteEntry: list[_SiteEntry] = []


_ANSWER = msgspec.json.Decoder(_Answer)
_SITES = msgspec.json.Decoder(_Sites)


def decode_answer(body: bytes, dimensions: Sequence[str]) -> Answer:
    """Decode the body of a searchAnalytics answer grouped by `dimensions`.

    Raises ServiceUnavailableError where the body is cut short or is not such an answer.
    """
    try:
        answer = _ANSWER.decode(body)
        rows = _columns(answer.rows, dimensions)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise ServiceUnavailableError(f"the answer could not be read ({error}; {len(body)} bytes)") from None
    metadata = answer.metadata or _Metadata()
    return Answer(
        rows,
        metadata.first_incomplete_date or metadata.firstIncompleteDate,
        metadata.first_incomplete_hour or metadata.firstIncompleteHour,
    )


def decode_sites(body: bytes) -> list[Site]:
    """Decode the body of a sites.list answer. Raises ServiceUnavailableError where it is no such answer."""
    try:
        sites = _SITES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceUnavailableError(f"the list of properties could not be read ({error})") from None
    return [Site(entry.siteUrl, entry.permissionLevel) for entry in sites.siteEntry]


def empty_rows(dimensions: Sequence[str]) -> pa.Table:
    """No rows, in the shape of an answer grouped by `dimensions`."""
    return _schema(dimensions).empty_table()


def _columns(rows: list[_Row], dimensions: Sequence[str]) -> pa.Table:
    if not rows:
        return empty_rows(dimensions)
    keys = list(zip(*(row.keys for row in rows), strict=True)) if dimensions else []
    if len(keys) != len(dimensions):
        raise ValueError(f"rows have {len(keys)} keys, {len(dimensions)} were asked for")
    arrays = [pa.array(column, pa.string()) for column in keys]
    arrays.append(_whole_numbers([row.clicks for row in rows]))
    arrays.append(_whole_numbers([row.impressions for row in rows]))
    arrays.append(pa.array([row.position for row in rows], pa.float64()))
    return pa.table(arrays, schema=_schema(dimensions))


def _schema(dimensions: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in dimensions] + list(METRICS))


def _whole_numbers(values: list[float]) -> pa.Array:
    """The wire writes counts as 12.0. Raises ValueError (of Arrow) for 12.5."""
    return pa.array(np.array(values, np.float64)).cast(pa.int64())
