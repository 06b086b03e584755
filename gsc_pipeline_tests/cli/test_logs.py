"""The log of the command: text or one JSON object per line, on standard error only."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import logging, sys
from gsc_pipeline.cli.logs import configure_logging
configure_logging("text", "warning")
configure_logging(sys.argv[1], sys.argv[2])
log = logging.getLogger("gsc_pipeline.sync")
log.debug("details")
log.info("workspace %s: synced", "acme")
logging.getLogger("urllib3").info("chatter")
logging.getLogger("urllib3.connectionpool").warning("pool is full")
logging.getLogger("urllib3.connection").warning("Failed to parse headers")
try:
    raise ValueError("two\\nlines")
except ValueError:
    log.exception("failed")
if "hostile" in sys.argv:
    from gsc_pipeline.text.secrets import keep
    keep("canary-0123456789-token")
    log.error("clear \\x1b[2J\\x9b and\\nturn \\u202e %s", "canary-0123456789-token")
    try:
        raise ValueError("bell \\a canary-0123456789-token")
    except ValueError:
        log.exception("failed")
"""


def run(log_format: str, level: str, *more: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level, *more], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_per_line_with_exceptions() -> None:
    records = [json.loads(line) for line in run("json", "info")]
    assert [(r["level"], r["logger"], r["message"]) for r in records] == [
        ("info", "gsc_pipeline.sync", "workspace acme: synced"),
        ("warning", "urllib3.connectionpool", "pool is full"),
        ("error", "gsc_pipeline.sync", "failed"),
    ]
    assert all(r["at"].endswith("+00:00") for r in records)
    assert "ValueError: two\nlines" in records[2]["exception"]


def test_text_starts_at_the_level() -> None:
    assert run("text", "warning")[:2] == [
        "WARNING urllib3.connectionpool: pool is full",
        "ERROR gsc_pipeline.sync: failed",
    ]
    assert run("text", "debug")[0] == "DEBUG gsc_pipeline.sync: details"


def test_control_characters_are_escaped_and_secrets_masked() -> None:
    text = run("text", "error", "hostile")
    assert r"ERROR gsc_pipeline.sync: clear \x1b[2J\x9b and\nturn \u202e [secret]" in text
    assert text[-1] == r"ValueError: bell \x07 [secret]"
    lines = run("json", "error", "hostile")
    assert all(line.isprintable() for line in lines)
    records = [json.loads(line) for line in lines[-2:]]
    assert records[0]["message"] == "clear \x1b[2J\x9b and\nturn \u202e [secret]"
    assert records[1]["exception"].endswith("ValueError: bell \a [secret]")
