"""The fixtures of other folders that the report's tests use."""

from gsc_pipeline_tests.cli.conftest import gsc

__all__ = ["gsc"]
