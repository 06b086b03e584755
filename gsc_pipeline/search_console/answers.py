"""Decodes the API's answers into Arrow columns, without a Python object per row.

Arrow parses the JSON itself, without the GIL: 25,000 rows take half the CPU time of msgspec and lists
(`benchmarks/`), and threads decode in parallel. In the API's JSON, `rows` is absent if there are none, `keys`
is absent without dimensions, `position` is absent for feeds, and the first incomplete date and hour have two
spellings. Unknown fields are ignored.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable
from gsc_pipeline.search_console.json_answers import (
    AnswerObject,
    Text,
    decode_strictly,
    with_half_pairs_as_text,
)
from gsc_pipeline.search_console.rows import checked_rows, empty_rows
from gsc_pipeline.search_console.search_types import SearchType

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One page of an answer.

    `rows` has one text column per dimension, as the API writes it, then clicks and impressions (int64) and
    position (float64: average, one-based, weighted by impressions; null if the API gives none).
    `first_incomplete_hour` has a time zone; only answers by hour have it. `names_aggregation`: the answer
    has a `responseAggregationType`. `is_bare`: it has neither that nor `rows`. `is_by_page`: it says that its
    rows are counted by page. `half_pair`: a text of `rows` that had half of a surrogate pair, as
    `with_half_pairs_as_text` writes it; "" without one.
    """

    rows: pa.Table
    first_incomplete_date: date | None = None
    first_incomplete_hour: datetime | None = None
    names_aggregation: bool = True
    is_bare: bool = False
    is_by_page: bool = False
    half_pair: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """A property that the credential can see, and its permission level there."""

    site_url: str
    permission_level: str

    @property
    def is_readable(self) -> bool:
        """Whether its data can be read. Unverified users only see the property in the list."""
        return self.permission_level != "siteUnverifiedUser"

    @property
    def permission(self) -> str:
        """The permission level as people know it from Search Console: owner, full, restricted, unverified."""
        return self.permission_level.removeprefix("site").removesuffix("User").lower()


_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Metadata(msgspec.Struct):
    # The API's guide and its discovery document spell these differently.
    first_incomplete_date: date | None = None
    firstIncompleteDate: date | None = None
    first_incomplete_hour: _Time | None = None
    firstIncompleteHour: _Time | None = None


class _SiteEntry(msgspec.Struct):
    siteUrl: Text
    permissionLevel: Text


class _Sites(AnswerObject):
    siteEntry: list[_SiteEntry] = msgspec.field(default_factory=list)


class _WithoutRows(AnswerObject):
    rows: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


LARGE_BYTES = 8_000_000
MOST_COMMAS = 2_000_000
"""An answer with more bytes and more commas is not parsed. A page of 25,000 rows has eight commas a row, and
those in its texts. Parsing a list of `{},` of this size took minutes and twenty times its size in memory."""

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
        # The null type, so that Arrow refuses an answer with both rows and an error.
        "error": pa.null(),
    }
)
_ANY_JSON = msgspec.json.Decoder(msgspec.Raw)
_SITES = msgspec.json.Decoder(_Sites)
_WITHOUT_ROWS = msgspec.json.Decoder(_WithoutRows)

_LEVELS = frozenset({"siteOwner", "siteFullUser", "siteRestrictedUser", "siteUnverifiedUser"})


def decode_answer(body: bytes, dimensions: Sequence[str], search_type: SearchType, window: Window) -> Answer:
    """Decode the body of a searchAnalytics answer for `search_type` over `window`, grouped by `dimensions`.

    Raises ServiceUnavailableError if the body is not JSON or incomplete, WrongAnswerError if it has another
    form, cannot be true, or has days outside the window.
    """
    if len(body) > LARGE_BYTES and body.count(b",") > MOST_COMMAS:
        raise WrongAnswerError(f"the answer has over {MOST_COMMAS:,} commas; {len(body)} bytes")
    try:
        return _decoded(body, dimensions, search_type, window)
    except (ServiceUnavailableError, WrongAnswerError):
        readable = with_half_pairs_as_text(body)
        if readable == body:
            raise
    answer = _decoded(readable, dimensions, search_type, window)
    return replace(answer, half_pair=_text_with_half_pair(answer.rows, dimensions))


def _text_with_half_pair(rows: pa.Table, dimensions: Sequence[str]) -> str:
    for name in dimensions:
        found = rows.filter(pc.match_substring_regex(rows[name], r"\\ud[89a-f][0-9a-f]{2}"))
        if found.num_rows:
            return printable(found[name][0].as_py(), 100)
    return ""


def _decoded(body: bytes, dimensions: Sequence[str], search_type: SearchType, window: Window) -> Answer:
    try:
        rows, metadata, aggregations, _ = _read(body).flatten()
        incomplete = msgspec.convert(metadata[0].as_py() or {}, _Metadata)
        named = aggregations[0].as_py()
    except (pa.ArrowException, msgspec.ValidationError, ValueError) as error:
        decode_strictly(_ANY_JSON, body, "the answer")
        cause = f"{printable(str(error), 200)}; {len(body)} bytes"
        raise WrongAnswerError(f"the answer could not be read ({cause})") from None
    found = rows.flatten()
    has_rows_key = True
    if len(found) == 0:
        # Arrow accepts `null` as a list and ignores what follows the object.
        has_rows_key = decode_strictly(_WITHOUT_ROWS, body, "the answer").rows is not msgspec.UNSET
    return Answer(
        checked_rows(found, dimensions, search_type, window) if len(found) else empty_rows(dimensions),
        incomplete.first_incomplete_date or incomplete.firstIncompleteDate,
        incomplete.first_incomplete_hour or incomplete.firstIncompleteHour,
        names_aggregation=bool(named),
        is_bare=not has_rows_key and not named,
        is_by_page=_is_by_page(named),
    )


def decode_sites(body: bytes) -> list[Site]:
    """Decode the body of a sites.list answer.

    Raises ServiceUnavailableError if it is not JSON, WrongAnswerError if it has another form.
    """
    entries = decode_strictly(_SITES, body, "the list of properties").siteEntry
    urls = Counter(entry.siteUrl for entry in entries)
    twice = [url for url, times in urls.most_common(1) if times > 1]
    if twice:
        raise WrongAnswerError(f"the list of properties names {printable(twice[0], 100)} twice")
    for level in {entry.permissionLevel for entry in entries} - _LEVELS:
        _log_once(printable(level, 100))
    return [Site(entry.siteUrl, entry.permissionLevel) for entry in entries]


def parse_time(text: str) -> datetime | None:
    """The time that an RFC 3339 text stands for, in UTC; None if it is empty or not a time."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_by_page(aggregation: str | None) -> bool:
    """The API's guide spells it `byPage`, its discovery document `BY_PAGE`."""
    return (aggregation or "").replace("_", "").lower() == "bypage"


@lru_cache(64)
def _log_once(level: str) -> None:
    log.info(
        "the list of properties has an unknown permission level, which is treated as readable: %s", level
    )


def _read(body: bytes) -> pa.StructArray:
    """The answer as an array of one. Raises ArrowInvalid or ValueError if it is not such a JSON object."""
    # Wrapped in an object, because Arrow crashes if the document is null.
    document = b"".join((b'{"answer":', body, b"}"))
    table = pyarrow.json.read_json(
        pa.BufferReader(document),
        # One block, because it is one document. One thread, because several answers are decoded in parallel.
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
