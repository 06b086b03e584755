"""Dagster's daemon, following a test's clock: `python -m gsc_pipeline_tests.faults.fast_daemon run …`."""

from __future__ import annotations

from dagster._daemon.cli import main

from gsc_pipeline_tests.faults.fast_clock import follow

if __name__ == "__main__":
    follow()
    main()
