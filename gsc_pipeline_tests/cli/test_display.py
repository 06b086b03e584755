"""The progress of a sync, on a terminal and elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gsc_pipeline.cli.display import SyncDisplay
from gsc_pipeline.sync.report import Progress
from gsc_pipeline_tests.waiting import HANG_SECONDS
from gsc_pipeline_tests.world import World


def at_a_terminal(command: list[str], env: dict[str, str]) -> str:
    """Everything the command draws on a terminal of 120 columns, colours left out."""
    ours, theirs = pty.openpty()
    env = {**env, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:
        # On Linux: the other end of the terminal is closed.
        pass
    finally:
        os.close(ours)
    assert process.wait(HANG_SECONDS) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())


def test_a_sync_shows_the_progress_of_each_property_and_then_a_table(live: World) -> None:
    gsc = str(Path(sys.executable).with_name("gsc"))
    env = {**os.environ, **live.environment()}
    env.pop("DAGSTER_HOME", None)
    drawn = at_a_terminal([gsc, "sync", "--days", "6"], env)
    assert "acme sc-domain:acme.com WEB" in drawn
    assert re.search(r"\b[1-6]/6\b", drawn)
    assert "1 of 1 workspaces complete" in drawn.splitlines()[-1]


def test_without_a_terminal_a_long_sync_prints_its_progress_at_intervals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = iter(range(0, 10_000, 4))
    display = SyncDisplay(quiet=False, seconds=lambda: float(next(clock)))
    with display:
        for done in range(7):
            display.progress(Progress("acme", "sc-domain:acme.com", "WEB", done, planned=480))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "acme sc-domain:acme.com WEB: 2 of 480 days, about 32 min left",
        "acme sc-domain:acme.com WEB: 5 of 480 days, about 32 min left",
    ]


def test_json_is_printed_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 10_000, 60))
    display = SyncDisplay(quiet=True, seconds=lambda: float(next(clock)))
    with display:
        for done in range(7):
            display.progress(Progress("acme", "sc-domain:acme.com", "WEB", done, planned=480))
    assert capsys.readouterr() == ("", "")


def test_control_characters_of_a_property_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 10_000, 60))
    display = SyncDisplay(quiet=False, seconds=lambda: float(next(clock)))
    with display:
        for done in range(2):
            display.progress(Progress("acme", "https://a.com/\x1b[2J\u202e/", "WEB", done, planned=9))
    assert capsys.readouterr().err.startswith(r"acme https://a.com/\x1b[2J\u202e/ WEB: 1 of 9 days")
