"""The entry point that Dagster loads.

Importing it reads the environment, and for one warning the workspaces file and the keys; it calls no server.
"""

from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.startup import warn_of_configuration

__all__ = ["build_defs", "defs"]

defs = build_defs()
warn_of_configuration()
