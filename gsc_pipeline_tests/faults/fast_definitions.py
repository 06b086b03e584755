"""The project's code location, following a test's clock."""

from __future__ import annotations

import dagster as dg

from gsc_pipeline.defs.build import build_defs
from gsc_pipeline_tests.faults.fast_clock import follow, followed

follow()
# Without pauses between attempts: those would take real time.
defs = build_defs(resources={"clock": followed}, retries=dg.RetryPolicy(max_retries=2))
