"""gsc_pipeline: an exact, growing, SQL-ready copy of Google Search Console data, kept by Dagster.

Layers, each importing only what stands to its right:
Dagster modules and the `gsc` command → sync → search_console, lake → days.
"""
