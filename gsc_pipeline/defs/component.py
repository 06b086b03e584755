"""The component `gsc_pipeline.SearchConsole`, with which another Dagster project loads all definitions."""

# Annotations are not deferred here: Dagster reads them when it makes the component's schema.

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import dagster as dg
from pydantic import SecretStr, create_model

from gsc_pipeline.defs.build import build_defs
from gsc_pipeline.defs.startup import warn_of_configuration
from gsc_pipeline.settings import ConfigurationError, Settings, load_settings

PATHS = ("workspaces_file", "annotations", "lake", "state", "reports", "audit_log")
"""Settings that may be a relative path."""

_WRITTEN_AS_TEXT = (Path, SecretStr, date)


def _fields() -> dict[str, Any]:
    """A field for each setting, with its type and description. None stands for the variable's value."""
    fields: dict[str, Any] = {}
    for name, setting in Settings.model_fields.items():
        types = {setting.annotation, *get_args(setting.annotation)}
        kind: Any = setting.annotation if types.isdisjoint(_WRITTEN_AS_TEXT) else str
        text = f"{setting.description} (default: the environment variable {setting.validation_alias})"
        fields[name] = (Annotated[kind | None, dg.Resolver.default(description=text)], None)
    return fields


_Attributes: Any = create_model("_Attributes", __base__=dg.Model, **_fields())


class SearchConsole(dg.Component, _Attributes, dg.Resolvable):
    """Google Search Console: all assets, checks, jobs, schedules and sensors of gsc_pipeline.

    The attributes are the project's settings (docs/configuration.md) in lower case without `GSC_`, and two
    more. A setting that is not given is that of the environment. Relative paths, whether given or by default,
    are taken from the project's root, the folder with its `pyproject.toml`.
    """

    asset_key_prefix: Annotated[
        str | list[str] | None,
        dg.Resolver.default(description="the first parts of every asset's key: a text, or a list of texts"),
    ] = None
    group_name: Annotated[
        str | None,
        dg.Resolver.default(description="the group of every asset, in place of several groups"),
    ] = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions, with these settings."""
        settings = self.settings(context.project_root)
        warn_of_configuration(settings)
        prefix = [self.asset_key_prefix] if isinstance(self.asset_key_prefix, str) else self.asset_key_prefix
        return build_defs(settings, asset_key_prefix=prefix or (), group_name=self.group_name, shared=True)

    def settings(self, root: Path) -> Settings:
        """The attributes and, where they leave one out, the environment's settings.

        Raises ConfigurationError with every invalid one.
        """
        given = self.model_dump(include=set(Settings.model_fields), exclude_none=True)
        try:
            settings = load_settings(**given)
        except ConfigurationError as error:
            raise ConfigurationError(
                "SearchConsole", [_as_attribute(one, given) for one in error.problems]
            ) from None
        return settings.model_copy(
            update={
                name: type(value)(root / value)
                for name, value in settings.model_dump(include=set(PATHS), exclude_none=True).items()
                if "://" not in str(value) and (name, value) != ("audit_log", "off")
            }
        )


def _as_attribute(problem: str, given: Collection[str]) -> str:
    """The problem with a setting's variable, under the name of the attribute if that was given."""
    variable, _, what = problem.partition(":")
    names = {str(setting.validation_alias): name for name, setting in Settings.model_fields.items()}
    return f"{names[variable]}:{what}" if names.get(variable) in given else problem
