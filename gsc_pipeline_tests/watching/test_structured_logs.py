"""The command's log: text by default, one JSON object a line when asked, to standard error only."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
from gsc_pipeline.structured_logs import configure_logging
configure_logging("text", "warning")
configure_logging(sys.argv[1], sys.argv[2])
log = logging.getLogger("gsc_pipeline.sync")
log.debug("details")
log.info("workspace %s: synced", "acme")
logging.getLogger("urllib3").info("chatter")
logging.getLogger("urllib3").warning("pool is full")
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("failed")
"""


def run(log_format: str, level: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line_exceptions_included() -> None:
    records = [json.loads(line) for line in run("json", "info")]
    assert [(r["level"], r["logger"], r["message"]) for r in records] == [
        ("info", "gsc_pipeline.sync", "workspace acme: synced"),
        ("warning", "urllib3", "pool is full"),
        ("error", "gsc_pipeline.sync", "failed"),
    ]
    assert all(r["at"].endswith("+00:00") for r in records)
    assert "ValueError: two\nlines" in records[2]["exception"]


def test_text_is_for_people_and_begins_at_the_level() -> None:
    assert run("text", "warning")[:2] == [
        "WARNING urllib3: pool is full",
        "ERROR gsc_pipeline.sync: failed",
    ]
    assert run("text", "debug")[0] == "DEBUG gsc_pipeline.sync: details"
