"""A code location with one asset that does nothing: what a Dagster run costs before it does anything."""

import dagster as dg


@dg.asset
def nothing() -> None:
    """Does nothing."""


defs = dg.Definitions(
    assets=[nothing],
    jobs=[dg.define_asset_job("empty", selection=[nothing])],
    executor=dg.in_process_executor,
)
