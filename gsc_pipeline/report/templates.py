"""The templates and scripts of the pages."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup


def environment() -> jinja2.Environment:
    """Loads the templates of this package; escapes every value, and fails on a missing one."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gsc_pipeline.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def document(templates: jinja2.Environment, template: str, script: str, **values: Any) -> str:
    """An HTML document with one inline script. Its security policy allows this script and inline styles.

    Nothing else can run or be loaded, whatever text the page shows: the policy names the script's hash.
    """
    assert templates.loader is not None
    source, _, _ = templates.loader.get_source(templates, script)
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )
    # The script is a file of this package, so it needs no escaping.
    return templates.get_template(template).render(policy=policy, script=Markup(source), **values)
