"""`gsc mcp` over standard input and output, without a client that keeps to the protocol."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from gsc_pipeline.assistants.messages import Limits, Request, Start, Statement
from gsc_pipeline.assistants.query_pool import environment_of_query
from gsc_pipeline.assistants.query_process import READY
from gsc_pipeline.assistants.start import serve_assistants
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.settings import load_settings
from gsc_pipeline_tests.assistants.served import GSC, Served
from gsc_pipeline_tests.assistants.test_endless import CROSS_JOIN
from gsc_pipeline_tests.waiting import HANG_SECONDS

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
NONSENSE: list[tuple[bytes, object]] = [
    # A line, and the id and the code of the error that answers it; None if nothing does.
    (b"\xff\xfe", (None, -32700)),
    (b"{", (None, -32700)),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}', (None, -32700)),
    (b'{"jsonrpc": "2.0", "id": 2, "method": "ping", "params": ' + 9_999 * b"[", (None, -32700)),
    (b"", None),
    (b"[]", (None, -32600)),
    (b"5", (None, -32600)),
    (b"null", (None, -32600)),
    # The library takes what has no valid id for a notification.
    (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', None),
    (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', None),
    (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', None),
    (b'{"jsonrpc": "2.0", "id": 3, "method": 5}', (3, -32600)),
    (b'{"jsonrpc": "2.0", "id": "four", "method": "ping", "params": [1]}', ("four", -32600)),
    (b'{"id": 5, "method": "ping"}', (5, -32600)),
    (b'{"jsonrpc": "2.0", "id": 6, "error": 5}', None),
    (b'{"jsonrpc": "2.0", "method": "no/such"}', None),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "\xc3"}', (7, -32601)),
]


def test_every_line_that_is_nonsense_is_answered_and_standard_output_has_nothing_but_messages(
    served: Served,
) -> None:
    hello = json.dumps({"jsonrpc": "2.0", "id": 8, "method": "initialize", "params": HELLO}).encode()
    with subprocess.Popen(
        [GSC, "mcp"],
        env={**served.environment(), "GSC_LOG_LEVEL": "debug"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        lines = [*(line for line, _ in NONSENSE), hello, b""]
        out, _ = process.communicate(b"\n".join(lines), timeout=HANG_SECONDS)
    messages = [json.loads(line) for line in out.splitlines()]
    assert [one["result"]["serverInfo"]["name"] for one in messages if one.get("id") == 8] == ["gsc_pipeline"]
    refused = [(one["id"], one["error"]["code"]) for one in messages if "error" in one]
    assert Counter(refused) == Counter(expected for _, expected in NONSENSE if expected)
    assert process.returncode == 0


def test_ctrl_c_ends_the_server_although_it_waits_for_input(served: Served) -> None:
    with subprocess.Popen(
        [GSC, "mcp"], env=served.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
        process.stdin.write(json.dumps(hello).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(HANG_SECONDS) == -signal.SIGINT
        finally:
            process.kill()


def test_a_query_process_ends_with_its_server_in_the_middle_of_a_query(served: Served) -> None:
    start = Start(served.world.lake.uri, ("acme",), Limits(seconds=10 * HANG_SECONDS))
    command = [sys.executable, "-m", "gsc_pipeline.assistants.query_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(start) + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == READY
            endless = msgspec.json.encode(Request((Statement(CROSS_JOIN, 1),)))
            process.stdin.write(endless + b"\n")
            process.stdin.close()
            assert process.wait(HANG_SECONDS) == 0
        finally:
            process.kill()


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the package were not there.
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "gsc_pipeline.assistants.server", raising=False)
    with pytest.raises(PipelineError, match=r"pip install 'gsc_pipeline\[mcp\]'"):
        serve_assistants(load_settings(), [], port=None)


def test_a_query_process_gets_no_variable_of_the_project_or_its_keys() -> None:
    given = {
        "PATH": "/bin",
        "GSC_STATE": "postgresql://a:b@c/d",
        "GSC_ALERT_URLS": "x",
        "GLOBEX_KEY": "x",
        "AWS_REGION": "eu",
    }
    assert set(environment_of_query(given)) - {"ARROW_DEFAULT_MEMORY_POOL", "TZ"} == {"PATH", "AWS_REGION"}
