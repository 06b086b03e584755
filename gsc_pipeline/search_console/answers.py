"""Answers of the API decoded straight into Arrow columns, without a Python object per row.

Belongs here: what the wire's JSON means. Does not: what the numbers mean for a table (`sync.grains`).
Arrow reads the JSON itself, outside Python's lock: 25,000 rows take half the CPU time that msgspec and
lists take (`benchmarks/`), and threads decode side by side. `rows` says what the rows must be.
Wire rules: no `rows` key when empty, `keys` absent without dimensions, `position` absent for feeds, the first
incomplete date and hour in either of their two spellings. Fields that are new to this project are ignored.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.json

from gsc_pipeline.search_console.errors import WrongAnswerError, printable
from gsc_pipeline.search_console.json_answers import AnswerObject, Text, decode_strictly
from gsc_pipeline.search_console.rows import METRICS, checked_rows, empty_rows
from gsc_pipeline.search_console.search_types import SearchType

log = logging.getLogger(__name__)

__all__ = ["METRICS", "Answer", "Site", "decode_answer", "decode_sites", "empty_rows"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One page of an answer.

    `rows` has one text column per dimension, as on the wire, then clicks and impressions (int64) and
    position (float64: average, one-based, weighted by impressions; null where the API gives none).
    `first_incomplete_hour` is an aware moment, given for answers by hour. `names_aggregation` tells whether
    the answer has a `responseAggregationType`; a bare one has neither that nor `rows`.
    """

    rows: pa.Table
    first_incomplete_date: date | None = None
    first_incomplete_hour: datetime | None = None
    names_aggregation: bool = True
    is_bare: bool = False


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
    siteUrl: Text
    permissionLevel: Text


class _Sites(AnswerObject):
    siteEntry: list[_SiteEntry] = msgspec.field(default_factory=list)


class _WithoutRows(AnswerObject):
    rows: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


LARGE_BYTES = 8_000_000
MOST_COMMAS = 2_000_000
"""An answer of more bytes and more commas than these is not read. A page of 25,000 rows has eight a row, and
those of its texts. A list of `{},` instead took twenty times its size in memory, and minutes."""

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
        "responseAggregationType": pa.string(),
        # Of the type that only null has, so that Arrow refuses an answer which holds an error beside rows.
        "error": pa.null(),
    }
)
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)
_SITES = msgspec.json.Decoder(_Sites)
_WITHOUT_ROWS = msgspec.json.Decoder(_WithoutRows)

_LEVELS = frozenset({"siteOwner", "siteFullUser", "siteRestrictedUser", "siteUnverifiedUser"})


def decode_answer(body: bytes, dimensions: Sequence[str], search_type: SearchType) -> Answer:
    """Decode the body of a searchAnalytics answer for `search_type`, grouped by `dimensions`.

    Raises ServiceUnavailableError where the body is no JSON or cut short, WrongAnswerError where it is no
    such answer or cannot be true.
    """
    if len(body) > LARGE_BYTES and body.count(b",") > MOST_COMMAS:
        raise WrongAnswerError(f"the answer has over {MOST_COMMAS:,} commas; {len(body)} bytes")
    try:
        rows, metadata, aggregation, _ = _read(body).flatten()
        incomplete = msgspec.convert(metadata[0].as_py() or {}, _Metadata)
        aggregation_type = aggregation[0].as_py()
    except (pa.ArrowException, msgspec.ValidationError, ValueError) as error:
        decode_strictly(_ANY_JSON, body, "the answer")
        cause = f"{printable(str(error), 200)}; {len(body)} bytes"
        raise WrongAnswerError(f"the answer could not be read ({cause})") from None
    found = rows.flatten()
    has_rows_key = True
    if len(found) == 0:
        # Arrow takes `null` for a list, and looks at nothing behind the object.
        has_rows_key = decode_strictly(_WITHOUT_ROWS, body, "the answer").rows is not msgspec.UNSET
    return Answer(
        checked_rows(found, dimensions, search_type) if len(found) else empty_rows(dimensions),
        incomplete.first_incomplete_date or incomplete.firstIncompleteDate,
        incomplete.first_incomplete_hour or incomplete.firstIncompleteHour,
        names_aggregation=bool(aggregation_type),
        is_bare=not has_rows_key and not aggregation_type,
    )


def decode_sites(body: bytes) -> list[Site]:
    """Decode the body of a sites.list answer.

    Raises ServiceUnavailableError where it is no JSON, WrongAnswerError where it is no such answer.
    """
    entries = decode_strictly(_SITES, body, "the list of properties").siteEntry
    urls = Counter(entry.siteUrl for entry in entries)
    twice = [url for url, times in urls.most_common(1) if times > 1]
    if twice:
        raise WrongAnswerError(f"the list of properties names {printable(twice[0], 100)} twice")
    for level in {entry.permissionLevel for entry in entries} - _LEVELS:
        _log_once(printable(level, 100))
    return [Site(entry.siteUrl, entry.permissionLevel) for entry in entries]


@lru_cache(64)
def _log_once(level: str) -> None:
    log.info("properties are listed with a permission level that is not known yet: %s", level)


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
