"""`gsc serve` while clients, storage, shared state, alert addresses or the daemon misbehave."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from gsc_pipeline.monitoring.http import CONNECTION_SECONDS, GRACE_SECONDS, MOST_CONNECTIONS
from gsc_pipeline.monitoring.monitor import PAGE_SECONDS
from gsc_pipeline_tests.cli.conftest import Gsc
from gsc_pipeline_tests.cli.test_serve_and_housekeeping import serving, small, status
from gsc_pipeline_tests.monitoring.hanging import hanging
from gsc_pipeline_tests.monitoring.receiver import receiving
from gsc_pipeline_tests.waiting import HANG_SECONDS, wait_until
from gsc_pipeline_tests.world import World

__all__ = ["small"]

UNFINISHED = 300
FEW_FILES = 200
"""Fewer than the unfinished requests."""


def health(url: str) -> tuple[int, dict[str, Any]]:
    answer = urllib3.request("GET", f"{url}/health/sync", retries=False, timeout=HANG_SECONDS)
    return answer.status, answer.json()


def reasons(url: str) -> dict[str, str]:
    return {reason["kind"]: reason["text"] for reason in health(url)[1]["reasons"]}


def ends_at_once(process: subprocess.Popen[str]) -> None:
    """SIGTERM ends the process with 0, whatever it waits for. Without a limit it would wait for ever."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0


@contextmanager
def few_files() -> Iterator[None]:
    """Processes that are started in this block may open few files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limits_add_up_to_the_two_seconds_that_are_promised() -> None:
    assert PAGE_SECONDS < 2
    assert GRACE_SECONDS < 2
    assert CONNECTION_SECONDS > PAGE_SECONDS
    assert MOST_CONNECTIONS < FEW_FILES


@pytest.mark.parametrize("sent", [b"GET /health/li", b"GET /health/live HTTP/1.1\r\nHost: gsc\r\nX-More:"])
@pytest.mark.soak
def test_unfinished_requests_take_neither_all_files_nor_the_pages(small: World, sent: bytes) -> None:
    small.sync(small.workspace())
    with ExitStack() as stack:
        with few_files():
            url, process = stack.enter_context(serving(small))
        address = (urlsplit(url).hostname, urlsplit(url).port)
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(UNFINISHED)]
        for client in clients:
            try:
                client.sendall(sent)
            except ConnectionError:
                # The server has ended it already.
                continue
        assert status(f"{url}/health/live") == 200
        assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < FEW_FILES - MOST_CONNECTIONS / 4
        assert status(f"{url}/health/sync") == 503
        assert status(f"{url}/metrics") == 200
        # The server ends each of them, the last ones when their ten seconds are over.
        for client in clients:
            client.settimeout(HANG_SECONDS)
            try:
                assert client.recv(1000) == b""
            except ConnectionError:
                continue
        assert status(f"{url}/health/live") == 200
        ends_at_once(process)


def test_a_lake_on_a_hung_mount_is_a_503_that_says_so_and_sigterm_ends_the_process(small: World) -> None:
    small.sync(small.workspace())
    with hanging(small.lake), serving(small) as (url, process):
        for _ in range(3):
            code, answer = health(url)
            assert (code, answer["lake_ok"]) == (503, False)
            assert "the lake has not answered for" in answer["reasons"][0]["text"]
        assert status(f"{url}/health/live") == 200
        scrape = urllib3.request("GET", f"{url}/metrics", retries=False, timeout=HANG_SECONDS)
        assert "gsc_lake_up 0.0" in scrape.data.decode()
        ends_at_once(process)


def test_a_locked_state_is_a_503_that_says_so_and_then_the_other_numbers_are_there(small: World) -> None:
    small.sync(small.workspace())
    state = Path(small.lake.uri).with_name("state.db")
    lock = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute('PRAGMA locking_mode = EXCLUSIVE'); c.execute('BEGIN EXCLUSIVE'); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", lock, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with serving(small, GSC_HEALTH_CACHE_SECONDS="0") as (url, process):
            not_answered = "the shared state has not answered for"
            wait_until(lambda: not_answered in reasons(url).get("state", ""), "the state to be a reason")
            assert status(f"{url}/health/live") == 200
            holder.communicate("")
            wait_until(lambda: "state" not in reasons(url), "the state to answer")
            ends_at_once(process)


def test_a_wrong_alert_address_is_one_clear_error_before_anything_is_served(small: World, gsc: Gsc) -> None:
    shown = gsc("serve", env={**small.environment(), "GSC_ALERT_URLS": "json://localhost/ slak://s3cret"})
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("gsc: GSC_ALERT_URLS: address 2 of 2 is not in apprise's notation")
    assert "s3cret" not in shown.err


@pytest.mark.soak
def test_a_database_of_dagster_that_cannot_be_opened_is_a_reason(small: World, tmp_path: Path) -> None:
    small.sync(small.workspace())
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("storage: {sqlite: {base_dir: /proc/nowhere}}\n")
    with receiving() as receiver:
        urls = f"json://127.0.0.1:{receiver.port}/"
        with serving(small, DAGSTER_HOME=str(home), GSC_ALERT_URLS=urls) as (url, process):
            wait_until(lambda: "database" in reasons(url), "the database to be a reason")
            wait_until(lambda: bool(receiver.titles), "an alert")
            ends_at_once(process)
    assert "the database of the Dagster instance cannot be read" in receiver.messages[0]["message"]
