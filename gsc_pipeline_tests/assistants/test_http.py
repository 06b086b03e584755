"""`gsc mcp --http`: loopback, with a token, closed to web pages."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import urllib3

from gsc_pipeline.assistants.tools import READERS
from gsc_pipeline_tests.assistants.served import DAYS, GSC, Served, connected
from gsc_pipeline_tests.monitoring.hanging import hanging
from gsc_pipeline_tests.waiting import HANG_SECONDS

TOKEN = "0123456789-of-the-test"
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True)
class Running:
    """A server, its URL, and the lines that it printed before it was ready."""

    process: subprocess.Popen[str]
    url: str
    printed: list[str]


def running(environment: dict[str, str]) -> Iterator[Running]:
    command = [GSC, "mcp", "--workspace", "acme", "--http", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            printed = []
            while not (found := re.search(r"http://\S+/mcp", line := process.stderr.readline())):
                assert line, printed
                printed.append(line)
            yield Running(process, found[0], printed)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(served: Served) -> Iterator[Running]:
    yield from running({**served.environment(), "GSC_MCP_TOKEN": TOKEN})


def answer(
    server: Running, headers: dict[str, str], body: str = BODY, method: str = "POST"
) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        method, server.url, body=body, headers={**HEADERS, **headers}, retries=False, timeout=HANG_SECONDS
    )


def post(server: Running, headers: dict[str, str], body: str = BODY, method: str = "POST") -> int:
    return answer(server, headers, body, method).status


def test_the_client_with_the_token_gets_answers(server: Running) -> None:
    # Imported here for the reason that `served.py` names.
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    http_client = httpx2.AsyncClient(headers=BEARER, timeout=HANG_SECONDS)
    with connected(streamable_http_client(server.url, http_client=http_client)) as assistant:
        reply = assistant.query("SELECT count(*) FROM sync_ledger")
        assert reply.data["rows"] == [[DAYS]]
        assert assistant.query("SELECT 1; SELECT 2").is_error
        assert assistant.call("status", workspace="globex").is_error
        assert not assistant.call("status", workspace="acme").is_error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xe9\xff"},
        {"Cookie": f"token={TOKEN}"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_without_the_token_nothing_is_answered(server: Running, headers: dict[str, str], method: str) -> None:
    assert post(server, headers, method=method) == 401


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "HEAD", "PUT"])
def test_only_post_is_answered_so_that_no_stream_stays_open(server: Running, method: str) -> None:
    listening = {**BEARER, "Accept": "text/event-stream", "Last-Event-ID": "5"}
    assert post(server, listening, method=method) == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
def test_web_pages_and_other_host_names_are_refused_even_with_the_token(
    server: Running, headers: dict[str, str], status: int
) -> None:
    assert post(server, BEARER) == 200
    assert post(server, {**BEARER, **headers}) == status


def test_a_request_that_is_too_large_or_no_json_is_refused(server: Running) -> None:
    assert post(server, BEARER, "x" * 300_000) == 413
    assert post(server, BEARER, "{") == 400
    assert post(server, BEARER) == 200


def test_the_server_listens_on_loopback_only(server: Running) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"


@pytest.mark.soak
def test_without_a_setting_a_token_is_printed_once_and_the_server_stops_on_a_signal(served: Served) -> None:
    for server in running(served.environment()):
        (token,) = re.findall(r"token of this start: (\S+)", "".join(server.printed))
        assert len(token) >= 32
        assert post(server, {"Authorization": f"Bearer {token}"}) == 200
        assert post(server, BEARER) == 401
        server.process.send_signal(signal.SIGTERM)
        _, rest = server.process.communicate(timeout=HANG_SECONDS)
        assert server.process.returncode == 0
        assert token not in rest


@pytest.mark.soak
def test_a_signal_ends_the_server_while_a_call_waits_for_a_lake_that_hangs(served: Served) -> None:
    call = {"name": "status", "arguments": {"workspace": "acme"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
    for server in running({**served.environment(), "GSC_MCP_TOKEN": TOKEN}):
        with hanging(served.world.lake), ThreadPoolExecutor() as threads:
            calls = [threads.submit(answer, server, BEARER, body) for _ in range(READERS + 1)]
            # The first that is answered is refused, because the others are in the lake.
            done, _ = wait(calls, timeout=HANG_SECONDS, return_when=FIRST_COMPLETED)
            (refused,) = done
            assert f"{READERS} calls are reading the lake" in refused.result().data.decode()
            server.process.send_signal(signal.SIGTERM)
            server.process.communicate(timeout=HANG_SECONDS)
        assert server.process.returncode == 0
