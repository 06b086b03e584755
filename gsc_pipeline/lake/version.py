"""The version of the lake's format, stored as a table property."""

from __future__ import annotations

from deltalake import DeltaTable

from gsc_pipeline.lake.errors import NewerLakeError

LAKE_VERSION = 2
"""Increase it when an older release would read or write a table wrongly."""
VERSION_PROPERTY = "gsc_pipeline.lake_version"


def version_of(delta: DeltaTable) -> int:
    """The table's version. Without the property it is 1, as in tables of release 0.1.0."""
    text = delta.metadata().configuration.get(VERSION_PROPERTY) or ""
    return int(text) if text.isdecimal() else 1


def refuse_newer(delta: DeltaTable, lake_uri: str) -> None:
    """Raise NewerLakeError if a newer release wrote the table."""
    version = version_of(delta)
    if version > LAKE_VERSION:
        raise NewerLakeError(
            f"the lake at {lake_uri} was written by a newer gsc_pipeline (lake version {version}, "
            f"this one knows {LAKE_VERSION}): upgrade gsc_pipeline"
        )
