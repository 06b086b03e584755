"""Reading exports in any language and number format, with clear errors for unusable files."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from gsc_pipeline.simulator import ExportError, ReplayedProperty
from gsc_pipeline.simulator.replay.export_files import Listing, read_export
from gsc_pipeline.simulator.replay.names import country_codes, device_code
from gsc_pipeline_tests.simulator.conftest import EXAMPLE_EXPORT, REAL_EXPORT
from gsc_pipeline_tests.soak import rest_in_soak

GERMAN = {
    "United States": "Vereinigte Staaten",
    "United Kingdom": "Vereinigtes Königreich",
    "Canada": "Kanada",
    "Australia": "Australien",
    "Germany": "Deutschland",
    "India": "Indien",
    "Ireland": "Irland",
    "Netherlands": "Niederlande",
    "France": "Frankreich",
    "Philippines": "Philippinen",
    "Sweden": "Schweden",
    "Italy": "Italien",
    "Spain": "Spanien",
    "New Zealand": "Neuseeland",
    "Japan": "Japan",
    "Brazil": "Brasilien",
    "South Africa": "Südafrika",
    "Türkiye": "Türkei",
    "Unknown Region": "Unbekannte Region",
    "Desktop": "Computer",
    "Mobile": "Mobil",
    "Tablet": "Tablet",
}
FRENCH = {
    "United States": "États-Unis",
    "United Kingdom": "Royaume-Uni",
    "Canada": "Canada",
    "Australia": "Australie",
    "Germany": "Allemagne",
    "India": "Inde",
    "Ireland": "Irlande",
    "Netherlands": "Pays-Bas",
    "France": "France",
    "Philippines": "Philippines",
    "Sweden": "Suède",
    "Italy": "Italie",
    "Spain": "Espagne",
    "New Zealand": "Nouvelle-Zélande",
    "Japan": "Japon",
    "Brazil": "Brésil",
    "South Africa": "Afrique du Sud",
    "Türkiye": "Turquie",
    "Unknown Region": "région indéterminée",
    "Desktop": "Ordinateur",
    "Mobile": "Mobile",
    "Tablet": "Tablette",
}
NARROW = "\N{NARROW NO-BREAK SPACE}"


def english_date(day: date) -> str:
    return day.isoformat()


@dataclass(frozen=True)
class Style:
    """How an export differs from the example in English."""

    files: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    thousands: str = ""
    decimal: str = "."
    percent: str = "%"
    start: str = ""
    newline: str = "\n"
    last_newline: bool = False
    delimiter: str = ","
    day: Callable[[date], str] = english_date
    quoting: Literal[0, 1] = csv.QUOTE_MINIMAL


STYLES = {
    "as it comes": Style(),
    "older names": Style(files={"Dates": "Chart"}, last_newline=True),
    "English with thousands": Style(thousands=",", newline="\r\n", start="\ufeff"),
    "German": Style(
        files={
            "Dates": "Diagramm",
            "Queries": "Suchanfragen",
            "Pages": "Seiten",
            "Countries": "Länder",
            "Devices": "Geräte",
            "Filters": "Filter",
        },
        names=GERMAN,
        thousands=".",
        decimal=",",
        percent="\N{NO-BREAK SPACE}%",
        start="\ufeff",
        newline="\r\n",
        last_newline=True,
    ),
    "German, saved by a spreadsheet": Style(
        names=GERMAN, decimal=",", delimiter=";", day=lambda day: f"{day:%d.%m.%Y}"
    ),
    "French": Style(
        files={
            "Dates": "Graphique",
            "Queries": "Requêtes",
            "Countries": "Pays",
            "Devices": "Appareils",
            "Filters": "Filtres",
        },
        names=FRENCH,
        thousands=NARROW,
        decimal=",",
        percent=f"{NARROW}%",
        quoting=csv.QUOTE_ALL,
    ),
    "days before months": Style(day=lambda day: f"{day:%d/%m/%Y}"),
    "months before days": Style(day=lambda day: f"{day:%m/%d/%Y}", thousands=" "),
}


def restyled(folder: Path, style: Style) -> Path:
    """The example export rewritten in `style`."""
    for source in EXAMPLE_EXPORT.glob("*.csv"):
        rows = list(csv.reader(source.read_text(encoding="utf-8").splitlines()))
        if len(rows[0]) == 5:
            rows = [rows[0], *(restyled_row(row, source.stem, style) for row in rows[1:])]
        path = folder / f"{style.files.get(source.stem, source.stem)}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(style.start)
            csv.writer(
                file,
                lineterminator=style.newline,
                delimiter=style.delimiter,
                quoting=style.quoting,
            ).writerows(rows)
        if not style.last_newline:
            path.write_bytes(path.read_bytes().rstrip(b"\r\n"))
    return folder


def restyled_row(row: list[str], kind: str, style: Style) -> list[str]:
    label, clicks, impressions, rate, position = row
    if kind == "Dates":
        label = style.day(date.fromisoformat(label))
    elif kind in ("Countries", "Devices"):
        label = style.names.get(label, label)
    return [
        label,
        f"{int(clicks):,}".replace(",", style.thousands),
        f"{int(impressions):,}".replace(",", style.thousands),
        rate.replace(".", style.decimal).replace("%", style.percent),
        position.replace(".", style.decimal),
    ]


@pytest.mark.parametrize("style", rest_in_soak(STYLES.values(), first=3), ids=STYLES.keys())
def test_the_same_export_reads_the_same_in_every_style(tmp_path: Path, style: Style) -> None:
    expected, found = read_export(EXAMPLE_EXPORT), read_export(restyled(tmp_path, style))
    assert found.days == expected.days
    for name in ("dates", "queries", "pages", "countries", "devices"):
        listing, original = getattr(found, name), getattr(expected, name)
        if name != "dates":
            assert listing.labels == original.labels
        for column in ("clicks", "impressions", "position"):
            assert np.array_equal(getattr(listing, column), getattr(original, column)), (name, column)


def test_days_are_sorted_oldest_first() -> None:
    export = read_export(EXAMPLE_EXPORT)
    assert export.days == tuple(sorted(export.days))
    assert export.dates.clicks[-1] == 298


def test_search_appearances_are_not_taken_for_queries(tmp_path: Path) -> None:
    folder = restyled(tmp_path, Style())
    lines = [
        "Search Appearance,Clicks,Impressions,CTR,Position",
        "Product snippets,15,370,4%,2",
        "Videos,1,9,11%,3",
    ]
    (folder / "Search appearance.csv").write_text("\n".join(lines), encoding="utf-8")
    assert read_export(folder).queries.labels[0] == "bluebird coffee"


def test_a_query_with_commas_and_quotes_is_one_label(tmp_path: Path) -> None:
    folder = restyled(tmp_path, Style())
    with (folder / "Queries.csv").open("a", encoding="utf-8") as file:
        file.write('\n"beans, ""dark"", 1kg",1,2,50%,1')
    assert read_export(folder).queries.labels[-1] == 'beans, "dark", 1kg'


def test_every_country_of_the_real_export_has_a_different_code() -> None:
    if not REAL_EXPORT.is_dir():
        pytest.skip("the real export is not on this machine (../shared/data/search-console-export)")
    codes = read_export(REAL_EXPORT).countries.labels
    assert len(set(codes)) == len(codes) == 244
    assert all(len(code) == 3 and code.islower() for code in codes)


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (["Wallis & Futuna", "Türkiye", "Côte d’Ivoire", "St. Kitts & Nevis"], ["wlf", "tur", "civ", "kna"]),
        (["Hong Kong", "Macau", "Turkey", "Swaziland", "Palestine"], ["hkg", "mac", "tur", "swz", "pse"]),
        (["US Virgin Islands", "U.S. Minor Outlying Islands", "Kosovo"], ["vir", "umi", "xkk"]),
        (["Unknown Region", "Congo - Kinshasa", "Congo - Brazzaville"], ["zzz", "cod", "cog"]),
        (["Niger", "Nigeria", "Guinea", "Dominica"], ["ner", "nga", "gin", "dma"]),
        (["Deutschland", "Österreich", "Hongkong"], ["deu", "aut", "hkg"]),
        (["日本", "アメリカ合衆国", "香港"], ["jpn", "usa", "hkg"]),
        (["Россия", "Германия", "Казахстан"], ["rus", "deu", "kaz"]),
        (["الولايات المتحدة", "مصر", "المغرب"], ["usa", "egy", "mar"]),
        (["भारत", "संयुक्त राज्य", "जर्मनी"], ["ind", "usa", "deu"]),
        (["Germany", "Atlantis"], ["deu", None]),
    ],
    ids=lambda value: value[0] or "",
)
def test_countries_are_recognised_by_their_names(names: list[str], codes: list[str | None]) -> None:
    assert country_codes(names) == codes


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (
            "Desktop, Computer, Ordinateur, Ordenador, Компьютер, パソコン, 桌面设备, Máy tính, Υπολογιστής",
            "DESKTOP",
        ),
        (
            "Mobile, Mobil, Handy, Móvil, Mobiel, Мобильный телефон, モバイル, 移动设备, Di động, Κινητό",
            "MOBILE",
        ),
        ("Tablet, Tablette, Tableta, Планшет, タブレット, 平板电脑, Máy tính bảng, Surfplatta", "TABLET"),
    ],
)
def test_devices_are_recognised_by_their_names(names: str, code: str) -> None:
    assert {device_code(name) for name in names.split(", ")} == {code}


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / f"{name}.csv"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / f"{name}.csv").unlink()


def copied(name: str, other: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shutil.copy(folder / f"{name}.csv", folder / f"{other}.csv")

    return change


def overwritten(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / f"{name}.csv").write_bytes(content)

    return change


UNUSABLE = {
    "clicks in words": (
        replaced("Queries", ",3865,", ",many,"),
        r"Queries.csv, line 2: 'many'.*whole number of clicks",
    ),
    "broken thousands": (replaced("Pages", "9553", "9;553"), r"Pages.csv, line 2: '9;553'.*whole number"),
    "fractional clicks": (
        replaced("Pages", ",9553,", ",9553.5,"),
        r"Pages.csv, line 2: '9553.5'.*whole number",
    ),
    "negative impressions": (replaced("Devices", "188869", "-1"), r"Devices.csv, line 3: '-1'.*impressions"),
    "more clicks than impressions": (
        replaced("Dates", ",298,5764", ",5765,5764"),
        r"Dates.csv, line 2: '5765'.*no more clicks than the 5764 impressions",
    ),
    "no rate": (replaced("Dates", "5.17%", "good"), r"Dates.csv, line 2: 'good'.*click-through rate"),
    "no position": (replaced("Dates", ",10.93", ","), r"Dates.csv, line 2: ''.*position"),
    "a position above the first": (
        replaced("Dates", ",10.93", ",0.5"),
        r"Dates.csv, line 2: '0.5'.*at least 1",
    ),
    "no such day": (
        replaced("Dates", "2026-10-31", "2026-10-32"),
        r"Dates.csv, line 2: '2026-10-32'.*a date",
    ),
    "a day twice": (replaced("Dates", "2026-10-31", "2026-10-30"), r"Dates.csv, line 3: '2026-10-30'.*once"),
    "an unknown country": (
        replaced("Countries", "Ireland", "Atlantis"),
        r"Countries.csv, line \d+: 'Atlantis'.*country",
    ),
    "a country twice": (
        replaced("Countries", "Türkiye", "Turkey\nTürkiye"),
        r"Countries.csv, line \d+: .*columns",
    ),
    "two names of a country": (
        replaced("Countries", "Ireland", "Turkey"),
        r"Countries.csv, line 19: 'Türkiye'.*tur once",
    ),
    "a missing column": (replaced("Pages", ",1.57", ""), r"Pages.csv, line 2: 4 columns.*expected 5"),
    "no dates": (
        removed("Dates"),
        r"no file lists dates.*Countries.csv, Devices.csv, Pages.csv, Queries.csv",
    ),
    "no pages": (removed("Pages"), r"no file lists pages"),
    "no queries": (removed("Queries"), r"no file lists queries"),
    "no countries": (removed("Countries"), r"no file lists countries"),
    "no devices": (removed("Devices"), r"no file lists devices"),
    "two files of dates": (copied("Dates", "Chart"), r"Chart.csv and Dates.csv both list dates"),
    "another encoding": (
        overwritten("Queries", "Käse".encode("latin-1")),
        r"Queries.csv cannot be read.*UTF-8",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_the_error_of_an_unusable_file_is_one_line(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = restyled(tmp_path, Style())
    change(folder)
    with pytest.raises(ExportError, match=message) as error:
        ReplayedProperty.from_export(folder)
    assert "\n" not in str(error.value)


def test_the_error_of_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere is not a folder"):
        read_export(tmp_path / "nowhere")
    with pytest.raises(ExportError, match=r"no file lists dates.*found: none"):
        read_export(tmp_path)


def test_the_example_export_is_consistent() -> None:
    export = read_export(EXAMPLE_EXPORT)
    for listing in (export.countries, export.devices):
        assert listing.clicks.sum() == export.dates.clicks.sum()
        assert listing.impressions.sum() == export.dates.impressions.sum()
        assert mean_position(listing) == pytest.approx(mean_position(export.dates), abs=0.02)
    assert export.queries.clicks.sum() < export.dates.clicks.sum() <= export.pages.clicks.sum()
    assert len(export.days) == 90
    assert all(page.startswith("https://www.bluebirdcoffee.example/") for page in export.pages.labels)


def mean_position(listing: Listing) -> float:
    return float(np.average(listing.position, weights=listing.impressions))
