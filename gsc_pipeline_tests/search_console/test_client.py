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

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.days import Window, pacific_today, utc_now
from gsc_pipeline.lake.schemas import SYNC_RUNS
from gsc_pipeline.search_console.answers import Site
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.call_times import CALL_BOUNDS, CallTimes
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
from gsc_pipeline.search_console.search_types import SEARCH_TYPES, FeedType, QueryType, SearchType
from gsc_pipeline.search_console.transport import TransportLimits
from gsc_pipeline.settings import load_settings
from gsc_pipeline.simulator import Reply, google_error, write_service_account_key
from gsc_pipeline.workspaces.registry import Workspace
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


def test_the_probe_returns_each_days_totals_and_the_first_incomplete_day(wire: Wire) -> None:
    answer = wire.console().query(DOMAIN, TOTALS)

    days = [date.fromisoformat(text) for text in answer.rows["date"].to_pylist()]
    assert days[0] == TOTALS.window.start
    assert set(days) <= set(TOTALS.window)
    assert answer.first_incomplete_date in TOTALS.window


def test_a_page_starts_at_the_requested_row(wire: Wire) -> None:
    console = wire.console()

    whole = console.query(DOMAIN, QUERIES).rows
    rest = console.query(DOMAIN, QUERIES, start_row=3).rows

    assert rest.equals(whole.slice(3))


@pytest.mark.parametrize("site_url", [DOMAIN, SHOP, "https://acme.com/a b/?ü&%2F#+/"])
def test_a_property_is_one_percent_encoded_path_segment(site_url: str, wire: Wire) -> None:
    wire.answer_instead("query", Reply(200, {"rows": []}))

    wire.console().query(site_url, TOTALS)

    path = wire.simulator.exchanges[-1].path
    assert re.fullmatch(r"/webmasters/v3/sites/[A-Za-z0-9._~%-]+/searchAnalytics/query", path)
    assert path.count("%") >= sum(not char.isalnum() and char not in "._~-" for char in site_url)
    assert wire.simulator.calls[-1].site_url == site_url


def test_the_url_of_the_api_may_end_with_a_slash(wire: Wire) -> None:
    for base_url in (wire.url, wire.url + "/"):
        wire.console(base_url=base_url).query(DOMAIN, TOTALS)

    first, second = (exchange for exchange in wire.simulator.exchanges if "query" in exchange.path)
    assert first.path == second.path == "/webmasters/v3/sites/sc-domain%3Aacme.com/searchAnalytics/query"


def test_answers_are_compressed(wire: Wire) -> None:
    rows = wire.console().query(DOMAIN, PageQueries(QueryType.WEB, DAY)).rows

    exchange = wire.simulator.exchanges[-1]
    assert "gzip" in exchange.headers["accept-encoding"]
    # Google compresses only if the user agent contains "gzip" too.
    assert "gzip" in exchange.headers["user-agent"]
    assert exchange.answer_headers["content-encoding"] == "gzip"
    assert rows.num_rows > 0


def test_connections_are_reused(wire: Wire) -> None:
    wire.answer_instead("query", None, DOWN, refused(403, "forbidden"))
    console = wire.console()

    console.query(DOMAIN, TOTALS)
    with pytest.raises(PropertyForbiddenError):
        console.query(DOMAIN, TOTALS)
    console.sites()

    assert len(wire.simulator.exchanges) == 5
    assert len({exchange.port for exchange in wire.simulator.exchanges}) == 1


def test_threads_share_a_client_its_connections_and_its_token(wire: Wire) -> None:
    console = wire.console(limits=TransportLimits(connections=3))
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
def test_a_transient_failure_is_retried_until_there_is_an_answer(failures: list[Reply], wire: Wire) -> None:
    console = wire.console()
    truth = console.query(DOMAIN, TOTALS)
    wire.answer_instead("query", *failures)

    assert console.query(DOMAIN, TOTALS) == truth

    assert console.usage() - Usage(calls=1) == Usage(calls=len(failures) + 1, retries=len(failures))
    assert wire.count("query") == len(failures) + 2
    assert len(wire.waits) == len(failures)


def test_a_failure_that_stays_is_raised_after_the_last_attempt(wire: Wire) -> None:
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
def test_a_retry_after_beyond_the_longest_wait_is_raised_at_once(
    failure: Reply, expected: type[QuotaError], seconds: float, wire: Wire
) -> None:
    wire.answer_instead("query", failure)

    with pytest.raises(expected) as caught:
        wire.console().query(DOMAIN, TOTALS)

    assert type(caught.value) is expected
    assert caught.value.retry_after == seconds
    assert wire.waits == []
    assert wire.count("query") == 1


def test_a_daily_quota_refusal_is_raised_at_once(wire: Wire) -> None:
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
    ],
)
def test_permanent_failures_are_never_retried(
    failure: Reply, expected: type[SearchConsoleError], wire: Wire
) -> None:
    wire.answer_instead("query", failure)
    console = wire.console()

    with pytest.raises(expected, match=str(failure.status)):
        console.query(DOMAIN, TOTALS)

    assert console.usage() == Usage(calls=1, retries=0)
    assert [call.kind for call in wire.simulator.calls] == ["token", "query"]
    assert wire.waits == []


@pytest.mark.parametrize("location", ["/webmasters/v3/sites", "http://127.0.0.1:1/elsewhere"])
def test_a_redirect_is_a_wrong_answer_that_is_retried_once_and_not_followed(
    location: str, wire: Wire
) -> None:
    redirect = Reply(302, b"", {"Location": location})
    wire.answer_instead("query", redirect, None, redirect, redirect)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows
    with pytest.raises(WrongAnswerError, match="302"):
        console.query(DOMAIN, TOTALS)

    assert [call.kind for call in wire.simulator.calls] == ["token", *["query"] * 4]


@pytest.mark.parametrize("site_url", [NOT_OURS, UNVERIFIED, "https://shop.acme.com", "sc-domain:unknown.com"])
def test_a_refusal_names_a_forbidden_property(site_url: str, wire: Wire) -> None:
    with pytest.raises(PropertyForbiddenError, match=re.escape(f"'{site_url}'")):
        wire.console().query(site_url, TOTALS)


def test_a_refused_token_is_refreshed_once_and_the_call_retried_once(wire: Wire) -> None:
    console = wire.console()
    truth = console.query(DOMAIN, TOTALS)
    wire.answer_instead("query", EXPIRED)

    assert console.query(DOMAIN, TOTALS) == truth

    assert [call.kind for call in wire.simulator.calls] == ["token", "query", "query", "token", "query"]
    assert console.usage() == Usage(calls=3, retries=1)
    assert wire.waits == []


def test_a_new_token_that_is_refused_too_is_a_credential_error(wire: Wire) -> None:
    wire.answer_instead("query", EXPIRED, EXPIRED, EXPIRED)
    wire.answer_instead("sites", EXPIRED)
    console = wire.console()

    with pytest.raises(
        CredentialUnusableError, match=r"new access token was refused \(.*Invalid Credentials"
    ):
        console.query(DOMAIN, TOTALS)

    assert [call.kind for call in wire.simulator.calls] == ["token", "query", "token", "query", "sites"]
    assert console.usage() == Usage(calls=3, retries=1)


def test_a_token_that_is_refused_for_one_property_alone_is_no_credential_error(wire: Wire) -> None:
    wire.answer_instead("query", *[EXPIRED] * 4)
    console = wire.console()

    with pytest.raises(WrongAnswerError, match="refused for this property alone"):
        console.query(DOMAIN, TOTALS)

    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0


def test_a_call_after_a_refused_token_is_still_retried(wire: Wire) -> None:
    wire.answer_instead("query", EXPIRED, DOWN)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    assert console.usage() == Usage(calls=3, retries=2)
    assert wire.count("token") == 2


def test_a_refused_connection_names_the_server_and_the_next_step(wire: Wire, refusing_address: str) -> None:
    console = wire.console(base_url=refusing_address + "/")

    with pytest.raises(ServiceUnavailableError) as caught:
        console.query(DOMAIN, TOTALS)

    assert re.fullmatch(
        rf"no answer from {refusing_address} \(Failed to establish a new connection: .*Connection refused\); "
        r"the next sync retries; if it persists, check GSC_API_URL and the network",
        str(caught.value),
    )
    assert console.usage() == Usage(calls=3, retries=2)


def test_a_server_without_tls_is_reported(wire: Wire) -> None:
    base_url = wire.url.replace("http:", "https:")

    with pytest.raises(ServiceUnavailableError, match=rf"no answer from {base_url} \(.*WRONG_VERSION_NUMBER"):
        wire.console(base_url=base_url).query(DOMAIN, TOTALS)


def test_a_server_that_does_not_answer_is_given_up(wire: Wire, silent_address: str) -> None:
    console = wire.console(base_url=silent_address, limits=TransportLimits(silent_seconds=0.05))

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
def test_an_error_names_what_is_wrong_with_an_answer(
    answer: bytes, reason: str, wire: Wire, rude_address: Callable[[bytes], str]
) -> None:
    address = rude_address(answer)

    with pytest.raises(ServiceUnavailableError) as caught:
        wire.console(base_url=address).query(DOMAIN, TOTALS)

    assert caught.value.cause == f"no answer from {address} ({reason})"
    assert len(wire.waits) == 2


def test_an_incomplete_compressed_answer_is_never_accepted(
    wire: Wire, rude_address: Callable[[bytes], str]
) -> None:
    whole = gzip.compress(b'{"rows": []}' + b" " * 100_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
    address = rude_address(head + whole[:-20])

    with pytest.raises(ServiceUnavailableError, match="Connection broken"):
        wire.console(base_url=address).query(DOMAIN, TOTALS)


@pytest.mark.parametrize("base_url", ["http://a..b/", "not an address", "gopher://localhost"])
def test_an_invalid_url_is_our_own_error(base_url: str, wire: Wire) -> None:
    with pytest.raises(ServiceUnavailableError, match=re.escape(f"no answer from {base_url.rstrip('/')} (")):
        wire.console(base_url=base_url, token_uris=[f"{wire.url}/token"]).sites()


def test_usage_counts_calls_and_retries(wire: Wire) -> None:
    console = wire.console()
    assert console.usage() == Usage(0, 0)
    console.sites()
    before = console.usage()
    wire.answer_instead("query", DOWN)

    console.query(DOMAIN, TOTALS)

    assert before == Usage(calls=1, retries=0)
    assert console.usage() - before == Usage(calls=2, retries=1)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.1, 0), (0.1001, 1), (1.0, 3), (29.9, 7), (30.0, 7), (31.0, 8)]
)
def test_a_call_counts_up_to_the_first_bound_that_it_did_not_exceed(seconds: float, bucket: int) -> None:
    times = CallTimes.of(seconds)

    assert [place for place, count in enumerate(times.counts) if count] == [bucket]
    assert times.milliseconds == round(seconds * 1000)
    assert times + CallTimes.of(1.0) - times == CallTimes.of(1.0)


def test_usage_has_how_long_every_call_took_also_the_failed_ones(wire: Wire) -> None:
    waiting: list[Usage] = []
    console = wire.console(retry=RetryPolicy(attempts=3, sleep=lambda _: waiting.append(console.usage())))
    wire.answer_instead("query", replace(DOWN, seconds=0.3), Reply(200, b'{"rows": [{"ke', seconds=0.3))

    console.query(DOMAIN, TOTALS)

    assert [sum(used.times.counts) for used in waiting] == [1, 2]
    first = console.usage()
    assert sum(first.times.counts) == first.calls == 3
    assert sum(first.times.counts[2:]) >= 2
    assert first.times.milliseconds > 500
    console.sites()
    assert sum((console.usage() - first).times.counts) == 1


def test_the_columns_text_names_the_bounds() -> None:
    text = SYNC_RUNS.schema.field("calls_by_duration").metadata[b"description"].decode()

    assert [float(bound) for bound in re.findall(r"\d+(?:\.\d+)?", text.partition("seconds")[0])] == [
        *CALL_BOUNDS
    ]


BARE = Reply(200, {})
NOTHING = Reply(200, {"responseAggregationType": "byProperty"})


def questions(wire: Wire) -> list[tuple[list[str], int]]:
    """The dimensions and the first row of each query."""
    bodies = [call.body for call in wire.simulator.calls if call.kind == "query"]
    return [(body["dimensions"], body["startRow"]) for body in bodies]


def test_a_bare_answer_is_retried_if_the_api_names_the_aggregation_without_rows(
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


def test_a_second_bare_answer_of_such_an_api_is_a_wrong_answer(wire: Wire) -> None:
    wire.answer_instead("query", BARE, NOTHING, BARE, BARE, BARE)
    console = wire.console()

    for _ in range(2):
        with pytest.raises(WrongAnswerError, match=r"the answer is \{\}"):
            console.query(DOMAIN, QUERIES)

    # The second time, the client knows how this API answers.
    assert [start for _, start in questions(wire)] == [0, 25_000, 0, 0, 0]


def test_a_bare_answer_is_accepted_if_the_api_always_answers_so_without_rows(
    wire: Wire,
) -> None:
    wire.answer_instead("query", *[BARE] * 4)
    console = wire.console()

    for _ in range(2):
        assert console.query(DOMAIN, TOTALS).rows.num_rows == 0

    assert [start for _, start in questions(wire)] == [0, 25_000, 0, 25_000]


@pytest.mark.parametrize(
    ("request_", "named", "warnings"),
    [
        (TOTALS, "byPage", 1),
        (TOTALS, "BY_PAGE", 1),
        (TOTALS, "byProperty", 0),
        (TOTALS, "byGalaxy", 0),
        (TOTALS, None, 0),
        (replace(TOTALS, search_type=FeedType.DISCOVER), "byPage", 0),
    ],
)
def test_rows_by_property_that_the_api_says_are_counted_by_page_are_warned_of_once(
    request_: DailyTotals, named: str | None, warnings: int, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"keys": [TOTALS.window.start.isoformat()], "clicks": 1, "impressions": 2, "position": 1}]
    wire.answer_instead("query", *[Reply(200, {"rows": rows, "responseAggregationType": named})] * 2)
    console = wire.console()

    for _ in range(2):
        assert console.query(DOMAIN, request_).rows.num_rows == 1

    assert caplog.text.count("are counted by page") == caplog.text.count(DOMAIN) == warnings


def test_an_empty_answer_with_an_aggregation_replaces_the_control_request(wire: Wire) -> None:
    wire.answer_instead("query", NOTHING, BARE, None)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows == 0
    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0

    assert [start for _, start in questions(wire)] == [0, 0, 0]


def test_a_control_request_that_returns_rows_is_a_wrong_answer(wire: Wire) -> None:
    rows = [{"keys": ["2026-11-20"], "clicks": 1, "impressions": 2, "position": 1}]
    wire.answer_instead("query", BARE, Reply(200, {"rows": rows}))

    with pytest.raises(WrongAnswerError, match="single day"):
        wire.console().query(DOMAIN, TOTALS)


def test_a_failed_control_request_fails_the_call(wire: Wire) -> None:
    wire.answer_instead("query", BARE, DOWN, DOWN, DOWN)

    with pytest.raises(ServiceUnavailableError):
        wire.console().query(DOMAIN, TOTALS)


def test_a_wrong_answer_is_retried_once(wire: Wire) -> None:
    wrong = Reply(200, {"error": {"code": 503, "message": "Backend Error"}})
    wire.answer_instead("query", wrong, None, *[wrong] * 5)
    console = wire.console()

    assert console.query(DOMAIN, TOTALS).rows.num_rows > 0
    with pytest.raises(WrongAnswerError) as caught:
        console.query(DOMAIN, TOTALS)

    assert str(caught.value).endswith("; the next sync retries; if it persists, check GSC_API_URL")
    assert console.usage() == Usage(calls=4, retries=2)


def test_the_settings_limit_pages_sizes_and_times(wire: Wire, tmp_path: Path, silent_address: str) -> None:
    workspace = Workspace("acme", "Acme", wire.key, None, (QueryType.WEB,))

    def console(**settings: object) -> HttpSearchConsole:
        common: dict[str, object] = {
            "state": str(tmp_path / "state.db"),
            "api_url": wire.url,
            "api_attempts": 1,
        }
        opened = Services(load_settings(**common | settings)).open_console(workspace)
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
