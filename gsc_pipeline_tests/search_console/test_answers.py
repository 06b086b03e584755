from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.search_console.answers import Answer, Site, decode_answer, decode_sites, empty_rows
from gsc_pipeline.search_console.errors import ServiceUnavailableError

BY_QUERY = ("query", "country")
SCHEMA = pa.schema(
    [
        pa.field("query", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("clicks", pa.int64(), nullable=False),
        pa.field("impressions", pa.int64(), nullable=False),
        pa.field("position", pa.float64()),
    ]
)


def row(*keys: str, **changes: Any) -> dict[str, Any]:
    metrics = {"clicks": 12.0, "impressions": 340.0, "ctr": 12 / 340, "position": 4.25}
    return {"keys": list(keys), **metrics, **changes}


def decode(document: Any, dimensions: tuple[str, ...] = BY_QUERY) -> Answer:
    return decode_answer(json.dumps(document).encode(), dimensions)


def test_rows_become_columns_of_exactly_these_types() -> None:
    answer = decode(
        {
            "rows": [row("shoes", "usa"), row("hats", "zzz", clicks=0, impressions=1, position=1)],
            "responseAggregationType": "byProperty",
        }
    )

    assert answer.rows.schema.equals(SCHEMA, check_metadata=True)
    assert answer.rows.to_pydict() == {
        "query": ["shoes", "hats"],
        "country": ["usa", "zzz"],
        "clicks": [12, 0],
        "impressions": [340, 1],
        "position": [4.25, 1.0],
    }
    assert answer.first_incomplete_date is None


def test_an_answer_without_rows_is_empty_and_of_the_same_shape() -> None:
    documents: list[dict[str, Any]] = [{}, {"rows": []}, {"responseAggregationType": "byPage"}]
    for document in documents:
        answer = decode(document)

        assert answer.rows.num_rows == 0
        assert answer.rows.schema.equals(SCHEMA, check_metadata=True)
    assert empty_rows(BY_QUERY).schema.equals(SCHEMA)


def test_without_dimensions_rows_have_no_keys() -> None:
    whole = row()
    del whole["keys"]

    assert decode({"rows": [whole]}, ()).rows.to_pylist() == [
        {"clicks": 12, "impressions": 340, "position": 4.25}
    ]


def test_a_position_that_is_not_given_stays_unknown() -> None:
    feed = row("shoes", "usa")
    del feed["position"]

    answer = decode({"rows": [feed, row("hats", "usa", position=0.0), row("caps", "usa", position=None)]})

    assert answer.rows["position"].to_pylist() == [None, 0.0, None]


@pytest.mark.parametrize("name", ["first_incomplete_date", "firstIncompleteDate"])
def test_the_first_incomplete_date_is_found_in_both_its_spellings(name: str) -> None:
    answer = decode({"rows": [row("2026-11-20")], "metadata": {name: "2026-11-19"}}, ("date",))

    assert answer.first_incomplete_date == date(2026, 11, 19)


@pytest.mark.parametrize("name", ["first_incomplete_hour", "firstIncompleteHour"])
def test_the_first_incomplete_hour_is_a_moment_in_both_its_spellings(name: str) -> None:
    answer = decode(
        {"rows": [row("2026-11-20T07:00:00-08:00")], "metadata": {name: "2026-11-20T07:00:00-08:00"}},
        ("hour",),
    )

    assert answer.first_incomplete_hour == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert answer.first_incomplete_date is None


def test_metadata_without_a_first_incomplete_date_names_none() -> None:
    for metadata in ({}, {"first_incomplete_hour": "2026-11-20T07:00:00-08:00"}, None):
        assert decode({"rows": [row("a", "b")], "metadata": metadata}).first_incomplete_date is None


TEXTS = [
    "null",
    "NaN",
    "None",
    "nan",
    "",
    " ",
    "123",
    "0123",
    "1e5",
    "-0.0",
    "true",
    "2026-11-20",
    "🧦 sock",
    "e\u0301",
    "line\nbreak",
    "quo\"te's\\",
    "nul\u0000l",
    "https://acme.com/" + "a%20" * 500,
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_a_key_stays_the_text_it_is(text: str, ensure_ascii: bool) -> None:
    body = json.dumps({"rows": [row(text, "usa")]}, ensure_ascii=ensure_ascii).encode()

    assert decode_answer(body, BY_QUERY).rows["query"].to_pylist() == [text]


COUNTS = st.integers(0, 2**53)


@given(st.lists(st.tuples(st.text(), COUNTS, COUNTS, st.floats(1, 1_000) | st.none()), max_size=20))
def test_counts_written_as_decimals_become_the_same_whole_numbers(
    rows: list[tuple[str, int, int, float | None]],
) -> None:
    document = {
        "rows": [
            row(query, "usa", clicks=float(clicks), impressions=float(impressions), position=position)
            for query, clicks, impressions, position in rows
        ]
    }

    columns = decode(document).rows.to_pydict()

    assert list(
        zip(columns["query"], columns["clicks"], columns["impressions"], columns["position"], strict=True)
    ) == rows  # fmt: skip


WHOLE = json.dumps({"rows": [row("shoes", "usa"), row("hats", "usa")], "metadata": {}}).encode()


def test_an_answer_cut_anywhere_is_no_answer() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ServiceUnavailableError, match=rf"could not be read \(.*; {length} bytes\)"):
            decode_answer(WHOLE[:length], BY_QUERY)


@pytest.mark.parametrize(
    "document",
    [
        {"rows": [row("shoes", "usa", clicks=12.5)]},
        {"rows": [row("shoes", "usa", impressions=0.1)]},
        {"rows": [row("shoes", "usa", clicks=1e300)]},
        {"rows": [row("shoes", "usa", clicks="12")]},
        {"rows": [row("shoes", "usa", clicks=None)]},
        {"rows": [{"keys": ["shoes", "usa"], "clicks": 1.0}]},
        {"rows": [row("shoes")]},
        {"rows": [row("shoes", "usa", "MOBILE")]},
        {"rows": [row("shoes", "usa"), row("hats")]},
        {"rows": [row()]},
        {"rows": [{**row(), "keys": [1, 2]}]},
        {"rows": [{**row(), "keys": [None, "usa"]}]},
        {"rows": {}},
        {"metadata": {"first_incomplete_date": "soon"}},
        {"metadata": {"first_incomplete_hour": "2026-11-20T07:00:00"}},
        [],
        "rows",
        None,
    ],
)
def test_what_is_no_such_answer_is_never_taken_for_one(document: Any) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode(document)


def test_a_wrong_number_of_keys_is_told_as_that() -> None:
    with pytest.raises(ServiceUnavailableError, match="rows have 1 keys, 2 were asked for"):
        decode({"rows": [row("shoes")]})


DAMAGE = st.sampled_from(
    [b"", b"null", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"\x00", b"\xff", b"NaN", b"{} null"]
)


@given(st.integers(0, len(WHOLE)), st.integers(0, 9), DAMAGE)
def test_a_damaged_answer_is_read_or_refused_and_never_crashes(at: int, lost: int, put: bytes) -> None:
    try:
        rows = decode_answer(WHOLE[:at] + put + WHOLE[at + lost :], BY_QUERY).rows
    except ServiceUnavailableError:
        return
    assert rows.schema.equals(SCHEMA)


@pytest.mark.parametrize("body", [b"null", b"{} null {}", b"{}{}", b"}, null, {"])
def test_what_is_not_one_document_is_no_answer(body: bytes) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_answer(body, BY_QUERY)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><title>Sign in</title>", b"", b"\xff\xfe"])
def test_a_page_or_broken_bytes_are_no_answer(body: bytes) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_answer(body, BY_QUERY)
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_sites(body)


def test_text_that_is_not_utf8_is_no_answer() -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_answer(WHOLE.replace(b"shoes", b"sh\xf6es"), BY_QUERY)


def test_properties_are_listed_with_their_permission_and_unverified_ones_are_not_readable() -> None:
    levels = ["siteOwner", "siteFullUser", "siteRestrictedUser", "siteUnverifiedUser"]
    entries = [{"siteUrl": f"sc-domain:{level}.com", "permissionLevel": level} for level in levels]

    sites = decode_sites(json.dumps({"siteEntry": entries}).encode())

    assert sites == [Site(f"sc-domain:{level}.com", level) for level in levels]
    assert [site.is_readable for site in sites] == [True, True, True, False]


def test_no_properties_are_an_empty_list() -> None:
    assert decode_sites(b"{}") == []


@pytest.mark.parametrize(
    "document", [[], {"siteEntry": [{"siteUrl": "sc-domain:acme.com"}]}, {"siteEntry": "a"}]
)
def test_what_is_no_list_of_properties_is_never_taken_for_one(document: Any) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_sites(json.dumps(document).encode())
