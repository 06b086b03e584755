"""`.env` in the working directory, as Dagster reads it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from dagster._cli.utils import _inject_local_env_file

from gsc_pipeline_tests.cli.conftest import Gsc

FILE = """
# comment
export GSC_LAKE='of the file'
GSC_REPORTS=${GSC_LAKE}/reports
GSC_OWNERS=
GSC_LOG_LEVEL
"""
NAMES = ("GSC_LAKE", "GSC_REPORTS", "GSC_OWNERS", "GSC_LOG_LEVEL", "GSC_LOG_FORMAT")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.setenv(name, "of the environment")
    return tmp_path


def test_gsc_reads_the_file_as_dagster_does(folder: Path, gsc: Gsc) -> None:
    (folder / ".env").write_text(FILE, encoding="utf-8")
    with _inject_local_env_file(logging.getLogger()):
        of_dagster = {name: os.environ.get(name) for name in NAMES}
    done = gsc("status", env=dict.fromkeys(NAMES, "of the environment"))
    assert {name: os.environ.get(name) for name in NAMES} == of_dagster
    assert of_dagster["GSC_REPORTS"] == "of the file/reports"
    assert done.code == 2
    assert "GSC_LOG_FORMAT: 'of the environment'" in done.err


def test_a_mistyped_variable_in_the_file_is_an_error(
    folder: Path, gsc: Gsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GSC_WORKSPACE_FILE", *NAMES):
        monkeypatch.setenv(name, "")
    (folder / ".env").write_text("GSC_WORKSPACE_FILE=w.yaml\n", encoding="utf-8")
    done = gsc("status")
    assert (done.code, done.err) == (
        2,
        "gsc: environment: GSC_WORKSPACE_FILE: unknown variable, expected GSC_WORKSPACES_FILE\n",
    )


def test_a_variable_that_the_file_replaces_is_named(folder: Path, gsc: Gsc) -> None:
    (folder / ".env").write_text("GSC_LAKE=lake\n", encoding="utf-8")
    named = "warning: .env replaces GSC_LAKE of the environment"
    assert named in gsc("status", env={"GSC_LAKE": "other-lake"}).err
    assert named not in gsc("status", env={"GSC_LAKE": "lake"}).err


def test_a_file_that_cannot_be_read_is_an_error(folder: Path, gsc: Gsc) -> None:
    (folder / ".env").write_bytes(b"GSC_LAKE=\xff\xfe")
    assert gsc("status").err == "gsc: .env: cannot be read (not UTF-8 text)\n"
