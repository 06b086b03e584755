"""Which requests are valid, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from gsc_pipeline_tests.simulator.wire import Wire

ACME = "sc-domain:acme.example"
DAY = {"startDate": "2026-11-10", "endDate": "2026-11-10"}


def filtered(dimension: str, operator: str = "equals", expression: str = "x", **group: str) -> dict[str, Any]:
    filters = [{"dimension": dimension, "operator": operator, "expression": expression}]
    return {"dimensionFilterGroups": [{"filters": filters, **group}]}


REFUSED = {
    "search appearance beside another dimension": {**DAY, "dimensions": ["searchAppearance", "page"]},
    "discover by query": {**DAY, "type": "discover", "dimensions": ["query"]},
    "googleNews by query": {**DAY, "type": "googleNews", "dimensions": ["query"]},
    "discover filtered by query": {**DAY, "type": "discover", **filtered("query")},
    "discover by device": {**DAY, "type": "discover", "dimensions": ["device"]},
    "byProperty grouped by page": {**DAY, "aggregationType": "byProperty", "dimensions": ["page"]},
    "byProperty filtered by page": {**DAY, "aggregationType": "byProperty", **filtered("page")},
    "byProperty for discover": {**DAY, "aggregationType": "byProperty", "type": "discover"},
    "byProperty for googleNews": {**DAY, "aggregationType": "byProperty", "type": "googleNews"},
    "news showcase for web": {**DAY, "aggregationType": "byNewsShowcasePanel"},
    "news showcase without its filter": {
        **DAY,
        "type": "googleNews",
        "aggregationType": "byNewsShowcasePanel",
        **filtered("searchAppearance", expression="VIDEO"),
    },
    "date with hour": {**DAY, "dimensions": ["date", "hour"], "dataState": "hourly_all"},
    "hour without hourly_all": {**DAY, "dimensions": ["hour"]},
    "hourly_all without hour": {**DAY, "dimensions": ["date"], "dataState": "hourly_all"},
    "a dimension twice": {**DAY, "dimensions": ["page", "page"]},
    "an unknown dimension": {**DAY, "dimensions": ["city"]},
    "filters joined by or": {**DAY, **filtered("page", groupType="or")},
    "a filter by date": {**DAY, **filtered("date")},
    "a filter by hour": {**DAY, **filtered("hour")},
    "an unknown operator": {**DAY, **filtered("page", "startsWith")},
    "a broken regular expression": {**DAY, **filtered("page", "includingRegex", "(")},
    "a regular expression that looks ahead": {**DAY, **filtered("page", "includingRegex", "a(?=b)")},
    "a regular expression that refers back": {**DAY, **filtered("query", "excludingRegex", r"(a)\1")},
    "an expression of 4,097 characters": {**DAY, **filtered("page", "includingRegex", "x" * 4_097)},
    "a filter without expression": {**DAY, "dimensionFilterGroups": [{"filters": [{"dimension": "page"}]}]},
    "no rows": {**DAY, "rowLimit": 0},
    "more than 25,000 rows": {**DAY, "rowLimit": 25_001},
    "a row limit in words": {**DAY, "rowLimit": "many"},
    "a negative start row": {**DAY, "startRow": -1},
    "start after end": {"startDate": "2026-11-11", "endDate": "2026-11-10"},
    "no start": {"endDate": "2026-11-10"},
    "no such day": {"startDate": "2026-02-30", "endDate": "2026-11-10"},
    "a date in another format": {"startDate": "20261101", "endDate": "2026-11-10"},
    "an unknown search type": {**DAY, "type": "shopping"},
    "an unknown data state": {**DAY, "dataState": "partial"},
    "an unknown aggregation": {**DAY, "aggregationType": "bySite"},
    "an unknown field": {**DAY, "limit": 10},
    "dimensions that are no list": {**DAY, "dimensions": "page"},
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_request_is_refused_in_googles_error_format(wire: Wire, body: dict[str, Any]) -> None:
    answer = wire.post_query(ACME, **body)

    error = answer.json()["error"]
    assert (answer.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["errors"][0]["reason"] == "invalidParameter"
    assert error["errors"][0]["domain"] == "global"
    assert error["errors"][0]["message"] == error["message"]
    assert error["errors"][0]["location"]


VALID = {
    "no dimension": DAY,
    "search appearance": {**DAY, "dimensions": ["searchAppearance"]},
    "filtered by search appearance": {**DAY, "dimensions": ["page"], **filtered("searchAppearance")},
    "hours": {**DAY, "dimensions": ["hour"], "dataState": "hourly_all"},
    "discover by country and page": {**DAY, "type": "discover", "dimensions": ["country", "page"]},
    "googleNews by device": {**DAY, "type": "googleNews", "dimensions": ["device"]},
    "the news showcase": {
        **DAY,
        "type": "googleNews",
        "aggregationType": "byNewsShowcasePanel",
        **filtered("searchAppearance", expression="NEWS_SHOWCASE"),
    },
    "byPage without page": {**DAY, "aggregationType": "byPage", "dimensions": ["query"]},
    "byProperty by query": {**DAY, "aggregationType": "byProperty", "dimensions": ["query"]},
    "the most rows": {**DAY, "rowLimit": 25_000, "dimensions": ["query"]},
    "the discovery document's spelling": {
        **DAY,
        "type": "GOOGLE_NEWS",
        "dimensions": ["DATE"],
        "dataState": "ALL",
        "aggregationType": "BY_PAGE",
    },
    "the old name of the type": {**DAY, "searchType": "image"},
    "an expression of 4,096 characters": {**DAY, **filtered("page", "excludingRegex", "x" * 4_096)},
    "a regular expression of RE2": {**DAY, **filtered("query", "includingRegex", r"(?i)\pN+|^caf\x{e9}\z")},
    "many filters": {
        **DAY,
        "dimensionFilterGroups": [
            {"filters": [{"dimension": "country", "operator": "notEquals", "expression": "usa"}] * 40}
        ],
    },
    "filters joined by and": {**DAY, **filtered("country", groupType="and")},
}


@pytest.mark.parametrize("body", VALID.values(), ids=VALID.keys())
def test_a_valid_request_is_answered(wire: Wire, body: dict[str, Any]) -> None:
    assert wire.post_query(ACME, **body).status == 200


def test_the_old_name_of_the_search_type_field_is_accepted(wire: Wire) -> None:
    assert wire.query(ACME, **DAY, searchType="image") == wire.query(ACME, **DAY, type="image")
    assert wire.query(ACME, **DAY, searchType="image") != wire.query(ACME, **DAY)


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_refused(wire: Wire, body: bytes) -> None:
    path = "/webmasters/v3/sites/sc-domain%3Aacme.example/searchAnalytics/query"
    answer = wire.pool.request("POST", wire.url + path, headers=wire.headers, body=body)
    assert answer.status == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_the_answer_has_the_requested_aggregation(wire: Wire) -> None:
    for body in (VALID["the news showcase"], VALID["byPage without page"], VALID["byProperty by query"]):
        assert wire.query(ACME, **body)["responseAggregationType"] == body["aggregationType"]
