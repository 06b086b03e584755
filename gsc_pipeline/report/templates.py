"""The templates and scripts of the pages."""

from __future__ import annotations

import base64
import hashlib
from types import CodeType
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup
from typing_extensions import override


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates in memory, by their source: compiling one takes longer than filling it."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}

    @override
    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    @override
    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._code[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()
"""Shared by all pages, whose environments have filters of their own."""


def environment() -> jinja2.Environment:
    """Loads the templates of this package; escapes every value, and fails on a missing one."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gsc_pipeline.report", "."),
        bytecode_cache=_COMPILED,
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
