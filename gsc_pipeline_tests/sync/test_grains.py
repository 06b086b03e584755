"""The rows of the tables, built from the API's answers at each grain."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
from hypothesis import strategies as st

from gsc_pipeline.lake.encoding import decoded_schema
from gsc_pipeline.lake.schemas import SEARCH_APPEARANCE_FLAGS, SITE_IMPRESSION, URL_IMPRESSION
from gsc_pipeline.search_console.requests import CellFilter, PageFilter
from gsc_pipeline.search_console.search_types import FeedType, QueryType
from gsc_pipeline.sync.grains import DayOf, site_rows, url_rows
from gsc_pipeline_tests.doubles import Row, answer
from gsc_pipeline_tests.soak import any_of

DAY = DayOf("acme", "sc-domain:acme.com", QueryType.WEB, date(2026, 11, 20))
SITE = ("country", "device")


def rows(dimensions: tuple[str, ...], *of: Row) -> pa.Table:
    return answer(dimensions, of).rows


def anonymized(table: pa.Table) -> list[dict[str, object]]:
    return [row for row in table.to_pylist() if row["is_anonymized_query"]]


def test_positions_are_stored_as_sums_counted_from_zero() -> None:
    totals = rows(SITE, ("usa", "MOBILE", 1, 3, 1 + 2 / 3))
    queries = rows(("query", *SITE), ("shoes", "usa", "MOBILE", 1, 3, 1 + 2 / 3))
    (row,) = site_rows(DAY, totals, queries).to_pylist()
    assert (row["impressions"], row["sum_top_position"]) == (3, 2)


def test_the_totals_minus_the_named_queries_are_one_anonymised_row_per_country_and_device() -> None:
    totals = rows(SITE, ("usa", "MOBILE", 10, 100, 5.0), ("fra", "DESKTOP", 2, 20, 3.0))
    queries = rows(
        ("query", *SITE),
        ("shoes", "usa", "MOBILE", 4, 30, 2.0),
        ("boots", "usa", "MOBILE", 1, 10, 4.0),
    )
    table = site_rows(DAY, totals, queries)
    assert table.num_rows == 4
    france, america = sorted(anonymized(table), key=lambda row: str(row["country"]))
    assert (america["query"], america["clicks"], america["impressions"]) == ("", 5, 60)
    assert america["sum_top_position"] == 400 - 30 - 30
    assert (france["clicks"], france["impressions"], france["sum_top_position"]) == (2, 20, 40)


def test_the_residual_of_a_cell_is_cut_unless_one_answer_has_all_its_queries() -> None:
    cells = [(country, device) for country in ("usa", "fra") for device in ("MOBILE", "DESKTOP")]
    totals = rows(SITE, *((*cell, 10, 100, 5.0) for cell in cells))
    queries = rows(("query", *SITE), *(("shoes", *cell, 4, 30, 2.0) for cell in cells))
    mobile, not_france = CellFilter("device", "MOBILE"), CellFilter("country", "fra", is_excluded=True)
    desktop = CellFilter("device", "DESKTOP")
    table = site_rows(DAY, totals, queries, complete=[(mobile,), (desktop, not_france)])
    cut = [row for row in table.to_pylist() if row["is_truncated"]]
    assert [(row["country"], row["device"], row["is_anonymized_query"]) for row in cut] == [
        ("fra", "DESKTOP", True)
    ]
    assert {row["is_truncated"] for row in site_rows(DAY, totals, queries, complete=()).to_pylist()} == {
        True,
        False,
    }


def test_a_page_is_cut_unless_an_answer_by_its_folder_has_all_its_queries() -> None:
    keys = ("page", *SITE)
    totals = rows(
        keys,
        *((f"https://acme.com/{path}", "usa", "MOBILE", 10, 100, 5.0) for path in ("shop/a", "shopping", "")),
    )
    queries = rows(("query", *keys))
    shop = PageFilter(r"^https://acme\.com/shop(/|$)")
    table = url_rows(DAY, totals, queries, complete=[(shop,)])
    assert {row["url"] for row in table.to_pylist() if row["is_truncated"]} == {
        "https://acme.com/shopping",
        "https://acme.com/",
    }
    but_shop = PageFilter(shop.pattern, is_excluded=True)
    both = url_rows(DAY, totals, queries, complete=[(shop,), (but_shop,)])
    assert not any(both["is_truncated"].to_pylist())


def test_a_residual_of_zero_makes_no_row_and_a_residual_is_never_negative() -> None:
    totals = rows(SITE, ("usa", "MOBILE", 4, 30, 2.0), ("fra", "MOBILE", 1, 10, 2.0))
    queries = rows(
        ("query", *SITE),
        ("shoes", "usa", "MOBILE", 4, 30, 2.0),
        # Counted after the totals, so it exceeds them.
        ("boots", "fra", "MOBILE", 2, 9, 5.0),
    )
    (row,) = anonymized(site_rows(DAY, totals, queries))
    assert (row["country"], row["clicks"], row["impressions"], row["sum_top_position"]) == ("fra", 0, 1, 0)


def test_a_total_without_impressions_may_have_no_position() -> None:
    unshown = ("usa", "MOBILE", 0, 0, None)
    totals = rows(SITE, unshown, ("fra", "MOBILE", 1, 10, 2.0))
    queries = rows(("query", *SITE), ("boots", *unshown), ("shoes", "fra", "MOBILE", 0, 4, 3.0))
    (row,) = anonymized(site_rows(DAY, totals, queries))
    assert (row["country"], row["clicks"], row["impressions"], row["sum_top_position"]) == ("fra", 1, 6, 2)


def test_a_query_without_its_total_is_kept() -> None:
    queries = rows(("query", *SITE), ("shoes", "usa", "MOBILE", 4, 30, 2.0))
    table = site_rows(DAY, rows(SITE), queries)
    assert [row["query"] for row in table.to_pylist()] == ["shoes"]


def test_rows_have_exactly_the_columns_and_types_of_their_tables() -> None:
    totals = rows(SITE, ("usa", "MOBILE", 10, 100, 5.0))
    queries = rows(("query", *SITE), ("shoes", "usa", "MOBILE", 4, 30, 2.0))
    table = site_rows(DAY, totals, queries)
    assert decoded_schema(table.schema).equals(SITE_IMPRESSION.schema)
    pages = rows(("page", *SITE), ("https://acme.com/", "usa", "MOBILE", 10, 100, 5.0))
    page_queries = rows(("page", "query", *SITE), ("https://acme.com/", "shoes", "usa", "MOBILE", 4, 30, 2.0))
    table = url_rows(DAY, pages, page_queries)
    assert decoded_schema(table.schema).equals(URL_IMPRESSION.schema)
    row = table.to_pylist()[0]
    assert (row["search_type"], row["month"], row["data_date"]) == ("WEB", "2026-11", DAY.day)
    assert row["is_anonymized_discover"] is False
    assert {row[flag] for flag in SEARCH_APPEARANCE_FLAGS} == {None}


def test_feeds_have_no_query_no_position_and_nothing_anonymised() -> None:
    discover = DayOf("acme", "sc-domain:acme.com", FeedType.DISCOVER, DAY.day)
    (site,) = site_rows(discover, rows(("country",), ("usa", 10, 100, None)), None).to_pylist()
    assert (site["query"], site["is_anonymized_query"], site["device"]) == ("", False, None)
    assert site["sum_top_position"] is None
    (url,) = url_rows(
        discover, rows(("page", "country"), ("https://acme.com/", "usa", 10, 100, None)), None
    ).to_pylist()
    assert (url["search_type"], url["url"], url["sum_position"]) == ("DISCOVER", "https://acme.com/", None)


def test_a_day_without_rows_makes_tables_without_rows() -> None:
    assert site_rows(DAY, rows(SITE), rows(("query", *SITE))).num_rows == 0
    assert url_rows(DAY, rows(("page", *SITE)), rows(("page", "query", *SITE))).num_rows == 0


_keys = st.tuples(st.sampled_from(["usa", "fra", "zzz"]), st.sampled_from(["MOBILE", "TABLET"]))
_counts = st.tuples(st.integers(0, 50), st.integers(1, 500), st.integers(0, 5000))


@any_of(
    few=25,
    many=100,
    named=st.dictionaries(st.tuples(st.text(max_size=5), _keys), _counts, max_size=12),
    hidden=st.dictionaries(_keys, _counts, max_size=6),
)
def test_named_and_anonymised_rows_together_are_the_totals_exactly(
    named: dict[tuple[str, tuple[str, str]], tuple[int, int, int]],
    hidden: dict[tuple[str, str], tuple[int, int, int]],
) -> None:
    truth: dict[tuple[str, str], tuple[int, int, int]] = {}
    for key, counts in [*((key, counts) for (_, key), counts in named.items()), *hidden.items()]:
        before = truth.get(key, (0, 0, 0))
        truth[key] = (before[0] + counts[0], before[1] + counts[1], before[2] + counts[2])

    def wire(counts: tuple[int, int, int]) -> tuple[int, int, float]:
        clicks, impressions, sum_position = counts
        return clicks, impressions, sum_position / impressions + 1

    totals = rows(SITE, *((*key, *wire(counts)) for key, counts in truth.items()))
    queries = rows(("query", *SITE), *((q, *key, *wire(counts)) for (q, key), counts in named.items()))
    table = site_rows(DAY, totals, queries)
    sums = table.group_by(["country", "device"]).aggregate(
        [("clicks", "sum"), ("impressions", "sum"), ("sum_top_position", "sum")]
    )
    found = {
        (row["country"], row["device"]): (
            row["clicks_sum"],
            row["impressions_sum"],
            row["sum_top_position_sum"],
        )
        for row in sums.to_pylist()
    }
    assert found == truth
