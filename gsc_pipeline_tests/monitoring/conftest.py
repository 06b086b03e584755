"""A world with one small property: these tests need syncs, not rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gsc_pipeline.simulator import SyntheticProperty
from gsc_pipeline_tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.serving(
        tmp_path, [SyntheticProperty("sc-domain:acme.com", rows_a_day=5, plants=False)]
    ) as small:
        yield small
