"""The Jinja environment of the report's templates."""

from __future__ import annotations

import jinja2


def environment() -> jinja2.Environment:
    """Loads the templates of this package; escapes every value, and fails on a missing one."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gsc_pipeline.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
