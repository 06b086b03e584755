"""A code location with one asset that does nothing, to measure what a Dagster run costs by itself."""

import dagster as dg


@dg.asset
def nothing() -> None:
    """Do nothing."""


defs = dg.Definitions(
    assets=[nothing],
    jobs=[dg.define_asset_job("empty", selection=[nothing])],
    executor=dg.in_process_executor,
)
