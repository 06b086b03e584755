"""Google's ranking updates are read with care: what cannot be true is refused as a whole, in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_pipeline.lake.annotations.record import Annotation, Kind, Source
from gsc_pipeline.lake.annotations.shipped import shipped
from gsc_pipeline.lake.annotations.stored import known
from gsc_pipeline.lake.lake import Lake
from gsc_pipeline.lake.schemas import ANNOTATIONS
from gsc_pipeline.search_console.errors import SearchConsoleError
from gsc_pipeline.search_console.search_status import SearchStatusError, decode_incidents
from gsc_pipeline.simulator import Reply, Simulator, incident, serving
from gsc_pipeline.sync.annotations import update_annotations

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
ONE = incident("a1", "October 2026 core update", "2026-10-13T16:00:00+00:00", "2026-10-29T04:30:00+00:00")


@contextmanager
def status_page(
    incidents: object = None, reply: Callable[[Any], Reply | None] | None = None
) -> Iterator[tuple[str, Simulator]]:
    simulator = Simulator([], clock=lambda: NOW, faults=reply)
    if incidents is not None:
        simulator.incidents = incidents  # type: ignore[assignment]
    with serving(simulator) as url:
        yield f"{url.rstrip('/')}/incidents.json", simulator


def test_updates_are_stored_by_their_pacific_days(lake: Lake) -> None:
    with status_page() as (address, _):
        held = update_annotations(lake, address, now=NOW)
    google = [one for one in held if one.source is Source.GOOGLE]
    assert [(one.title, one.first_day, one.last_day, one.search_types) for one in google] == [
        ("September 2026 spam update", date(2026, 9, 24), date(2026, 10, 8), ()),
        # 04:30 UTC is still the evening before.
        ("October 2026 Discover update", date(2026, 10, 13), date(2026, 10, 28), ("DISCOVER",)),
        ("November 2026 core update", date(2026, 11, 12), None, ()),
    ]
    assert {one.kind for one in google} == {Kind.RANKING_UPDATE}
    assert google[0].url == "https://status.search.google.com/incidents/XhUDXP7A67iHCD2kmbVu"
    # The shipped one of the same title has made way.
    assert len(held) == len(shipped()) + 2
    assert held == known(lake)


def test_a_second_update_writes_nothing_and_the_end_of_an_update_is_noted(lake: Lake) -> None:
    with status_page() as (address, simulator):
        update_annotations(lake, address, now=NOW)
        version = lake.version_of(ANNOTATIONS)
        update_annotations(lake, address, now=NOW)
        assert lake.version_of(ANNOTATIONS) == version
        ended = incident(
            "simulatedNovember26", "November 2026 core update", "2026-11-12T17:00:00Z", "2026-11-20T17:00:00Z"
        )
        # Google's list is not for ever; what was read once is kept.
        simulator.incidents = [ended]
        update_annotations(lake, address, now=NOW)
    held = {one.title: one.last_day for one in known(lake) if one.source is Source.GOOGLE}
    assert held["November 2026 core update"] == date(2026, 11, 20)
    assert len(held) == 3


HOSTILE: dict[str, tuple[Reply, str]] = {
    "an error": (Reply(503, b"later"), "answered 503"),
    "a redirect": (Reply(302, b"", {"location": "https://evil.example/"}), "answered 302"),
    "HTML": (Reply(200, b"<html>"), "could not be read"),
    "nothing": (Reply(200, b""), "could not be read"),
    "half a document": (Reply(200, json.dumps([ONE]).encode()[:-20]), "could not be read"),
    "an object": (Reply(200, b'{"incidents": []}'), "could not be read"),
    "deep nesting": (Reply(200, b"[" * 100_000), "could not be read"),
    "no UTF-8": (Reply(200, b'[{"id":"\xff"}]'), "could not be read"),
    "more than is accepted": (Reply(200, b" " * 9_000_000), "is larger than 8 MB"),
    "another encoding": (Reply(200, b"x", {"content-encoding": "br"}), "is encoded as br"),
    "a broken connection": (Reply(200, json.dumps([ONE]).encode(), cut_after=50), "no answer from"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_answer_that_cannot_be_used_is_one_line_and_writes_nothing(lake: Lake, what: str) -> None:
    reply, cause = HOSTILE[what]
    with (
        status_page(reply=lambda call: reply) as (address, _),
        pytest.raises(SearchStatusError) as caught,
    ):
        update_annotations(lake, address, yours=[], now=NOW)
    assert cause in str(caught.value)
    assert str(caught.value).endswith("Nothing was written: check GSC_SEARCH_STATUS_URL and the network")
    assert "\n" not in str(caught.value)
    assert lake.version_of(ANNOTATIONS) is None


@pytest.mark.parametrize(
    ("incidents", "cause"),
    [
        ([], "has 0 of the product Ranking, expected 1 to 500"),
        ([{**ONE, "service_name": "Serving", "affected_products": []}], "has 0 of the product Ranking"),
        ([{**ONE, "id": f"a{number}"} for number in range(501)], "has 501 of the product Ranking"),
        ([ONE, ONE], "has https://status.search.google.com/incidents/a1 2 times"),
        ([{**ONE, "id": ""}], "its id has other characters"),
        ([{**ONE, "id": "../x"}], "its id has other characters"),
        ([{**ONE, "id": "a" * 65}], "its id has other characters"),
        ([{**ONE, "begin": "yesterday"}], "its begin is 'yesterday', no time with a time zone"),
        ([{**ONE, "begin": "2026-10-13T16:00:00"}], "no time with a time zone"),
        ([{**ONE, "begin": "0001-01-01T00:00:00+00:00"}], "no time with a time zone"),
        ([{**ONE, "begin": "1999-01-01T00:00:00+00:00"}], "it begins on 1998-12-31"),
        ([{**ONE, "begin": "2027-01-01T12:00:00+00:00"}], "it begins on 2027-01-01"),
        ([{**ONE, "end": "2026-10-01T12:00:00+00:00"}], "it begins on 2026-10-13 and ends on 2026-10-01"),
        ([{**ONE, "end": "2099-10-01T12:00:00+00:00"}], "ends on 2099-10-01"),
        ([{**ONE, "external_desc": " "}], "it has no title"),
        ([{**ONE, "external_desc": 7}], "Expected `str`, got `int`"),
        ([{name: value for name, value in ONE.items() if name != "begin"}], "its begin is '', no time"),
        ([None], "Expected `object`, got `null`"),
    ],
)
def test_one_incident_that_cannot_be_true_refuses_the_document(incidents: list[Any], cause: str) -> None:
    with pytest.raises(SearchConsoleError) as caught:
        decode_incidents(json.dumps(incidents).encode(), NOW, title_characters=120)
    assert cause in str(caught.value)


def test_incidents_of_other_products_are_left_out_whatever_they_are() -> None:
    other = {**incident("x", "", "", product="Crawling"), "id": "no id!"}
    found = decode_incidents(json.dumps([other, ONE]).encode(), NOW, title_characters=120)
    assert [one.title for one in found] == ["October 2026 core update"]


def test_titles_are_one_short_line_without_what_acts_on_a_terminal(lake: Lake) -> None:
    title = "Core\n update \x1b[2J\u202e" + "x" * 500
    with status_page([{**ONE, "external_desc": title}]) as (address, _):
        held = update_annotations(lake, address, now=NOW)
    (one,) = [one for one in held if one.source is Source.GOOGLE]
    assert one.title.startswith("Core update \\x1b[2J\\u202exxx")
    assert len(one.title) == 120


def test_an_end_that_is_empty_or_null_means_that_it_goes_on() -> None:
    for end in (None, ""):
        (one,) = decode_incidents(json.dumps([{**ONE, "end": end}]).encode(), NOW, title_characters=120)
        assert one.last_day is None


values = st.none() | st.integers() | st.text(max_size=6) | st.just([]) | st.just({"title": "Ranking"})


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(ONE)), values, min_size=1, max_size=2))
def test_any_document_is_read_or_refused(changed: dict[str, Any]) -> None:
    incidents = [ONE, {**ONE, "id": "b", **changed}]
    try:
        found = decode_incidents(json.dumps(incidents).encode(), NOW, title_characters=120)
    except SearchConsoleError:
        return
    for one in found:
        Annotation(Kind.RANKING_UPDATE, one.title, one.first_day, one.last_day, url=one.url)
