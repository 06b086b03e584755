"""Answers of the API decoded straight into Arrow columns, without a Python object per row.

Belongs here: what the wire's JSON means. Does not: what the numbers mean for a table (`sync.grains`).
Arrow reads the JSON itself, outside Python's lock: 25,000 rows take half the CPU time that msgspec and
lists take (`benchmarks/`), and threads decode side by side.
Wire rules: no `rows` key when empty, `keys` absent without dimensions, `position` absent for feeds (and
never read as 0 or 1), the first incomplete date and hour in either of their two spellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

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


AwareMoment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Metadata(msgspec.Struct):
    # The guide and the discovery document spell it differently.
    first_incomplete_date: date | None = None
    firstIncompleteDate: date | None = None
    first_incomplete_hour: AwareMoment | None = None
    firstIncompleteHour: AwareMoment | None = None


class _SiteEntry(msgspec.Struct):
    siteUrl: str
    permissionLevel: str


class _Sites(msgspec.Struct):
    siteEntry: list[_SiteEntry] = []


_ROW = pa.struct(
    {
        "keys": pa.list_(pa.string()),
        "clicks": pa.float64(),
        "impressions": pa.float64(),
        "position": pa.float64(),
    }
)
_ANSWER = pa.struct(
    {
        "rows": pa.list_(_ROW),
        "metadata": pa.struct(dict.fromkeys(_Metadata.__struct_fields__, pa.string())),
    }
)
_SITES = msgspec.json.Decoder(_Sites)


def decode_answer(body: bytes, dimensions: Sequence[str]) -> Answer:
    """Decode the body of a searchAnalytics answer grouped by `dimensions`.

    Raises ServiceUnavailableError where the body is cut short or is not such an answer.
    """
    try:
        rows, metadata = _read(body).flatten()
        columns = _columns(rows.flatten(), dimensions)
        incomplete = msgspec.convert(metadata[0].as_py() or {}, _Metadata)
    except (pa.ArrowException, msgspec.ValidationError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise ServiceUnavailableError(f"the answer could not be read ({cause}; {len(body)} bytes)") from None
    return Answer(
        columns,
        incomplete.first_incomplete_date or incomplete.firstIncompleteDate,
        incomplete.first_incomplete_hour or incomplete.firstIncompleteHour,
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


def _read(body: bytes) -> pa.StructArray:
    """The answer as an array of one. Raises ArrowInvalid or ValueError where it is no such JSON object."""
    # Wrapped, so that it is one document whatever the body is: Arrow crashes on a document that is null.
    document = b'{"answer":' + body + b"}"
    table = pyarrow.json.read_json(
        pa.BufferReader(document),
        # In one block, as it is one document; in this thread, as several answers are read side by side.
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(document) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=pa.schema({"answer": _ANSWER}),
            newlines_in_values=True,
            unexpected_field_behavior="ignore",
        ),
    )
    answers = table["answer"].combine_chunks()
    if len(answers) != 1 or answers.null_count:
        raise ValueError("not one JSON object")
    return answers


def _columns(rows: pa.StructArray, dimensions: Sequence[str]) -> pa.Table:
    keys, clicks, impressions, position = rows.flatten()
    lengths = pc.unique(pc.fill_null(pc.list_value_length(keys), 0)).to_pylist()
    wrong = [length for length in lengths if length != len(dimensions)]
    if wrong:
        raise ValueError(f"rows have {wrong[0]} keys, {len(dimensions)} were asked for")
    arrays = [
        *(pc.list_element(keys, i) for i in range(len(dimensions))),
        _whole_numbers(clicks),
        _whole_numbers(impressions),
        position,
    ]
    table = pa.table(arrays, schema=_schema(dimensions))
    missing = [f.name for f in table.schema if not f.nullable and table[f.name].null_count]
    if missing:
        raise ValueError(f"rows without {', '.join(missing)}")
    # Arrow takes any bytes for text until asked to look.
    table.validate(full=True)
    return table


def _schema(dimensions: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in dimensions] + list(METRICS))


def _whole_numbers(values: pa.Array) -> pa.Array:
    """The wire writes counts as 12.0. Raises ArrowInvalid for 12.5."""
    return values.cast(pa.int64())
