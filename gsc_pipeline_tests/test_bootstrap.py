"""The objects of a process, and what they do not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.search_console.auth import ServiceAccountFile
from gsc_pipeline.search_console.search_types import QueryType
from gsc_pipeline.settings import load_settings
from gsc_pipeline.workspaces.registry import Workspace


def test_no_credential_is_read_to_list_open_circuits_while_all_are_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}", encoding="utf-8")
    key.chmod(0o644)
    acme = Workspace("acme", "acme", ServiceAccountFile(key), ("sc-domain:acme.com",), (QueryType.WEB,))
    services = Services(load_settings(lake=str(tmp_path / "lake"), state=str(tmp_path / "state.db")))
    services.store.execute("SELECT 1")
    assert services.open_circuits([acme]) == []
    # A key that is read and that others may read is logged.
    assert caplog.text == ""
