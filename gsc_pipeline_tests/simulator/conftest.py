"""Fixtures of the simulator's tests: a property with known numbers, served over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gsc_pipeline
from gsc_pipeline.simulator import Simulator, SyntheticProperty
from gsc_pipeline_tests.simulator.wire import Wire
from gsc_pipeline_tests.soak import rest_in_soak

NOON = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
"""Noon of 2026-11-20 in California."""

METRICS = ("clicks", "impressions", "sum_position", "top_clicks", "top_impressions", "sum_top_position")
"""The columns of facts that are numbers."""

EXAMPLE_EXPORT = Path(gsc_pipeline.__file__).parent / "demo" / "export"
REAL_EXPORT = Path(gsc_pipeline.__file__).parents[2] / "shared" / "data" / "search-console-export"


@pytest.fixture(scope="session")
def acme() -> SyntheticProperty:
    return SyntheticProperty(
        "sc-domain:acme.example",
        search_types=("web", "image", "video", "news", "discover", "googleNews"),
    )


@pytest.fixture(scope="session")
def wire(acme: SyntheticProperty) -> Iterator[Wire]:
    """The property `acme` at noon of 2026-11-20 in California."""
    with Wire.to(Simulator([acme], clock=lambda: NOON)) as wire:
        yield wire


@pytest.fixture(params=rest_in_soak(["example", "real"]))
def export_folder(request: pytest.FixtureRequest) -> Path:
    """The export of the demonstration, and in `make soak` a real one if this machine has it."""
    folder = EXAMPLE_EXPORT if request.param == "example" else REAL_EXPORT
    if not folder.is_dir():
        pytest.skip("the real export is not on this machine (../shared/data/search-console-export)")
    return folder
