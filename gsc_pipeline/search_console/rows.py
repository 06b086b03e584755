"""Checks the rows of an answer: counts, positions and keys must be possible, and each key must be unique.
Days and hours must be of the days that were asked for. Countries, devices and pages must have their form, so
that an answer with its keys in another order is not taken for a true one.

Every check works on whole columns, so that a correct page costs no Python object per row. Only a page that
fails is searched row by row, to name the row in the error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import PACIFIC, Window
from gsc_pipeline.search_console.errors import WrongAnswerError, printable
from gsc_pipeline.search_console.json_answers import COUNT_LIMIT
from gsc_pipeline.search_console.requests import PAGE_ROWS
from gsc_pipeline.search_console.search_types import FeedType, SearchType

MOST_POSITION = 10_000
"""The highest possible position. Search Console counts at most a thousand results of a search."""

METRICS = (
    pa.field("clicks", pa.int64(), nullable=False),
    pa.field("impressions", pa.int64(), nullable=False),
    pa.field("position", pa.float64()),
)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def empty_rows(dimensions: Sequence[str]) -> pa.Table:
    """A table without rows, with the columns of an answer by `dimensions`."""
    return _schema(dimensions).empty_table()


def checked_rows(
    rows: pa.StructArray, dimensions: Sequence[str], search_type: SearchType, window: Window
) -> pa.Table:
    """The rows (`keys`, `clicks`, `impressions`, `position`) as a table, in their order.

    Raises WrongAnswerError, naming the row, if a row cannot be true or is of a day outside the window.
    """
    return _Page(rows, dimensions).columns(search_type, window)


class _Page:
    def __init__(self, rows: pa.StructArray, dimensions: Sequence[str]) -> None:
        self._keys, self._clicks, self._impressions, self._position = rows.flatten()
        self._dimensions = dimensions

    def columns(self, search_type: SearchType, window: Window) -> pa.Table:
        if len(self._clicks) > PAGE_ROWS:
            raise WrongAnswerError(f"{self._name()}: {len(self._clicks)} rows instead of at most {PAGE_ROWS}")
        keys = self._key_columns()
        for dimension, texts in zip(self._dimensions, keys, strict=True):
            self._check_moments(dimension, texts, window)
            self._check_form(dimension, texts)
        clicks = self._counts("clicks", self._clicks)
        impressions = self._counts("impressions", self._impressions)
        self._check(clicks <= impressions, "clicks", clicks, "is more than its impressions")
        self._check_sum("clicks", clicks)
        self._check_sum("impressions", impressions)
        # Feeds have no positions, but some servers write 0 or 1.
        is_feed = isinstance(search_type, FeedType)
        position = pa.nulls(len(clicks), pa.float64()) if is_feed else self._positions(impressions)
        arrays = [*keys, pa.array(clicks.astype(np.int64)), pa.array(impressions.astype(np.int64)), position]
        return pa.table(arrays, schema=_schema(self._dimensions))

    def _key_columns(self) -> list[pa.Array]:
        of_row = len(self._dimensions)
        lengths = pc.fill_null(pc.list_value_length(self._keys), 0)
        if pc.unique(lengths).to_pylist() != [of_row]:
            row = int(np.flatnonzero(lengths.to_numpy() != of_row)[0])
            self._fail(row, f"{lengths[row].as_py()} keys instead of {of_row}")
        if of_row == 0:
            if len(self._keys) > 1:
                self._fail(1, "the answer has more than one row")
            return []
        texts = self._keys.flatten()
        if texts.null_count:
            self._fail(_first(pc.is_null(texts).to_numpy(zero_copy_only=False)) // of_row, "a key is missing")
        _, offsets_buffer, data = texts.buffers()
        offsets = np.frombuffer(offsets_buffer, np.int32, len(texts) + 1, 4 * texts.offset)
        self._check_texts(texts, offsets, data)
        columns = [pc.list_element(self._keys, i) for i in range(of_row)]
        self._check_each_once(offsets, data, columns)
        return columns

    def _check_texts(self, texts: pa.Array, offsets: npt.NDArray[np.int32], data: pa.Buffer | None) -> None:
        # Arrow checks that text is UTF-8 only if asked to. Checking for ASCII first is ten times faster.
        if data is not None and np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].max(initial=0) < 128:
            return
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            row = next(i for i, text in enumerate(texts) if not _is_utf8(text)) // len(self._dimensions)
            self._fail(row, "a key is not UTF-8 text")

    def _check_each_once(
        self, offsets: npt.NDArray[np.int32], data: pa.Buffer | None, columns: list[pa.Array]
    ) -> None:
        # The keys of a row are adjacent in memory, so their concatenation is a slice that costs nothing. If
        # all slices differ, all keys are unique. If two are equal, compare the keys themselves, because
        # ("ab", "c") and ("a", "bc") have the same concatenation.
        ends = np.ascontiguousarray(offsets[:: len(columns)])
        joined = pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), data])
        if len(pc.unique(joined)) == len(joined):
            return
        seen = set()
        for row, key in enumerate(zip(*(column.to_pylist() for column in columns), strict=True)):
            if key in seen:
                self._fail(row, "another row has the same keys")
            seen.add(key)

    def _check_moments(self, dimension: str, texts: pa.Array, window: Window) -> None:
        """Check that days and hours are in the window and spelled in one way, so that none is there twice."""
        if dimension not in _START:
            return
        spelled: dict[datetime, str] = {}
        for text in pc.unique(texts).to_pylist():
            start = _START[dimension](text)
            if start is None:
                complaint = f"its {dimension} is invalid"
            elif start.date() not in window:
                complaint = f"its {dimension} is outside {window}"
            elif (first := spelled.setdefault(start.astimezone(UTC), text)) != text:
                complaint = f"its {dimension} is also spelled {_shown(pa.scalar(first))}"
            else:
                continue
            self._fail(texts.index(text).as_py(), complaint)

    def _check_form(self, dimension: str, texts: pa.Array) -> None:
        if dimension == "page":
            values, is_good = texts, pc.match_substring(texts, "://")
        elif dimension in _FORM:
            # Of countries and devices there are few: it is cheaper to find them than to match each row.
            values = pc.unique(texts)
            is_good = pc.match_substring_regex(values, _FORM[dimension])
        else:
            return
        if not pc.all(is_good, min_count=0).as_py():
            wrong = values[pc.index(is_good, False).as_py()]
            self._fail(texts.index(wrong).as_py(), f"{_shown(wrong)} is no {dimension}")

    def _counts(self, name: str, column: pa.Array) -> Floats:
        counts = _floats(column)
        # Comparisons with NaN, which stands for a missing value too, are false.
        self._check(
            (counts >= 0) & (counts < COUNT_LIMIT) & (counts == np.floor(counts)),
            name,
            counts,
            "is not a count",
        )
        return counts

    def _positions(self, impressions: Floats) -> pa.Array:
        position = _floats(self._position)
        plausible = (position >= 1) & (position <= MOST_POSITION)
        if not plausible.all():
            # A row without impressions has no position, which servers write as null or 0.
            is_none = np.zeros(len(position), bool)
            if self._position.null_count:
                is_none = self._position.is_null().to_numpy(zero_copy_only=False)
            unshown = (impressions == 0) & (is_none | (position == 0))
            self._check(plausible | unshown, "position", position, f"is not between 1 and {MOST_POSITION:,}")
        self._check_sum("positions", (np.nan_to_num(position) - 1) * impressions)
        return self._position

    def _check(self, is_good: Flags, name: str, values: Floats, complaint: str) -> None:
        if is_good.all():
            return
        row = _first(~is_good)
        columns = {"clicks": self._clicks, "impressions": self._impressions, "position": self._position}
        is_missing = not columns[name][row].is_valid
        self._fail(row, f"no {name}" if is_missing else f"{name} {_shown_number(values[row])} {complaint}")

    def _check_sum(self, name: str, values: Floats) -> None:
        total = float(values.sum())
        if not abs(total) < COUNT_LIMIT:
            raise WrongAnswerError(f"{self._name()}: the {name} of its rows sum to {_shown_number(total)}")

    def _fail(self, row: int, complaint: str) -> NoReturn:
        keys = self._keys[row].values
        texts = [] if keys is None else [_shown(text) for text in keys[: len(self._dimensions) + 1]]
        raise WrongAnswerError(f"{self._name()}, row {row} ({', '.join(texts)}): {complaint}")

    def _name(self) -> str:
        return f"the answer by {', '.join(self._dimensions)}" if self._dimensions else "the answer"


def _start_of_day(text: str) -> datetime | None:
    """The start of a day in Pacific time, None if the text is not a day."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), PACIFIC)
    except ValueError:
        return None


def _start_of_hour(text: str) -> datetime | None:
    """The start of an hour in Pacific time, None if the text is not an hour or has no time zone."""
    try:
        start = datetime.fromisoformat(text)
        here = start.astimezone(PACIFIC)
    except (ValueError, OverflowError):
        return None
    return None if start.tzinfo is None or here.minute or here.second or here.microsecond else here


_START: dict[str, Callable[[str], datetime | None]] = {"date": _start_of_day, "hour": _start_of_hour}

_FORM = {"country": "^[a-z]{3}$", "device": "^[A-Z][A-Z0-9_]*$"}
"""The form of the values of a dimension: alpha-3 codes in lower case, words in upper case."""


def _schema(dimensions: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in dimensions] + list(METRICS))


def _floats(column: pa.Array) -> Floats:
    """The column as floats, without a copy if no value is missing. Missing values become NaN."""
    floats: Floats = column.to_numpy(zero_copy_only=column.null_count == 0)
    return floats


def _first(flags: Flags) -> int:
    return int(np.flatnonzero(flags)[0])


def _is_utf8(text: pa.StringScalar) -> bool:
    try:
        text.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _shown_number(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def _shown(text: pa.StringScalar) -> str:
    if not text.is_valid:
        return "none"
    shown = printable(text.as_buffer()[:200].to_pybytes().decode(errors="replace"), 30)
    return f"'{shown}'"
