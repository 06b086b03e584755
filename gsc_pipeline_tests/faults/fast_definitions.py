"""The project's code location, going by a test's clock."""

from __future__ import annotations

from gsc_pipeline.definitions import build_defs
from gsc_pipeline.resources import live_pipeline
from gsc_pipeline.settings import load_settings
from gsc_pipeline_tests.faults.fast_clock import follow, followed

follow()
settings = load_settings()
defs = build_defs(settings, {"pipeline": live_pipeline(settings, clock=followed)})
