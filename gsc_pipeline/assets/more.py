"""The assets of `gsc_more`, all partitioned by workspace alone, in the order in which a run makes them."""

from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.assets.properties import properties_asset
from gsc_pipeline.assets.searchdata import RETRIES
from gsc_pipeline.lake.schemas import PROPERTIES
from gsc_pipeline.partitions import ListedWorkspaces

MORE_TABLES = (PROPERTIES,)


def more_assets(
    partitions: ListedWorkspaces, retries: dg.RetryPolicy = RETRIES
) -> Sequence[dg.AssetsDefinition]:
    """One asset per table."""
    return [properties_asset(partitions, retries)]
