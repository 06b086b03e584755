"""Tests of what watches the pipeline: telemetry, audit log, logs, health, metrics, alerts."""
