"""The assets of `gsc_more`, all partitioned by workspace alone, in the order in which a run makes them."""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.assets.appearance import appearance_asset
from gsc_pipeline.assets.hourly import hourly_asset
from gsc_pipeline.assets.inspections import inspections_asset
from gsc_pipeline.assets.properties import properties_asset
from gsc_pipeline.assets.shared_runs import RETRIES
from gsc_pipeline.assets.sitemaps import sitemaps_asset
from gsc_pipeline.lake.schemas import (
    PROPERTIES,
    SEARCH_APPEARANCE,
    SEARCHDATA_HOURLY,
    SITEMAPS,
    URL_INSPECTIONS,
)
from gsc_pipeline.partitions import ListedWorkspaces

MORE_TABLES = (PROPERTIES, SITEMAPS, SEARCHDATA_HOURLY, SEARCH_APPEARANCE, URL_INSPECTIONS)


def more_assets(
    partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES
) -> Sequence[dg.AssetsDefinition]:
    """One asset per table."""
    makers = (properties_asset, sitemaps_asset, hourly_asset, appearance_asset, inspections_asset)
    return [make(partitions, retries) for make in makers]
