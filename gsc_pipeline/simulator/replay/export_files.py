"""The CSV files of Search Console's export button, in any language, as typed columns.

Five files are required: dates, pages, queries, countries and devices. Search appearances are read if their
file is in English. Each file has five columns: label, clicks, impressions, CTR, position. Files are
recognised by their contents, not by their names, and other files are ignored.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np

from gsc_pipeline.simulator.appearances import API_NAMES
from gsc_pipeline.simulator.errors import ExportError
from gsc_pipeline.simulator.facts import Counts, Reals
from gsc_pipeline.simulator.replay.names import are_countries, country_codes, device_code

_COLUMNS = 5
_DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y")
_GROUPED = re.compile(r"\d+|\d{1,3}([.,'’٬ ]\d{2,3})*[.,'’٬ ]\d{3}")
_DECIMAL = re.compile(r"(\d+(?:['’٬ ]\d{3})*)(?:[.,٫](\d+))?")


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """One file: its labels in order, and the sums over the whole period. Positions count from 1."""

    labels: tuple[str, ...]
    clicks: Counts
    impressions: Counts
    position: Reals

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """All files of an export. `days` are those of `dates`, oldest first.

    Labels of countries (`usa`, `zzz`), devices (`DESKTOP`) and search appearances (`VIDEO`) are those of the
    wire. Appearances without a known name are left out.
    """

    days: tuple[date, ...]
    dates: Listing
    queries: Listing
    pages: Listing
    countries: Listing
    devices: Listing
    appearances: Listing


@dataclass(frozen=True, slots=True)
class _File:
    """A file with five columns: the heading of the first one, and the records with their line numbers."""

    name: str
    heading: str
    records: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def labels(self) -> list[str]:
        return [record[0] for _, record in self.records]

    def unusable(self, line: int, value: str, expected: str) -> ExportError:
        return ExportError(f"{self.name}, line {line}: {value!r} is unusable; expected {expected}")


def read_export(directory: Path) -> Export:
    """The export in `directory`. Raises ExportError if the folder or a file is not usable."""
    if not directory.is_dir():
        raise ExportError(f"{directory} is not a folder; expected one with the CSV files of an export")
    files = [_read(path) for path in sorted(directory.iterdir()) if path.suffix.lower() == ".csv"]
    found = _recognised(directory, [file for file in files if file is not None])
    days, dates = _dated(found["dates"])
    return Export(
        days=days,
        dates=dates,
        queries=_listing(found["queries"]),
        pages=_listing(found["pages"]),
        countries=_coded(found["countries"], country_codes, "the name of a country"),
        devices=_coded(
            found["devices"],
            lambda names: [device_code(name) for name in names],
            "a desktop, mobile or tablet",
        ),
        appearances=_appearances(found.get("appearances")),
    )


def _read(path: Path) -> _File | None:
    """The file, or None if it does not have five columns."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path.name} cannot be read: {error}; expected text in UTF-8") from error
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter)
    records: list[tuple[int, tuple[str, ...]]] = []
    for record in reader:
        if record and len(record) != _COLUMNS:
            if not records:
                return None
            raise ExportError(
                f"{path.name}, line {reader.line_num}: {len(record)} columns in {delimiter.join(record)!r}; "
                f"expected {_COLUMNS}: label, clicks, impressions, CTR, position"
            )
        if record:
            records.append((reader.line_num, tuple(value.strip() for value in record)))
    return _File(path.name, records[0][1][0], tuple(records[1:])) if records else None


def _recognised(directory: Path, files: Sequence[_File]) -> dict[str, _File]:
    """The files by contents. A file without records replaces any missing one except dates and pages."""
    found = _by_contents([file for file in files if file.records])
    empty = next((file for file in files if not file.records), None)
    chosen = {}
    for contents, candidates in found.items():
        if len(candidates) > 1:
            names = " and ".join(file.name for file in candidates)
            raise ExportError(f"{directory}: {names} both list {contents}; expected one export a folder")
        if candidates:
            chosen[contents] = candidates[0]
        elif empty is not None and contents not in ("dates", "pages", "appearances"):
            chosen[contents] = empty
        elif contents != "appearances":
            names = ", ".join(file.name for file in files) or "none"
            raise ExportError(
                f"{directory}: no file lists {contents}; expected the CSV files of an export with {_COLUMNS} "
                f"columns each (such files found: {names})"
            )
    return chosen


def _by_contents(files: Sequence[_File]) -> dict[str, list[_File]]:
    """The files by what most of their labels are: dates, pages, devices and so on."""
    found: dict[str, list[_File]] = {"dates": [], "pages": [], "devices": [], "countries": []}
    others = []
    for file in files:
        labels = file.labels
        if sum(_date_format([label]) is not None for label in labels) * 2 > len(labels):
            found["dates"].append(file)
        elif sum(label.startswith(("http://", "https://")) for label in labels) * 2 > len(labels):
            found["pages"].append(file)
        elif len(labels) <= 3 and all(device_code(label) for label in labels):
            found["devices"].append(file)
        else:
            others.append(file)
    found["countries"] = [file for file in others if are_countries(file.labels, in_english=True)]
    if not found["countries"]:
        found["countries"] = [file for file in others if are_countries(file.labels, in_english=False)]
    others = [file for file in others if file not in found["countries"]]
    found["appearances"] = [file for file in others if any(label in API_NAMES for label in file.labels)]
    # The rest may include search appearances in another language. Their labels are few and capitalised, and
    # the heading is the name of the file.
    queries = [file for file in others if file not in found["appearances"]]
    found["queries"] = sorted(queries, key=_likeness_to_queries)[-1:]
    return found


def _likeness_to_queries(file: _File) -> tuple[bool, bool, int]:
    lower = all(label == label.lower() for label in file.labels)
    own_heading = file.heading.casefold() != Path(file.name).stem.casefold()
    return lower, own_heading, len(file.records)


def _listing(file: _File) -> Listing:
    seen: set[str] = set()
    clicks, impressions, positions = [], [], []
    for line, (label, clicked, shown, rate, position) in file.records:
        if label in seen:
            raise file.unusable(line, label, "each label once")
        seen.add(label)
        clicks.append(_whole(file, line, clicked, "clicks"))
        impressions.append(_whole(file, line, shown, "impressions"))
        _decimal(file, line, rate.strip("%٪ "), "a click-through rate such as 5.42%")
        positions.append(_decimal(file, line, position, "a position such as 12.3"))
        if clicks[-1] > impressions[-1]:
            raise file.unusable(line, clicked, f"no more clicks than the {impressions[-1]} impressions")
        if impressions[-1] and positions[-1] < 1:
            raise file.unusable(line, position, "a position of at least 1")
    return Listing(
        tuple(file.labels),
        np.array(clicks, dtype=np.int64),
        np.array(impressions, dtype=np.int64),
        np.array(positions, dtype=np.float64),
    )


def _dated(file: _File) -> tuple[tuple[date, ...], Listing]:
    """The days, and the listing in their order."""
    form = _date_format(file.labels)
    if form is None:
        common = max(
            _DATE_FORMATS, key=lambda form: sum(_as_day(label, form) is not None for label in file.labels)
        )
        line, label = next(
            (line, record[0]) for line, record in file.records if _as_day(record[0], common) is None
        )
        raise file.unusable(line, label, "a date like those of the other lines")
    listing = _listing(file)
    days = [datetime.strptime(label, form).date() for label in listing.labels]
    order = np.argsort([day.toordinal() for day in days], kind="stable")
    ordered = Listing(
        tuple(listing.labels[place] for place in order),
        listing.clicks[order],
        listing.impressions[order],
        listing.position[order],
    )
    return tuple(days[place] for place in order), ordered


def _coded(file: _File, codes_of: Callable[[Sequence[str]], Sequence[str | None]], expected: str) -> Listing:
    """The listing with codes as labels. Two labels with the same code are an error."""
    listing = _listing(file)
    codes = codes_of(listing.labels) if listing.labels else ()
    seen: set[str] = set()
    for (line, record), code in zip(file.records, codes, strict=True):
        if code is None:
            raise file.unusable(line, record[0], expected)
        if code in seen:
            raise file.unusable(line, record[0], f"{code} once; another line has it already")
        seen.add(code)
    labels = tuple(code for code in codes if code is not None)
    return Listing(labels, listing.clicks, listing.impressions, listing.position)


def _appearances(file: _File | None) -> Listing:
    listing = _listing(file) if file is not None else Listing((), *(np.zeros(0, np.int64),) * 2, np.zeros(0))
    known = [place for place, label in enumerate(listing.labels) if label in API_NAMES]
    labels = tuple(API_NAMES[listing.labels[place]] for place in known)
    return Listing(labels, listing.clicks[known], listing.impressions[known], listing.position[known])


def _date_format(labels: Sequence[str]) -> str | None:
    """The format of all labels. If day and month could be swapped, the one with the shorter period."""
    spans = {}
    for form in _DATE_FORMATS:
        days = [_as_day(label, form) for label in labels]
        known = [day for day in days if day is not None]
        if len(known) == len(days):
            spans[form] = (max(known) - min(known)).days
    return min(spans, key=lambda form: spans[form]) if spans else None


def _as_day(label: str, form: str) -> date | None:
    try:
        return datetime.strptime(label, form).date()
    except ValueError:
        return None


def _whole(file: _File, line: int, text: str, what: str) -> int:
    plain = _plain_spaces(text)
    if not _GROUPED.fullmatch(plain):
        raise file.unusable(line, text, f"a whole number of {what} such as 1234 or 1,234")
    return int(re.sub(r"\D", "", plain))


def _decimal(file: _File, line: int, text: str, expected: str) -> float:
    match = _DECIMAL.fullmatch(_plain_spaces(text))
    if match is None:
        raise file.unusable(line, text, expected)
    return float(re.sub(r"\D", "", match[1]) + "." + (match[2] or "0"))


def _plain_spaces(text: str) -> str:
    return re.sub(r"\s", " ", text).strip()
