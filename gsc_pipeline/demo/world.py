"""The demonstration's world: three made-up workspaces, the simulator that serves them, their files.

Belongs here: who is in it and what each may read. Does not: what is done with it (`__main__`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gsc_pipeline.days import pacific_today, utc_now
from gsc_pipeline.simulator import (
    ReplayedProperty,
    Simulator,
    SyntheticProperty,
    serving,
    write_service_account_key,
)

EXPORT = Path(__file__).parent / "export"
"""A made-up shop's Search Console export, as the export button gives it."""

_WORKSPACES: tuple[dict[str, Any], ...] = (
    {
        "id": "acme",
        "name": "Acme Inc.",
        "properties": ["sc-domain:acme.example", "https://shop.acme.example/"],
        "brand_terms": ["acme", "ac me"],
    },
    {"id": "globex", "name": "Globex", "properties": "all", "brand_terms": ["globex"]},
    {
        "id": "bluebird",
        "name": "Bluebird Coffee (a replayed export)",
        "properties": ["sc-domain:bluebirdcoffee.example"],
        "brand_terms": ["bluebird", "blue bird"],
    },
)


@contextmanager
def demonstration(folder: Path) -> Iterator[Mapping[str, str]]:
    """Serve the demonstration while the context lasts.

    Writes the workspaces file and fresh keys to `folder`; yields the environment that points the
    project's commands at it. The lake, in `folder` too, stays from one time to the next.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with serving(_simulator()) as url:
        yield {
            **os.environ,
            "GSC_API_URL": url,
            "GSC_WORKSPACES_FILE": str(_write_files(folder, url)),
            "GSC_LAKE": str(folder / "lake"),
        }


def _simulator() -> Simulator:
    acme, globex, bluebird = (frozenset({_email(workspace["id"])}) for workspace in _WORKSPACES)
    return Simulator(
        [
            SyntheticProperty("sc-domain:acme.example", readers=acme),
            SyntheticProperty("https://shop.acme.example/", readers=acme),
            SyntheticProperty("sc-domain:globex.example", readers=globex),
            ReplayedProperty.from_export(EXPORT, until=pacific_today(utc_now()), readers=bluebird),
        ]
    )


def _email(workspace_id: str) -> str:
    return f"{workspace_id}@demo.example"


def _write_files(folder: Path, url: str) -> Path:
    entries = []
    for workspace in _WORKSPACES:
        key = folder / f"{workspace['id']}-key.json"
        write_service_account_key(key, base_url=url, client_email=_email(workspace["id"]))
        entries.append({**workspace, "credentials": {"service_account_file": key.name}})
    file = folder / "workspaces.yaml"
    file.write_text(yaml.safe_dump({"workspaces": entries}, sort_keys=False), encoding="utf-8")
    return file
