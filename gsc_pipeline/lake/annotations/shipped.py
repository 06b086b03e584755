"""The annotations that the project ships: `shipped.yaml` beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from gsc_pipeline.lake.annotations.record import Annotation, Kind

_FILE = Path(__file__).with_name("shipped.yaml")
_LISTS = ("search_types", "metrics")


@cache
def shipped() -> tuple[Annotation, ...]:
    """The shipped annotations, in the order of the file."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Annotation(
            **{
                **entry,
                "kind": Kind(entry["kind"]),
                **{name: tuple(entry[name]) for name in _LISTS if name in entry},
            }
        )
        for entry in entries
    )
