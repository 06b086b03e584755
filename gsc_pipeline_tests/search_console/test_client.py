from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.client import HttpSearchConsole, Usage
from gsc_pipeline.search_console.errors import (
    ApiDisabledError,
    CredentialUnusableError,
    DailyQuotaError,
    IllegalRequestError,
    LoadQuotaError,
    PropertyForbiddenError,
    PropertyNotFoundError,
    QuotaError,
    SearchConsoleError,
    ServiceUnavailableError,
    WrongAnswerError,
)
from gsc_pipeline.search_console.requests import (
    AnalyticsRequest,
    DailyTotals,
    PageQueries,
    PageTotals,
    PropertyQueries,
    PropertyTotals,
)
from gsc_pipeline.search_console.retries import RetryPolicy
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, QueryType, SearchType
from gsc_pipeline.search_console.transport import Limits
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Reply, google_error, write_service_account_key
from gsc_pipeline.wiring import console_opener
from gsc_pipeline.workspaces import Workspace
from gsc_pipeline_tests.search_console.conftest import DOMAIN, NOT_OURS, SHOP, UNVERIFIED, Wire

TODAY = pacific_today(utc_now())
DAY = Window.last_complete(10, TODAY).start
TOTALS = DailyTotals(QueryType.WEB, Window.last_complete(10, TODAY))
QUERIES = PropertyQueries(QueryType.WEB, DAY)

DOWN = google_error(503, "backendError", "Backend Error")
HTML_DOWN = Reply(502, b"<!DOCTYPE html><title>Error 502</title>")
EXPIRED = google_error(401, "authError", "Invalid Credentials")


def refused(status: int, reason: str, message: str = "", **headers: str) -> Reply:
    domain = "usageLimits" if "Exceeded" in reason or reason == "accessNotConfigured" else "global"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return google_error(status, reason, message, domain, headers=named)


def test_the_properties_of_the_credential_are_listed_with_their_permission(wire: Wire) -> None:
    assert wire.console().sites() == [
        Site(DOMAIN, "siteOwner"),
        Site(SHOP, "siteOwner"),
        Site(UNVERIFIED, "siteUnverifiedUser"),
    ]


@pytest.mark.parametrize("search_type", SEARCH_TYPES)
def test_every_request_is_answered_in_its_shape(search_type: SearchType, wire: Wire) -> None:
    console = wire.console()
    requests: list[AnalyticsRequest] = [
        DailyTotals(search_type, TOTALS.window),
        PropertyTotals(search_type, DAY),
        PageTotals(search_type, DAY),
    ]
    if isinstance(search_type, QueryType):
        requests += [PropertyQueries(search_type, DAY), PageQueries(search_type, DAY)]

    for request in requests:
        rows = console.query(DOMAIN, request).rows

        assert rows.num_rows > 0
        assert rows.column_names == [*request.dimensions, "clicks", "impressions", "position"]
        assert (rows["position"].null_count == 0) is isinstance(search_type, QueryType)
    assert console.usage() == Usage(calls=len(requests), retries=0)


def test_the_probe_tells_each_days_totals_and_the_first_incomplete_day(wire: Wire) -> None:
    answer = wire.console().query(DOMAIN, TOTALS)

    days = [date.fromisoformat(text) for text in answer.rows["date"].to_pylist()]
    assert days[0] == TOTALS.window.start
    assert set(days) <= set(TOTALS.window)
    assert answer.first_incomplete_date in TOTALS.window


def test_reading_goes_on_from_the_row_that_is_asked_for(wire: Wire) -> None:
    console = wire.console()

    whole = console.query(DOMAIN, QUERIES).rows
    rest = console.query(DOMAIN, QUERIES, start_row=3).rows

    assert rest.equals(whole.slice(3))


@pytest.mark.parametrize("site_url", [DOMAIN, SHOP, "https://acme.com/a b/?ü&%2F#+/"])
def test_a_property_is_one_path_segment_with_nothing_left_unencoded(site_url: str, wire: Wire) -> None:
    wire.answer_instead("query", Reply(200, {"rows": []}))

    wire.console().query(site_url, TOTALS)

    path = wire.simulator.exchanges[-1].path
    assert re.fullmatch(r"/webmasters/v3/sites/[A-Za-z0-9._~%-]+/searchAnalytics/query", path)
    assert path.count("%") >= sum(not char.isalnum() and char not in "._~-" for char in site_url)
    assert wire.simulator.calls[-1].site_url == site_url


def test_the_address_of_the_api_may_end_with_a_slash_or_not(wire: Wire) -> None:
    for base_url in (wire.url, wire.url + "/"):
        wire.console(base_url=base_url).query(DOMAIN, TOTALS)

    first, second = (exchange for exchange in wire.simulator.exchanges if "query" in exchange.path)
    assert first.path == second.path == "/webmasters/v3/sites/sc-domain%3Aacme.com/searchAnalytics/query"


def test_answers_come_compressed(wire: Wire) -> None:
    rows = wire.console().query(DOMAIN, PageQueries(QueryType.WEB, DAY)).rows

    exchange = wire.simulator.exchanges[-1]
    assert "gzip" in exchange.headers["accept-encoding"]
    # Google compresses only for agents that say so, too.
    assert "gzip" in exchange.headers["user-agent"]
    assert exchange.answer_headers["content-encoding"] == "gzip"
    assert rows.num_rows > 0


def test_connections_are_used_again(wire: Wire) -> None:
    wire.answer_instead("query", None, DOWN, refused(403, "forbidden"))
    console = wire.console()

    console.query(DOMAIN, TOTALS)
    with pytest.raises(PropertyForbiddenError):
        console.query(DOMAIN, TOTALS)
    console.sites()

    assert len(wire.simulator.exchanges) == 5
    assert len({exchange.port for exchange in wire.simulator.exchanges}) == 1


def test_many_threads_share_a_client_its_connections_and_its_token(wire: Wire) -> None:
    console = wire.console(limits=Limits(connections=3))
    expected = wire.console().query(DOMAIN, QUERIES).rows
    wire.simulator.exchanges.clear()
    wire.simulator.calls.clear()
    threads = 8
    start = Barrier(threads)

    def read(_: int) -> list[Any]:
        start.wait()
        return [console.query(DOMAIN, QUERIES).rows for _ in range(3)]

    with ThreadPoolExecutor(threads) as pool:
        answers = [rows for answers in pool.map(read, range(threads)) for rows in answers]

    assert all(rows.equals(expected) for rows in answers)
    assert console.usage() == Usage(calls=24, retries=0)
    assert wire.count("query") == 24
    assert wire.count("token") == 1
    assert len({exchange.port for exchange in wire.simulator.exchanges}) <= 3


@pytest.mark.parametrize(
    "failures",
    [
        [DOWN],
        [DOWN, HTML_DOWN],
        [refused(500, "internalError"), Reply(504, b"")],
        [Reply(200, b"<!DOCTYPE html><title>Sign in</title>")],
        [Reply(200, b'{"rows": [{"keys": ["2026-11-20"], "cli')],
        [refused(403, "quotaExceeded"), refused(429, "rateLimitExceeded")],
        [Reply(cut_after=0)],
        [Reply(cut_after=50), Reply(cut_after=1)],
    ],
)
def test_a_call_that_fails_for_now_is_repeated_until_it_is_answered(
    failures: list[Reply], wire: Wire
) -> None:
    console = wire.console()
    truth = console.query(DOMAIN, TOTALS)
    wire.answer_instead("query", *failures)

    assert console.query(DOMAIN, TOTALS) == truth

    assert console.usage() - Usage(calls=1) == Usage(calls=len(failures) + 1, retries=len(failures))
    assert wire.count("query") == len(failures) + 2
    assert len(wire.waits) == len(failures)


def test_what_stays_broken_is_raised_after_the_last_attempt(wire: Wire) -> None:
    wire.answer_instead("query", *[DOWN] * 10)
    console = wire.console(retry=RetryPolicy(attempts=4, sleep=wire.waits.append))

    with pytest.raises(ServiceUnavailableError, match=r"503 .*Backend Error"):
        console.query(DOMAIN, TOTALS)

    assert console.usage() == Usage(calls=4, retries=3)
    assert wire.count("query") == 4
    assert len(wire.waits) == 3


@pytest.mark.parametrize(
    "failure", [refused(429, "rateLimitExceeded", Retry_After="7"), Reply(503, b"", {"retry-after": "7"})]
)
def test_retry_after_is_obeyed(failure: Reply, wire: Wire) -> None:
    wire.answer_instead("query", failure)

    wire.console().query(DOMAIN, TOTALS)

    assert wire.waits == [7.0]


@pytest.mark.parametrize(
    ("failure", "expected", "seconds"),
    [
        (refused(429, "rateLimitExceeded", Retry_After="61"), QuotaError, 61.0),
        (Reply(503, b"", {"Retry-After": "3600"}), ServiceUnavailableError, 3600.0),
        (refused(403, "quotaExceeded", "Search Analytics load quota exceeded."), LoadQuotaError, 900.0),
    ],
)
def test_a_wait_longer_than_the_longest_is_left_to_the_next_sync(
    failure: Reply, expected: type[QuotaError], seconds: float, wire: Wire
) -> None:
    wire.answer_instead("query", failure)

    with pytest.raises(expected) as caught:
        wire.console().query(DOMAIN, TOTALS)

    assert type(caught.value) is expected
    assert caught.value.retry_after == seconds
    assert wire.waits == []
    assert wire.count("query") == 1


def test_a_daily_quota_is_not_waited_for(wire: Wire) -> None:
    wire.answer_instead("query", refused(403, "dailyLimitExceeded"))

    with pytest.raises(DailyQuotaError):
        wire.console(retry=RetryPolicy(longest_wait_seconds=0, sleep=wire.waits.append)).query(DOMAIN, TOTALS)

    assert (wire.waits, wire.count("query")) == ([], 1)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (refused(400, "invalidParameter", "Invalid value"), IllegalRequestError),
        (refused(403, "forbidden", "User does not have sufficient permission"), PropertyForbiddenError),
        (refused(403, "accessNotConfigured", "Access Not Configured"), ApiDisabledError),
        (refused(404, "notFound", "Not Found"), PropertyNotFoundError),
        (Reply(302, b"", {"Location": "/webmasters/v3/sites"}), IllegalRequestError),
        (Reply(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}), IllegalRequestError),
    ],
)
def test_what_another_try_cannot_mend_is_never_repeated(
    failure: Reply, expected: type[SearchConsoleError], wire: Wire
) -> None:
    wire.answer_instead("query", failure)
    console = wire.console()

    with pytest.raises(expected, match=str(failure.status)):
        console.query(DOMAIN, TOTALS)

    assert console.usage() == Usage(calls=1, retries=0)
    assert [call.kind for call in wire.simulator.calls] == ["token", "query"]
    assert wire.waits == []


@pytest.mark.parametrize("site_url", [NOT_OURS, UNVERIFIED, "https://shop.acme.com", "sc-domain:unknown.com"])
def test_a_property_that_is_not_ours_is_named_in_the_refusal(site_url: str, wire: Wire) -> None:
    with pytest.raises(PropertyForbiddenError, match=re.escape(f"'{site_url}'")):
        wire.console().query(site_url, TOTALS)


def test_a_refused_token_is_renewed_once_and_the_call_repeated_once(wire: Wire) -> None:
    console = wire.console()
    truth = console.query(DOMAIN, TOTALS)
    wire.answer_instead("query", EXPIRED)

    assert console.query(DOMAIN, TOTALS) == truth

    assert [call.kind for call in wire.simulator.calls] == ["token", "query", "query", "token", "query"]
    assert console.usage() == Usage(calls=3, retries=1)
    assert wire.waits == []


def test_a_fresh_token_that_is_refused_too_means_the_credential_is_dead(wire: Wire) -> None:
    wire.answer_instead("query", EXPIRED, EXPIRED, EXPIRED)
    console = wire.console()

    with pytest.raises(
        CredentialUnusableError, match=r"fresh access token was refused .*Invalid Credentials"
    ):
        console.query(DOMAIN, TOTALS)

    assert [call.kind for call in wire.simulator.calls] == ["token", "query", "token", "query"]
    assert console.usage() == Usage(calls=2, retries=1)


def test_a_call_after_a_refused_token_may_still_fail_for_now_and_be_repeated(wire: Wire) -> None:
    wire.answer_instead("query", EXPIRED, DOWN)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    assert console.usage() == Usage(calls=3, retries=2)
    assert wire.count("token") == 2


def test_a_refused_connection_says_where_and_what_to_do(wire: Wire, refusing_address: str) -> None:
    console = wire.console(base_url=refusing_address + "/")

    with pytest.raises(ServiceUnavailableError) as caught:
        console.query(DOMAIN, TOTALS)

    assert re.fullmatch(
        rf"no answer from {refusing_address} \(Failed to establish a new connection: .*Connection refused\); "
        r"the next sync tries again; check GSC_API_URL and the network if it lasts",
        str(caught.value),
    )
    assert console.usage() == Usage(calls=3, retries=2)


def test_an_address_that_does_not_speak_tls_says_so(wire: Wire) -> None:
    base_url = wire.url.replace("http:", "https:")

    with pytest.raises(ServiceUnavailableError, match=rf"no answer from {base_url} \(.*WRONG_VERSION_NUMBER"):
        wire.console(base_url=base_url).query(DOMAIN, TOTALS)


def test_an_answer_that_does_not_come_is_not_waited_for_forever(wire: Wire, silent_address: str) -> None:
    console = wire.console(base_url=silent_address, limits=Limits(silent_seconds=0.05))

    with pytest.raises(ServiceUnavailableError) as caught:
        console.query(DOMAIN, TOTALS)

    assert caught.value.cause == f"no answer from {silent_address} (Read timed out. (read timeout=0.05))"
    assert console.usage() == Usage(calls=3, retries=2)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "Connection aborted: Remote end closed connection without response"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            "Connection broken: IncompleteRead(2 bytes read, 97 more expected)",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "Connection aborted: SSH-2.0-OpenSSH_9.6"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n{}",
            "the answer cannot be unpacked: Error -3 while decompressing data: incorrect header check",
        ),
    ],
)
def test_a_broken_answer_reads_as_what_was_wrong_with_it(
    answer: bytes, reason: str, wire: Wire, rude_address: Callable[[bytes], str]
) -> None:
    address = rude_address(answer)

    with pytest.raises(ServiceUnavailableError) as caught:
        wire.console(base_url=address).query(DOMAIN, TOTALS)

    assert caught.value.cause == f"no answer from {address} ({reason})"
    assert len(wire.waits) == 2


def test_a_compressed_answer_cut_short_is_never_taken_for_a_whole_one(
    wire: Wire, rude_address: Callable[[bytes], str]
) -> None:
    whole = gzip.compress(b'{"rows": []}' + b" " * 100_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
    address = rude_address(head + whole[:-20])

    with pytest.raises(ServiceUnavailableError, match="Connection broken"):
        wire.console(base_url=address).query(DOMAIN, TOTALS)


@pytest.mark.parametrize("base_url", ["http://a..b/", "not an address", "gopher://localhost"])
def test_an_address_that_is_none_is_an_error_of_ours(base_url: str, wire: Wire) -> None:
    with pytest.raises(ServiceUnavailableError, match=re.escape(f"no answer from {base_url.rstrip('/')} (")):
        wire.console(base_url=base_url).sites()


def test_usage_is_counted_from_call_to_call(wire: Wire) -> None:
    console = wire.console()
    assert console.usage() == Usage(0, 0)
    console.sites()
    before = console.usage()
    wire.answer_instead("query", DOWN)

    console.query(DOMAIN, TOTALS)

    assert before == Usage(calls=1, retries=0)
    assert console.usage() - before == Usage(calls=2, retries=1)


BARE = Reply(200, {})
NOTHING = Reply(200, {"responseAggregationType": "byProperty"})


def questions(wire: Wire) -> list[tuple[list[str], int]]:
    """What each query was grouped by, and the row it started from."""
    bodies = [call.body for call in wire.simulator.calls if call.kind == "query"]
    return [(body["dimensions"], body["startRow"]) for body in bodies]


def test_a_bare_answer_of_an_api_that_names_the_aggregation_of_nothing_is_asked_for_again(
    wire: Wire,
) -> None:
    truth = wire.console().query(DOMAIN, QUERIES)
    wire.simulator.calls.clear()
    wire.answer_instead("query", BARE, None, None)
    console = wire.console()

    assert console.query(DOMAIN, QUERIES) == truth

    of_queries = ["query", "country", "device"]
    assert questions(wire) == [(of_queries, 0), (["date"], 25_000), (of_queries, 0)]
    assert console.usage() == Usage(calls=3, retries=1)
    (control,) = [call.body for call in wire.simulator.calls if call.body.get("startRow") == 25_000]
    assert control["startDate"] == control["endDate"] == DAY.isoformat()
    assert control["type"] == "web"


def test_an_api_that_keeps_answering_bare_against_its_habit_is_wrong(wire: Wire) -> None:
    wire.answer_instead("query", BARE, NOTHING, BARE, BARE, BARE)
    console = wire.console()

    for _ in range(2):
        with pytest.raises(WrongAnswerError, match=r"the answer is \{\}"):
            console.query(DOMAIN, QUERIES)

    # The second time its habit is known.
    assert [start for _, start in questions(wire)] == [0, 25_000, 0, 0, 0]


def test_an_api_that_always_answers_bare_when_there_is_nothing_is_believed_and_asked_each_time(
    wire: Wire,
) -> None:
    wire.answer_instead("query", *[BARE] * 4)
    console = wire.console()

    for _ in range(2):
        assert console.query(DOMAIN, TOTALS).rows.num_rows == 0

    assert [start for _, start in questions(wire)] == [0, 25_000, 0, 25_000]


def test_an_empty_answer_that_named_its_aggregation_is_remembered(wire: Wire) -> None:
    wire.answer_instead("query", NOTHING, BARE, None)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows == 0
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0

    assert [start for _, start in questions(wire)] == [0, 0, 0]


def test_a_control_question_that_is_answered_by_rows_proves_the_api_wrong(wire: Wire) -> None:
    rows = [{"keys": ["2026-11-20"], "clicks": 1, "impressions": 2, "position": 1}]
    wire.answer_instead("query", BARE, Reply(200, {"rows": rows}))

    with pytest.raises(WrongAnswerError, match="single day"):
        wire.console().query(DOMAIN, TOTALS)


def test_a_control_question_that_fails_fails_the_call(wire: Wire) -> None:
    wire.answer_instead("query", BARE, DOWN, DOWN, DOWN)

    with pytest.raises(ServiceUnavailableError):
        wire.console().query(DOMAIN, TOTALS)


def test_a_wrong_answer_is_asked_for_once_more(wire: Wire) -> None:
    wrong = Reply(200, {"error": {"code": 503, "message": "Backend Error"}})
    wire.answer_instead("query", wrong, None, *[wrong] * 5)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    with pytest.raises(WrongAnswerError) as caught:
        console.query(DOMAIN, TOTALS)

    assert str(caught.value).endswith("; the next sync asks again; check GSC_API_URL if it lasts")
    assert console.usage() == Usage(calls=4, retries=2)


def test_the_settings_bound_what_a_client_takes(wire: Wire, tmp_path: Path, silent_address: str) -> None:
    workspace = Workspace("acme", "Acme", wire.key, None, (QueryType.WEB,))

    def console(**settings: object) -> HttpSearchConsole:
        common: dict[str, object] = {
            "state": str(tmp_path / "state.db"),
            "api_url": wire.url,
            "api_attempts": 1,
        }
        opened = console_opener(load_settings(**common | settings))(workspace)
        return wire.stack.enter_context(closing(opened))

    assert console(api_pages=7).most_pages == 7
    assert console().query(DOMAIN, QUERIES).rows.num_rows > 0
    with pytest.raises(WrongAnswerError, match=r"larger than 0\.001 MB"):
        console(api_answer_megabytes=0.001).query(DOMAIN, QUERIES)
    key = tmp_path / "silent.json"
    write_service_account_key(key, base_url=silent_address, client_email="a@b.example")
    workspace = replace(workspace, credentials=ServiceAccountFile(key))
    with pytest.raises(ServiceUnavailableError, match=r"token endpoint .* within 0\.2 seconds"):
        console(api_call_seconds=0.2).query(DOMAIN, QUERIES)
