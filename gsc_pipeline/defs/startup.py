"""What is validated before runs: the files that users write, credentials, and what machines have to share."""

import logging
import os
from collections.abc import Sequence

import dagster as dg

from gsc_pipeline.bootstrap import Services
from gsc_pipeline.defs.dagster_private import remote_launcher
from gsc_pipeline.errors import PipelineError
from gsc_pipeline.lake.object_store import unsafe_settings
from gsc_pipeline.settings import ConfigurationError, Settings, load_settings, unshared_storage
from gsc_pipeline.workspaces.registry import credential_problems, load_workspaces

log = logging.getLogger(__name__)

_SHOWN = 20
"""Problems that a message names."""


def warn_of_configuration(settings: Settings | None = None) -> None:
    """Log a warning of what cannot be used: users' files, credentials, variables of the object store.

    `settings` are by default those of the environment. Calls no server, never raises.
    """
    found: list[str] = []
    left_out: Sequence[str] = ()
    try:
        settings = settings or load_settings()
        found += unsafe_settings(settings.lake, os.environ)
        found += credential_problems(load_workspaces(settings.workspaces_file))
        left_out = Services(settings).own_annotations().warnings
    except PipelineError as error:
        found += str(error).splitlines()
    if found:
        log.warning(
            "the code location is loaded, but runs will fail until this is corrected:\n%s", listed(found)
        )
    if left_out:
        log.warning("your annotations have mistakes:\n%s", listed(left_out))


def refuse_unshared_storage(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Raise ConfigurationError if runs start on several machines, and state or lake are on one of them."""
    launcher = remote_launcher(instance)
    problems = unshared_storage(settings) if launcher else []
    if problems:
        raise ConfigurationError(
            "environment",
            [f"{'; '.join(problems)}. Runs are started by {launcher}, on machines that share no files"],
        )


def listed(problems: Sequence[str], separator: str = "\n") -> str:
    """The first problems in one text, and how many more there are."""
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return separator.join([*problems[:_SHOWN], *more])
