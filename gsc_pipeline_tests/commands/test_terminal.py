"""What a person at a terminal sees while a sync goes on."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

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
        # Linux's way to say that the other end of a terminal is closed.
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())


def test_a_sync_shows_how_far_each_property_is_and_ends_with_a_table(live: World) -> None:
    gsc = str(Path(sys.executable).with_name("gsc"))
    env = {**os.environ, **live.environment()}
    env.pop("DAGSTER_HOME", None)
    drawn = at_a_terminal([gsc, "sync", "--days", "6"], env)
    assert "acme sc-domain:acme.com WEB" in drawn
    assert re.search(r"\b[1-6]/6\b", drawn)
    assert "1 of 1 workspaces synced" in drawn.splitlines()[-1]
