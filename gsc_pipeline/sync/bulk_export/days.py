"""The days of an export: which are whole, what is wrong with others, and their rows in the tables' form."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gsc_pipeline.days import Window, month_of
from gsc_pipeline.lake.encoding import decoded, encoded
from gsc_pipeline.lake.errors import cause_of
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, FeedType, SearchType
from gsc_pipeline.sync.bulk_export.errors import BulkExportError
from gsc_pipeline.sync.bulk_export.files import ExportFile, ExportTable, Part
from gsc_pipeline.sync.grains import encoded_table_of, search_type_in_tables
from gsc_pipeline.sync.ledger import DayTotals, LedgerKey
from gsc_pipeline.sync.past_cap import FEW_VALUES

_BY_NAME: Mapping[str, SearchType] = {search_type_in_tables(one): one for one in SEARCH_TYPES}
_UNKNOWN_COUNTRY = "zzz"
_POSITION = {ExportTable.SITE: "sum_top_position", ExportTable.URL: "sum_position"}


@dataclass(frozen=True, slots=True)
class DaySums:
    """The sums of one table's rows of a day, and the files of the part that hold them.

    `position` sums zero-based positions; None for feeds.
    """

    part: Part
    files: tuple[ExportFile, ...]
    rows: int
    clicks: int
    impressions: int
    position: int | None

    def __add__(self, other: DaySums) -> DaySums:
        return DaySums(
            self.part,
            self.files + other.files,
            self.rows + other.rows,
            self.clicks + other.clicks,
            self.impressions + other.impressions,
            None if self.position is None or other.position is None else self.position + other.position,
        )


@dataclass(frozen=True, slots=True)
class ExportDay:
    """A whole day of one property and search type: the sums of its rows in both tables."""

    day: date
    site: DaySums
    url: DaySums

    @property
    def totals(self) -> DayTotals:
        """The day's totals, as the probe of a sync gives them."""
        position = None
        if self.site.position is not None and self.site.impressions:
            position = self.site.position / self.site.impressions + 1
        return DayTotals(self.site.clicks, self.site.impressions, position)

    @property
    def rows(self) -> int:
        """The rows of the day in the files of both tables."""
        return self.site.rows + self.url.rows


@dataclass(frozen=True, slots=True)
class Export:
    """The days to import, by property and search type, and a line for each thing that is left out."""

    days: Mapping[LedgerKey, Sequence[ExportDay]]
    left_out: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """What the files hold, by property, search type and day, and what is wrong with it.

    Rows of other search types than `wanted`, and of days that are not `within`, are ignored; `others` counts
    those of other search types.
    """

    wanted: Collection[str]
    within: Window | None
    others: dict[str, int] = field(default_factory=dict)
    sums: dict[ExportTable, dict[tuple[str, str, date], DaySums]] = field(
        default_factory=lambda: {ExportTable.SITE: {}, ExportTable.URL: {}}
    )
    logged: dict[date, set[str]] | None = None
    causes: list[str] = field(default_factory=list)


def read_export(
    parts: Sequence[Part],
    site_urls: Collection[str],
    search_types: Collection[SearchType],
    *,
    today: date,
    within: Window | None = None,
    owner: str,
) -> Export:
    """Check all rows of the files, once, and find the whole days.

    `site_urls` are the properties of the workspace `owner`. Rows of search types other than `search_types`
    are left out. With `within`, only days of that window count. `today` is the Pacific day.

    Raises BulkExportError with every cause: rows that cannot be true, a property that the workspace does not
    have, a day that one of the tables or ExportLog lacks, or that is in two exports.
    """
    found = _Found({search_type_in_tables(one) for one in search_types}, within)
    for part in parts:
        if part.table is ExportTable.LOG:
            _read_log(part, found)
        else:
            _read_sums(part, found)
    left_out = [
        f"column {column} of {part.table.label} is not known to this release"
        for part in parts
        for column in sorted(part.unknown)
    ]
    left_out += [
        f"{rows} rows of {name}: not among the workspace's search_types"
        if name in _BY_NAME
        else f"{rows} rows of {name}: a search type that this release does not know"
        for name, rows in sorted(found.others.items())
    ]
    held = {key for sums in found.sums.values() for key in sums}
    found.causes += _unknown_properties(held, site_urls, owner)
    found.causes += _days_not_over(held, today)
    found.causes += _incomplete_days(found)
    if not held and not found.causes:
        found.causes.append("the files hold no rows to import")
    if found.causes:
        raise BulkExportError(found.causes)
    days: dict[LedgerKey, list[ExportDay]] = {}
    for key in sorted(held):
        site_url, search_type, day = key
        one = ExportDay(day, found.sums[ExportTable.SITE][key], found.sums[ExportTable.URL][key])
        days.setdefault((site_url, search_type), []).append(one)
    return Export(days, tuple(dict.fromkeys(left_out)))


def _read_log(part: Part, found: _Found) -> None:
    logged = found.logged = {} if found.logged is None else found.logged
    for file in part.files:
        try:
            rows = part.stream(["agenda", "namespace", "data_date"], files=[file]).read_all()
        except (OSError, pa.ArrowException) as error:
            found.causes.append(f"{part.root}/{file.path}: cannot be read ({cause_of(error)})")
            continue
        for row in rows.to_pylist():
            if (row["agenda"] or "").upper() == "SEARCHDATA" and row["data_date"] is not None:
                logged.setdefault(row["data_date"], set()).add((row["namespace"] or "").upper())


_IS_FEED = f"search_type IN ({', '.join(repr(search_type_in_tables(one)) for one in FeedType)})"

_IMPOSSIBLE = {
    "negative numbers": "least(clicks, impressions, position) < 0",
    "no number of clicks or impressions": "clicks IS NULL OR impressions IS NULL",
    "no sum of positions": f"position IS NULL AND NOT {_IS_FEED}",
    "no country": f"country IS NULL AND NOT {_IS_FEED}",
    "no device": f"device IS NULL AND NOT {_IS_FEED}",
    "no query and no mark that it is anonymised": f"query IS NULL AND NOT anonymised AND NOT {_IS_FEED}",
    "a query and a mark that it is anonymised": "query <> '' AND anonymised",
}
_IMPOSSIBLE_URL = {"no url": "coalesce(url, '') = '' AND NOT hidden"}


def _read_sums(part: Part, found: _Found) -> None:
    """Add the sums of the part's days, in one pass over its rows that holds the sums alone in memory."""
    import duckdb

    is_url = part.table is ExportTable.URL
    impossible = {**_IMPOSSIBLE, **(_IMPOSSIBLE_URL if is_url else {})}
    sql = f"""
        WITH shown AS (
            SELECT data_date, site_url,
                   replace(upper(search_type), 'GOOGLENEWS', 'GOOGLE_NEWS') AS search_type,
                   query, country, device, clicks, impressions, {_POSITION[part.table]} AS position,
                   coalesce(is_anonymized_query, false) AS anonymised
                   {", url, coalesce(is_anonymized_discover, false) AS hidden" if is_url else ""}
            FROM rows
        )
        SELECT site_url, search_type, data_date, count(*), coalesce(sum(clicks), 0)::BIGINT,
               coalesce(sum(impressions), 0)::BIGINT, sum(position)::BIGINT,
               {", ".join(f"count(*) FILTER ({wrong})" for wrong in impossible.values())}
        FROM shown GROUP BY ALL ORDER BY ALL"""
    columns = sorted(part.table.required | (part.table.optional & {"is_anonymized_discover"}))
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET enable_progress_bar = false")
        for file in part.files:
            try:
                connection.register("rows", part.stream(columns, files=[file]))
                rows = connection.execute(sql).fetchall()
            except (duckdb.Error, OSError, pa.ArrowException) as error:
                found.causes.append(f"{part.root}/{file.path}: cannot be read ({cause_of(error)})")
                continue
            for row in rows:
                _add_sums(part, file, found, list(impossible), row)


def _add_sums(
    part: Part, file: ExportFile, found: _Found, impossible: Sequence[str], row: tuple[Any, ...]
) -> None:
    site_url, search_type, day, count, clicks, impressions, position, *wrong = row
    where = f"{part.root}/{file.path}: "
    if None in (site_url, search_type, day):
        found.causes.append(f"{where}{count} rows have no day, property or search type")
        return
    if found.within is not None and day not in found.within:
        return
    if search_type not in found.wanted:
        found.others[search_type] = found.others.get(search_type, 0) + count
        return
    found.causes += [
        f"{where}{site_url} ({search_type}) {day}: {number} rows have {what}"
        for what, number in zip(impossible, wrong, strict=True)
        if number
    ]
    is_feed = isinstance(_BY_NAME[search_type], FeedType)
    sums, key = found.sums[part.table], (site_url, search_type, day)
    one = DaySums(part, (file,), count, clicks, impressions, None if is_feed else position or 0)
    before = sums.get(key)
    if before is not None and before.part is not part:
        found.causes.append(
            f"{site_url} ({search_type}) {day} is in two exports of {part.table.label}, "
            f"{before.part.label} and {part.label}: give one of them"
        )
    sums[key] = one if before is None else before + one


def _unknown_properties(
    held: Iterable[tuple[str, str, date]], site_urls: Collection[str], owner: str
) -> list[str]:
    return [
        f"the files hold {site_url}, which workspace {owner} does not have: give the files of its own "
        "properties only, or add the property to the workspaces file"
        for site_url in sorted({site_url for site_url, _, _ in held} - set(site_urls))
    ]


def _days_not_over(held: Iterable[tuple[str, str, date]], today: date) -> list[str]:
    late = sorted({day for _, _, day in held if day >= today})
    return (
        [f"the files hold {late[-1]}, which is not over in California, where it is {today}"] if late else []
    )


def _incomplete_days(found: _Found) -> list[str]:
    causes = []
    site, url = found.sums[ExportTable.SITE], found.sums[ExportTable.URL]
    for has, lacks, days in (
        (ExportTable.SITE, ExportTable.URL, site.keys() - url.keys()),
        (ExportTable.URL, ExportTable.SITE, url.keys() - site.keys()),
    ):
        causes += [
            f"{site_url} ({search_type}) {_days_text(its_days)} in {has.label} and not in {lacks.label}: "
            "export both tables for the same days, or leave days out with --start and --end"
            for (site_url, search_type), its_days in _by_series(days).items()
        ]
    if found.logged is not None:
        for namespace in (table.label.upper() for table in (ExportTable.SITE, ExportTable.URL)):
            missing = {day for _, _, day in {*site, *url} if namespace not in found.logged.get(day, ())}
            if missing:
                causes.append(
                    f"ExportLog does not list {namespace} for {_days_text(missing, verb='')}: export again "
                    "when it does, or leave days out with --start and --end"
                )
    return causes


def _by_series(keys: Iterable[tuple[str, str, date]]) -> dict[LedgerKey, list[date]]:
    found: dict[LedgerKey, list[date]] = {}
    for site_url, search_type, day in sorted(keys):
        found.setdefault((site_url, search_type), []).append(day)
    return found


def _days_text(days: Collection[date], verb: str = " is") -> str:
    first, last = min(days), max(days)
    if first == last:
        return f"{first}{verb}"
    return f"{len(days)} days from {first} to {last}{' are' if verb else ''}"


_SITE_KEYS = ("query", "is_anonymized_query", "country", "device")
_URL_KEYS = ("url", *_SITE_KEYS, "is_anonymized_discover", *SEARCH_APPEARANCE_FLAGS)


@dataclass(frozen=True, slots=True)
class ExportRows:
    """Reads the rows of some days of one property and search type, as the tables hold them."""

    workspace: str
    site_url: str
    search_type: str

    def site(self, days: Sequence[ExportDay]) -> dict[date, pa.Table]:
        """Rows of searchdata_site_impression by day."""
        return self._read({one.day: one.site for one in days})

    def url(self, days: Sequence[ExportDay]) -> dict[date, pa.Table]:
        """Rows of searchdata_url_impression by day."""
        return self._read({one.day: one.url for one in days})

    def _read(self, sums_of: Mapping[date, DaySums]) -> dict[date, pa.Table]:
        days_of: dict[int, dict[date, DaySums]] = {}
        for day, sums in sums_of.items():
            days_of.setdefault(id(sums.part), {})[day] = sums
        found = {}
        for days in days_of.values():
            rows = self._summed(days)
            for day, sums in days.items():
                of_day = rows if len(days) == 1 else rows.filter(pc.equal(rows["data_date"], day))
                found[day] = self._as_table(sums.part.table, day, of_day)
        return found

    def _summed(self, days: Mapping[date, DaySums]) -> pa.Table:
        """The rows of the days of one part, each key once. Google repeats keys; their numbers are summed."""
        part = next(iter(days.values())).part
        table, files = part.table, {file.path: file for sums in days.values() for file in sums.files}
        keys = _URL_KEYS if table is ExportTable.URL else _SITE_KEYS
        sums = ("clicks", "impressions", _POSITION[table])
        # In any spelling in which its rows were found.
        spelled = [self.search_type, self.search_type.replace("_", "")]
        where = (
            pc.field("data_date").isin(list(days))
            & (pc.field("site_url") == self.site_url)
            & pc.utf8_upper(pc.field("search_type")).isin(spelled)
        )
        stream = part.stream(["data_date", *keys, *sums], where, list(files.values()))
        batches = [self._as_in_the_lake(pa.Table.from_batches([batch])) for batch in stream]
        return _each_key_once(batches, ["data_date", *keys], sums)

    def _as_in_the_lake(self, rows: pa.Table) -> pa.Table:
        """Replace nulls that the tables do not have: "" for no query, zzz for an unknown country."""
        kind = _BY_NAME[self.search_type]
        values = {
            "query": pc.fill_null(rows["query"], ""),
            "country": pc.fill_null(pc.utf8_lower(rows["country"]), _UNKNOWN_COUNTRY),
            "device": pc.utf8_upper(rows["device"]),
            "is_anonymized_query": pc.fill_null(rows["is_anonymized_query"], False),
        }
        if isinstance(kind, FeedType):
            # As in a sync: feeds have no queries, so none of their rows is anonymised by its query.
            values["query"] = pa.repeat("", rows.num_rows)
            values["is_anonymized_query"] = pa.repeat(False, rows.num_rows)
        if not kind.has_device:
            values["device"] = pa.nulls(rows.num_rows, pa.string())
        if "url" in rows.column_names:
            values["url"] = pc.fill_null(rows["url"], "")
            values["is_anonymized_discover"] = pc.fill_null(rows["is_anonymized_discover"], False)
        for name, column in values.items():
            rows = rows.set_column(rows.column_names.index(name), name, column)
        return encoded(rows, FEW_VALUES)

    def _as_table(self, table: ExportTable, day: date, rows: pa.Table) -> pa.Table:
        columns: dict[str, object] = {
            **{name: rows[name] for name in rows.column_names},
            "workspace": self.workspace,
            "month": month_of(day),
            "data_date": day,
            "site_url": self.site_url,
            "search_type": self.search_type,
            # The export has no cap. Used where the tables have the column.
            "is_truncated": False,
        }
        if isinstance(_BY_NAME[self.search_type], FeedType):
            columns[_POSITION[table]] = None
        spec = SITE_IMPRESSION if table is ExportTable.SITE else URL_IMPRESSION
        return encoded_table_of(spec, columns, rows.num_rows)


def _each_key_once(batches: list[pa.Table], keys: Sequence[str], sums: Sequence[str]) -> pa.Table:
    """The rows of all batches, those with the same keys summed. Empties the list.

    Grouping a million rows by forty columns takes a gigabyte, and few keys are repeated: only rows whose
    hashes are repeated are grouped.
    """
    repeated = _with_repeated_hash(batches, keys)
    once, more, first = [], [], 0
    batches.reverse()
    while batches:
        rows = batches.pop()
        is_repeated = pa.array(repeated[first : first + rows.num_rows])
        first += rows.num_rows
        once.append(rows.filter(pc.invert(is_repeated)))
        more.append(rows.filter(is_repeated))
    grouped = decoded(pa.concat_tables(more)).group_by(list(keys), use_threads=False)
    summed = grouped.aggregate([(name, "sum") for name in sums])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    return pa.concat_tables([*once, summed.select(once[0].column_names).cast(once[0].schema)])


def _with_repeated_hash(batches: Sequence[pa.Table], keys: Sequence[str]) -> npt.NDArray[np.bool_]:
    """For each row of the batches, whether another row has the same hash of its keys."""
    import duckdb

    names = ", ".join(f'"{name}"' for name in keys)
    with closing(duckdb.connect(":memory:")) as connection:
        connection.register("rows", pa.concat_tables(batches))
        hashes = connection.sql(f"SELECT hash({names}) AS key FROM rows").to_arrow_table()["key"].to_numpy()
    in_order = np.sort(hashes)
    return np.isin(hashes, np.unique(in_order[1:][in_order[1:] == in_order[:-1]]))
