from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_pipeline.days import Window
from gsc_pipeline.search_console.answers import Answer, Site, decode_answer, decode_sites
from gsc_pipeline.search_console.errors import ServiceUnavailableError, TransientError, WrongAnswerError
from gsc_pipeline.search_console.json_answers import with_half_pairs_as_text
from gsc_pipeline.search_console.rows import empty_rows
from gsc_pipeline.search_console.search_types import FeedType, QueryType, SearchType

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

WINDOW = Window.inclusive(date(2026, 11, 18), date(2026, 11, 20))


def row(*keys: str, **changes: Any) -> dict[str, Any]:
    metrics = {"clicks": 12.0, "impressions": 340.0, "ctr": 12 / 340, "position": 4.25}
    return {"keys": list(keys), **metrics, **changes}


def decode(
    document: Any, dimensions: tuple[str, ...] = BY_QUERY, search_type: SearchType = QueryType.WEB
) -> Answer:
    return decode_answer(json.dumps(document).encode(), dimensions, search_type, WINDOW)


def decode_bytes(body: bytes) -> Answer:
    return decode_answer(body, BY_QUERY, QueryType.WEB, WINDOW)


def test_rows_become_columns_of_the_documented_types() -> None:
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


def test_an_answer_without_rows_is_empty_and_has_the_same_columns() -> None:
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


@pytest.mark.parametrize("search_type", FeedType)
def test_a_feed_has_no_positions_even_if_the_answer_has(search_type: FeedType) -> None:
    feed = row("https://acme.com/", "usa")
    del feed["position"]
    rows = [feed, *(row(f"https://acme.com/{n}", "usa", position=n) for n in (0.0, 1.0, -5, None))]

    answer = decode({"rows": rows}, ("page", "country"), search_type)

    assert answer.rows["position"].to_pylist() == [None] * 5


def test_a_row_without_impressions_needs_no_position() -> None:
    rows = [row(f"{n}", "usa", clicks=0, impressions=0, position=n) for n in (0.0, None, 3)]

    assert decode({"rows": rows}).rows["position"].to_pylist() == [0.0, None, 3.0]


@pytest.mark.parametrize("name", ["first_incomplete_date", "firstIncompleteDate"])
def test_the_first_incomplete_date_is_read_in_both_spellings(name: str) -> None:
    answer = decode({"rows": [row("2026-11-20")], "metadata": {name: "2026-11-19"}}, ("date",))

    assert answer.first_incomplete_date == date(2026, 11, 19)


@pytest.mark.parametrize("name", ["first_incomplete_hour", "firstIncompleteHour"])
def test_the_first_incomplete_hour_is_read_in_both_spellings(name: str) -> None:
    answer = decode(
        {"rows": [row("2026-11-20T07:00:00-08:00")], "metadata": {name: "2026-11-20T07:00:00-08:00"}},
        ("hour",),
    )

    assert answer.first_incomplete_hour == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert answer.first_incomplete_date is None


def test_metadata_may_have_no_first_incomplete_date() -> None:
    for metadata in ({}, {"first_incomplete_hour": "2026-11-20T07:00:00-08:00"}, None):
        assert decode({"rows": [row("a", "usa")], "metadata": metadata}).first_incomplete_date is None


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
def test_the_text_of_a_key_is_unchanged(text: str, ensure_ascii: bool) -> None:
    body = json.dumps({"rows": [row(text, "usa")]}, ensure_ascii=ensure_ascii).encode()

    assert decode_bytes(body).rows["query"].to_pylist() == [text]


COUNTS = st.integers(0, 2**40).flatmap(lambda most: st.tuples(st.integers(0, most), st.just(most)))


@given(
    st.lists(
        st.tuples(st.text(), COUNTS, st.floats(1, 100)).map(lambda one: (one[0], *one[1], one[2])),
        max_size=20,
        unique_by=lambda one: one[0],
    )
)
def test_counts_written_as_decimals_become_integers(
    rows: list[tuple[str, int, int, float]],
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


def test_an_incomplete_answer_is_never_accepted() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ServiceUnavailableError, match=rf"could not be read \(.*; {length} bytes\)"):
            decode_bytes(WHOLE[:length])


@pytest.mark.parametrize(
    "document",
    [
        {"rows": [row("shoes", "usa", clicks="12")]},
        {"rows": [row("shoes", "usa", clicks=True)]},
        {"rows": [row("shoes", "usa", position="1.0")]},
        {"rows": [{**row(), "keys": [1, 2]}]},
        {"rows": [{**row(), "keys": "shoes"}]},
        {"rows": [["shoes", "usa", 12, 340, 4.25]]},
        {"rows": {}},
        {"rows": None},
        {"rows": "none"},
        {"rows": 0},
        {"error": {"code": 503, "message": "Backend Error"}},
        {"error": "invalid_grant"},
        {"error": None},
        {"error": {"code": 503}, "rows": [row("shoes", "usa")]},
        {"error": "late", "rows": [row("shoes", "usa")]},
        {"error": {"code": 503}, "responseAggregationType": "byPage"},
        {"metadata": {"first_incomplete_date": "soon"}},
        {"metadata": {"first_incomplete_hour": "2026-11-20T07:00:00"}},
        {"metadata": []},
        {"responseAggregationType": 7},
        [],
        [{}],
        [row("shoes", "usa")],
        "rows",
        7,
        True,
        None,
    ],
)
def test_an_answer_of_another_form_is_never_accepted(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="could not be read"):
        decode(document)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"clicks": 12.5}, "clicks 12.5 is not a count"),
        ({"clicks": -1}, "clicks -1 is not a count"),
        ({"clicks": 9.2e18}, "clicks 9.2e+18 is not a count"),
        ({"clicks": 1e300}, "clicks 1e+300 is not a count"),
        ({"clicks": 10**400}, "clicks inf is not a count"),
        ({"clicks": float("nan")}, "clicks nan is not a count"),
        ({"clicks": float("inf")}, "clicks inf is not a count"),
        ({"clicks": None}, "no clicks"),
        ({"clicks": 341}, "clicks 341 is more than its impressions"),
        ({"impressions": 340.1}, "impressions 340.1 is not a count"),
        ({"impressions": -340}, "impressions -340 is not a count"),
        ({"impressions": 2**53}, "impressions 9007199254740992 is not a count"),
        ({"impressions": float("-inf")}, "impressions -inf is not a count"),
        ({"impressions": None}, "no impressions"),
        ({"position": 0}, "position 0 is not between 1 and 10,000"),
        ({"position": 0.99}, "position 0.99 is not between 1 and 10,000"),
        ({"position": -4.25}, "position -4.25 is not between 1 and 10,000"),
        ({"position": 10_001}, "position 10001 is not between 1 and 10,000"),
        ({"position": float("nan")}, "position nan is not between 1 and 10,000"),
        ({"position": float("inf")}, "position inf is not between 1 and 10,000"),
        ({"position": None}, "no position"),
        ({"clicks": 0, "impressions": 0, "position": float("nan")}, "position nan is not between"),
        ({"clicks": 0, "impressions": 0, "position": -1}, "position -1 is not between 1 and 10,000"),
        ({"keys": None}, "0 keys instead of 2"),
        ({"keys": []}, "0 keys instead of 2"),
        ({"keys": ["hats"]}, "1 keys instead of 2"),
        ({"keys": ["hats", "usa", "MOBILE"]}, "3 keys instead of 2"),
        ({"keys": ["hats", None]}, "a key is missing"),
        ({"keys": ["shoes", "usa"]}, "another row has the same keys"),
    ],
)
def test_an_error_names_a_row_that_cannot_be_true(changes: dict[str, Any], complaint: str) -> None:
    rows = [row("shoes", "usa"), row("caps", "usa"), {**row("hats", "usa"), **changes}, row("socks", "usa")]

    with pytest.raises(WrongAnswerError, match=r"^the answer by query, country, row 2 \(") as caught:
        decode({"rows": rows})

    assert complaint in caught.value.cause
    assert len(caught.value.cause) <= 300


def test_a_long_key_is_taken_as_it_is() -> None:
    query = "ü" * 100_001
    assert decode({"rows": [row(query, "usa"), row("shoes", "usa")]}).rows["query"][0].as_py() == query


@pytest.mark.parametrize(
    ("escaped", "read"),
    [
        (r"a\ud800", r"a\ud800"),
        (r"\uDFFFb", r"\udfffb"),
        (r"\ud83d\u0041", r"\ud83dA"),
        (r"\ud83d\ud83d\ude00\ude00", "\\ud83d😀\\ude00"),
        (r"\\ud800\\\ud800", r"\ud800\\ud800"),
    ],
)
def test_half_of_a_surrogate_pair_is_read_as_it_is_written(escaped: str, read: str) -> None:
    body = json.dumps({"rows": [row("here", "usa"), row("shoes", "usa")]}).replace("here", escaped)
    answer = decode_bytes(body.encode())
    assert answer.rows["query"].to_pylist() == [read, "shoes"]
    assert answer.half_pair


@given(st.text(st.characters(exclude_categories=())))
def test_of_a_text_only_halves_of_surrogate_pairs_are_replaced(text: str) -> None:
    # Of two halves that are a pair JSON makes one character.
    text = json.loads(json.dumps(text))
    read = json.loads(with_half_pairs_as_text(json.dumps(text).encode()))
    assert read == "".join(rf"\u{ord(one):x}" if "\ud800" <= one <= "\udfff" else one for one in text)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (("https://acme.com/b", "shoes", "MOBILE", "usa"), "'MOBILE' is no country"),
        (("https://acme.com/b", "usa", "shoes", "MOBILE"), "'shoes' is no country"),
        (("shoes", "https://acme.com/b", "usa", "MOBILE"), "'shoes' is no page"),
        (("https://acme.com/b", "shoes", "USA", "MOBILE"), "'USA' is no country"),
        (("https://acme.com/b", "shoes", "", "MOBILE"), "'' is no country"),
        (("https://acme.com/b", "shoes", "usa", "mobile"), "'mobile' is no device"),
        (("https://acme.com/b", "shoes", "usa\n", "MOBILE"), "is no country"),
    ],
)
def test_keys_in_another_order_or_form_are_a_wrong_answer(keys: tuple[str, ...], complaint: str) -> None:
    dimensions = ("page", "query", "country", "device")
    rows = [row("android-app://com.acme/a", "ok", "zzz", "SMART_TV"), row(*keys)]
    assert decode({"rows": rows[:1]}, dimensions).rows.num_rows == 1
    with pytest.raises(
        WrongAnswerError, match=r"^the answer by page, query, country, device, row 1 \("
    ) as caught:
        decode({"rows": rows}, dimensions)
    assert complaint in caught.value.cause


@pytest.mark.parametrize(
    ("dimension", "text", "complaint"),
    [
        ("date", "yesterday", "its date is invalid"),
        ("date", "\x1b" * 9_000, "its date is invalid"),
        ("date", "2026-11-19T00:00:00-08:00", "its date is invalid"),
        ("date", "2026-11-31", "its date is invalid"),
        ("date", "2026-11-17", "its date is outside 2026-11-18 to 2026-11-20"),
        ("date", "2099-01-01", "its date is outside 2026-11-18 to 2026-11-20"),
        ("date", "20261118", "its date is also spelled '2026-11-18'"),
        ("hour", "7", "its hour is invalid"),
        ("hour", "2026-11-19", "its hour is invalid"),
        ("hour", "2026-11-19T07:00:00", "its hour is invalid"),
        ("hour", "2026-11-19T07:30:00-08:00", "its hour is invalid"),
        ("hour", "0001-01-01T00:00:00+14:00", "its hour is invalid"),
        ("hour", "2026-11-21T00:00:00-08:00", "its hour is outside 2026-11-18 to 2026-11-20"),
        ("hour", "2026-11-18T07:00:00Z", "its hour is outside 2026-11-18 to 2026-11-20"),
        ("hour", "2026-11-18T15:00:00Z", "its hour is also spelled '2026-11-18T07:00:00-08:00'"),
    ],
)
def test_a_day_or_hour_that_was_not_asked_for_or_is_there_twice_is_a_wrong_answer(
    dimension: str, text: str, complaint: str
) -> None:
    first = "2026-11-18" if dimension == "date" else "2026-11-18T07:00:00-08:00"
    with pytest.raises(WrongAnswerError, match=f"^the answer by {dimension}, row 1 ") as caught:
        decode({"rows": [row(first), row(text)]}, (dimension,))
    assert complaint in caught.value.cause
    assert len(caught.value.cause) <= 300


def test_days_and_hours_at_both_ends_of_the_window_are_accepted_in_any_spelling() -> None:
    for dimension, texts in {
        "date": ["2026-11-18", "20261119", "2026-11-20"],
        "hour": ["2026-11-18T00:00:00-08:00", "2026-11-19T12:00:00+00:00", "2026-11-21T07:00:00Z"],
    }.items():
        assert decode({"rows": [row(text) for text in texts]}, (dimension,)).rows.num_rows == 3


def test_an_error_quotes_the_keys_of_a_wrong_row_shortened_and_escaped() -> None:
    with pytest.raises(WrongAnswerError) as caught:
        decode({"rows": [row("\x1b[2J\n\u202e" + "shoe" * 100, "usa", clicks=-1)]})

    assert caught.value.cause == (
        "the answer by query, country, row 0 ('\\x1b[2J \\u202eshoeshoeshoeshoe', 'usa'): "
        "clicks -1 is not a count"
    )


def test_an_error_about_a_row_with_many_long_keys_is_short() -> None:
    dimensions = ("page", "query", "country", "device")
    wrong = [
        row(*["\x00" * 9_000] * 4, clicks=-1e300),
        row(*["ü" * 9_000] * 40),
        row(*["x" * 90_000] * 4),
        row("https://x", "y" * 9_000, "usa", "MOBILE", position=1e300),
    ]
    for one in wrong:
        with pytest.raises(WrongAnswerError) as caught:
            decode(
                {"rows": [*(row("https://x", str(n), "usa", "MOBILE") for n in range(24_000)), one]},
                dimensions,
            )
        assert "row 24000" in caught.value.cause
        assert len(caught.value.cause) <= 300


def test_a_page_with_more_rows_than_requested_is_a_wrong_answer() -> None:
    rows = [row(str(n), "usa") for n in range(25_001)]
    assert decode({"rows": rows[1:]}).rows.num_rows == 25_000
    with pytest.raises(WrongAnswerError, match="25001 rows instead of at most 25000"):
        decode({"rows": rows})


def test_a_null_instead_of_a_row_is_a_wrong_answer() -> None:
    with pytest.raises(WrongAnswerError, match=r"row 1 .*: 0 keys instead of 2"):
        decode({"rows": [row("shoes", "usa"), None]})
    with pytest.raises(WrongAnswerError, match=r"row 0 .*: no clicks"):
        decode({"rows": [None]}, ())


def test_an_answer_without_dimensions_has_one_row() -> None:
    whole = row()
    del whole["keys"]
    with pytest.raises(WrongAnswerError, match=r"row 1 .*more than one row"):
        decode({"rows": [whole, whole]}, ())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"clicks": 2**52, "impressions": 2**52, "position": 1.0},
            "the clicks of its rows sum to 9007199254740992",
        ),
        ({"impressions": 2**52, "position": 1.0}, "the impressions of its rows sum to 9007199254740992"),
        ({"impressions": 2**50, "position": 5.0}, "positions of its rows sum to 9007199254740992"),
    ],
)
def test_a_page_whose_sums_are_inexact_is_a_wrong_answer(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WrongAnswerError, match=complaint):
        decode({"rows": [row("shoes", "usa", **changes), row("hats", "usa", **changes)]})


KEYS = st.text(st.sampled_from("aü🧦\x00"), max_size=3)


@given(st.lists(st.tuples(KEYS, KEYS), max_size=12))
def test_a_page_is_refused_exactly_if_a_key_is_not_unique(keys: list[tuple[str, str]]) -> None:
    document = {"rows": [row(*key) for key in keys]}
    if len(set(keys)) == len(keys):
        assert decode(document, ("query", "searchAppearance")).rows.num_rows == len(keys)
        return
    second = next(n for n, key in enumerate(keys) if key in keys[:n])
    with pytest.raises(WrongAnswerError, match=f"row {second} .*another row has the same keys"):
        decode(document, ("query", "searchAppearance"))


def test_the_lowest_and_highest_numbers_are_accepted() -> None:
    rows = [
        row("least", "usa", clicks=-0.0, impressions=0, position=0),
        row("most", "usa", clicks=0, impressions=1, position=10_000),
        row("ü" * 10_000, "usa", clicks=2**51, impressions=2**51, position=1),
    ]

    assert decode({"rows": rows}).rows["clicks"].to_pylist() == [0, 0, 2**51]


def test_unknown_fields_are_ignored() -> None:
    document = {
        "rows": [{**row("shoes", "usa"), "conversions": [1, {"a": None}]}],
        "novelty": {"rows": [], "error": "inside"},
        "metadata": {"first_incomplete_day": 7},
        "responseAggregationType": "byGalaxy",
    }

    assert decode(document).rows.num_rows == 1
    assert decode({**document, "rows": []}).rows.num_rows == 0


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"rows":[],"rows":[]}', "specified twice"),
        (b'{"rows":[%(row)s],"rows":[]}', "specified twice"),
        (b'{"rows":[{"clicks":1,"clicks":2}]}', "specified twice"),
        (b'{"rows":[{"keys":["a","b"],"keys":["c","d"]}]}', "specified twice"),
        (b'{"rows":[],"metadata":{},"metadata":{}}', "specified twice"),
        (b'{"rows":[{"clicks":1e400}]}', "too big"),
    ],
)
def test_a_duplicate_or_out_of_range_member_is_a_wrong_answer(body: bytes, problem: str) -> None:
    with pytest.raises(WrongAnswerError, match=problem):
        decode_bytes(body.replace(b"%(row)s", json.dumps(row("shoes", "usa")).encode()))


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"rows":[]}',
        b'{"rows":[]},"more":{"rows":[]}',
        b'{"rows":[]},',
        b"{'rows':[]}",
        b'{"rows":[],}',
    ],
)
def test_a_body_that_is_not_json_is_a_failure(body: bytes) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_bytes(body)


NESTED = """
from datetime import date
from gsc_pipeline.days import Window
from gsc_pipeline.search_console.answers import decode_answer
from gsc_pipeline.search_console.errors import WrongAnswerError
from gsc_pipeline.search_console.search_types import QueryType

window = Window.inclusive(date(2026, 11, 20), date(2026, 11, 20))
row = b'{"keys":["shoes"],"clicks":1,"impressions":2,"position":1.0,"x":%s}'
deep = {"list": b"[" * 1_000_000 + b"]" * 1_000_000, "object": b'{"x":' * 1_000_000 + b"1" + b"}" * 1_000_000}
bodies = [
    pattern % nested
    for nested in deep.values()
    for pattern in (
        b'{"rows":%s}', b'{"rows":[{"keys":%s}]}', b'{"metadata":%s}', b'{"error":%s}', b'{"x":%s}', b"%s",
        b'{"rows":[],"x":%s}', b'{"rows":[' + row + b"]}",
    )
]
for body in bodies:
    try:
        print(decode_answer(body, ("query",), QueryType.WEB, window).rows.num_rows)
    except WrongAnswerError:
        print("wrong")
"""


def test_an_answer_nested_a_million_times_does_not_crash() -> None:
    # In another process: a stack overflow would end this one.
    ended = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, check=True)

    assert ended.stdout.split() == ["wrong"] * 7 + ["1"] + ["wrong"] * 7 + ["1"]


DAMAGE = st.sampled_from(
    [b"", b"null", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"\x00", b"\xff", b"NaN", b"{} null"]
)


@given(st.integers(0, len(WHOLE)), st.integers(0, 9), DAMAGE)
def test_a_damaged_answer_is_accepted_or_refused_and_never_crashes(at: int, lost: int, put: bytes) -> None:
    try:
        rows = decode_bytes(WHOLE[:at] + put + WHOLE[at + lost :]).rows
    except TransientError:
        return
    assert rows.schema.equals(SCHEMA)


@pytest.mark.parametrize("body", [b"{} null {}", b"{}{}", b"}, null, {", b'{},"x":{}'])
def test_a_body_of_several_documents_is_never_accepted(body: bytes) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_bytes(body)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><title>Sign in</title>", b"", b"\xff\xfe"])
def test_html_and_invalid_bytes_are_never_accepted(body: bytes) -> None:
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_bytes(body)
    with pytest.raises(ServiceUnavailableError, match="could not be read"):
        decode_sites(body)


@pytest.mark.parametrize("broken", [b"sh\xf6es", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_a_key_must_be_utf8(broken: bytes) -> None:
    with pytest.raises(WrongAnswerError, match=r"row 0 \(.*, 'usa'\): a key is not UTF-8 text"):
        decode_bytes(WHOLE.replace(b"shoes", broken))


def test_a_character_split_over_two_keys_is_not_utf8() -> None:
    with pytest.raises(WrongAnswerError, match="a key is not UTF-8 text"):
        decode_bytes(WHOLE.replace(b'"shoes", "usa"', b'"\xc3", "\xa9"'))


@pytest.mark.parametrize(
    ("document", "names_aggregation", "is_bare"),
    [
        ({}, False, True),
        ({"metadata": {}}, False, True),
        ({"rows": []}, False, False),
        ({"responseAggregationType": "byPage"}, True, False),
        ({"rows": [row("a", "usa")]}, False, False),
    ],
)
def test_an_answer_without_rows_and_aggregation_is_bare(
    document: Any, names_aggregation: bool, is_bare: bool
) -> None:
    answer = decode(document)

    assert (answer.names_aggregation, answer.is_bare) == (names_aggregation, is_bare)


def test_unverified_properties_are_listed_and_not_readable() -> None:
    levels = ["siteOwner", "siteFullUser", "siteRestrictedUser", "siteUnverifiedUser"]
    entries = [{"siteUrl": f"sc-domain:{level}.com", "permissionLevel": level} for level in levels]

    sites = decode_sites(json.dumps({"siteEntry": entries}).encode())

    assert sites == [Site(f"sc-domain:{level}.com", level) for level in levels]
    assert [site.is_readable for site in sites] == [True, True, True, False]


def test_a_list_without_properties_is_empty() -> None:
    assert decode_sites(b"{}") == []


ENTRY = {"siteUrl": "sc-domain:acme.com", "permissionLevel": "siteOwner"}


@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        "none",
        {"siteEntry": None},
        {"siteEntry": {}},
        {"siteEntry": "a"},
        {"siteEntry": [None]},
        {"siteEntry": [{"siteUrl": "sc-domain:acme.com"}]},
        {"siteEntry": [{**ENTRY, "siteUrl": ""}]},
        {"siteEntry": [{**ENTRY, "siteUrl": 7}]},
        {"siteEntry": [{**ENTRY, "siteUrl": "x" * 10_001}]},
        {"error": {"code": 503}},
        {"error": None},
        {"error": {"code": 503}, "siteEntry": [ENTRY]},
    ],
)
def test_an_answer_of_another_form_is_not_a_list_of_properties(document: Any) -> None:
    with pytest.raises(WrongAnswerError, match="the list of properties could not be read"):
        decode_sites(json.dumps(document).encode())


def test_a_list_with_a_property_twice_is_a_wrong_answer() -> None:
    entries = [ENTRY, {**ENTRY, "permissionLevel": "siteUnverifiedUser"}]
    with pytest.raises(WrongAnswerError, match=r"names sc-domain:acme\.com twice"):
        decode_sites(json.dumps({"siteEntry": entries}).encode())


def test_a_deeply_nested_list_of_properties_is_a_wrong_answer() -> None:
    for body in (b'{"siteEntry":' + b"[" * 1_000_000, b'{"x":' * 1_000_000):
        with pytest.raises(WrongAnswerError, match="could not be read"):
            decode_sites(body)


def test_an_unknown_permission_level_is_accepted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gsc_pipeline")
    body = json.dumps({"siteEntry": [{**ENTRY, "permissionLevel": "siteMachine\x1b"}]}).encode()

    for _ in range(3):
        (site,) = decode_sites(body)

    assert site.is_readable
    assert caplog.messages == [
        "the list of properties has an unknown permission level, which is treated as readable: "
        "siteMachine\\x1b"
    ]
